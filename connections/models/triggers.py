"""Triggers around migrations on SQLite, where making a table anew drops its triggers and stumbles over others'."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder

from connections.models import ties

APP, TIED = "connections", "0006_rows_stay_with_their_organisation"
FINAL = (
    "0004_events_are_final",
    "0008_sealed_batches_are_closed",
    "0009_the_record_is_never_emptied",
    "0012_seals_follow_one_another",
    "0015_no_event_is_replaced",
)
"""The migrations with triggers that keep events and seals as they are. A later one's replaces an earlier one's."""
ASIDE = "drop trigger if exists connections_event_final_place"
"""For the one of them that names two tables."""


def stand_aside(using: str, plan: list[Any] | None = None, **kwargs: Any) -> None:
    """Before migrations that will be run: take away the triggers that name two tables."""
    connection = connections[using]
    if plan and connection.vendor == "sqlite":
        from django.apps import apps

        ties.drop(apps, connection)
        with connection.cursor() as cursor:
            cursor.execute(ASIDE)


def stand_again(using: str, apps: Any = None, **kwargs: Any) -> None:
    """After migrations: make whatever trigger is missing."""
    connection = connections[using]
    if connection.vendor != "sqlite":
        return
    from django.apps import apps as current

    ties.make(apps or current, connection)
    there = ties.present(connection)
    with connection.cursor() as cursor:
        for name, statement in final(connection).items():
            if name not in there:
                cursor.execute(statement)


def final(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """The triggers that keep events and seals as they are in this database, by name, with what makes each."""
    applied = MigrationRecorder(connection).applied_migrations()
    found: dict[str, str] = {}
    for name in FINAL:
        if (APP, name) in applied:
            found |= import_module(f"{APP}.migrations.{name}").triggers(connection.vendor)
    return found


def missing(using: str) -> list[str]:
    """What should hold rows in place in this database and does not."""
    from django.apps import apps

    connection = connections[using]
    if (APP, TIED) not in MigrationRecorder(connection).applied_migrations():
        return []
    return ties.missing(apps, connection) + sorted(final(connection).keys() - ties.present(connection))
