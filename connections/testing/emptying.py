"""An empty database after each test that commits, though nobody empties the record.

Tests own their database, and so they may take away for a moment what keeps events and seals as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction

from connections.models import Event, EventSeal, triggers


def guard_the_record(on: bool) -> None:
    """Take away what keeps events and seals as they are, or bring it back, which only the tables' owner can."""
    if connection.vendor == "sqlite" and on:
        triggers.stand_again("default")
        return
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            for name in triggers.final(connection):
                cursor.execute(f"drop trigger if exists {name}")
            return
        cursor.execute("set constraints all immediate")  # no table changes while checks are waiting
        for model in (Event, EventSeal):
            cursor.execute(f"alter table {model._meta.db_table} {'enable' if on else 'disable'} trigger user")


@contextmanager
def emptied_with_the_rest() -> Iterator[None]:
    """Where Django empties the database in this block, as it does after tests that commit, the record goes too."""
    operations: Any = type(connection.ops)  # a test with a browser has a database connection of its own
    flush = operations.execute_sql_flush

    def flush_all(self: Any, sql_list: Iterable[str]) -> None:
        with transaction.atomic():
            guard_the_record(False)
            flush(self, sql_list)
            guard_the_record(True)

    operations.execute_sql_flush = flush_all
    try:
        yield
    finally:
        operations.execute_sql_flush = flush
