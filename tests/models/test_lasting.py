"""A read's first event is there for all at once, and lasts when it was waited for."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from connections.models import Event
from connections.services import events
from tests.catalogue import Tenant
from tests.models.rows import new_connection

pytestmark = pytest.mark.django_db(transaction=True)

BEHIND = "select pg_current_wal_flush_lsn() < %s::pg_lsn"


def asked(sql: str, *values: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        row = cursor.fetchone()
        return row[0]


@pytest.fixture
def entry(acme: Tenant) -> events.Entry:
    return events.Entry(acme.actor("viewer"), "connection.preview", new_connection(acme, "lasting"), {"limit": 5})


def test_it_is_there_for_others_before_anybody_waits(entry: events.Entry) -> None:
    entry.begin(20.0)
    seen: list[int] = []

    def look() -> None:
        seen.append(Event.objects.filter(action="connection.preview", result="started").count())
        connection.close()

    other = threading.Thread(target=look)
    other.start()
    other.join(30)
    assert seen == [1]


def test_nothing_is_left_to_wait_for_in_a_transaction(entry: events.Entry) -> None:
    with transaction.atomic():
        entry.begin(20.0)()


def test_it_lasts_once_it_was_waited_for(entry: events.Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    (_on_postgresql if connection.vendor == "postgresql" else _on_sqlite)(entry, monkeypatch)


def _on_postgresql(entry: events.Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    asked("select set_config('synchronous_commit', 'on', false)")
    not_yet = []
    for _ in range(20):
        wait = entry.begin(20.0)
        written = asked("select pg_current_wal_insert_lsn()::text")
        not_yet.append(asked(BEHIND, written))
        wait()
        assert not asked(BEHIND, written)
    assert any(not_yet)  # now and then the server writes its log by itself
    assert asked("show synchronous_commit") == "on"


def _on_sqlite(entry: events.Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    really = os.fdatasync

    def note(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        really(descriptor)

    monkeypatch.setattr(os, "fdatasync", note)
    wait = entry.begin(20.0)
    assert synced == []
    wait()
    log = f"{asked('select file from pragma_database_list')}-wal"
    assert [os.path.samefile(each, log) for each in synced] == [True]
    assert asked("pragma synchronous") == 2


def test_where_the_caller_commits_by_itself_nothing_lasts_that_it_takes_back(entry: events.Entry) -> None:
    transaction.set_autocommit(False)
    try:
        entry.begin(20.0)()
        transaction.rollback()
    finally:
        transaction.set_autocommit(True)
    assert not Event.objects.filter(action="connection.preview").exists()


def test_on_postgresql_another_connection_cannot_say_that_it_lasts(entry: events.Entry) -> None:
    wait = entry.begin(20.0)
    if connection.vendor == "postgresql":
        connection.close()
        connection.ensure_connection()
        with pytest.raises(OperationalError):
            wait()
    else:
        wait()
