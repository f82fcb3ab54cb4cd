"""Triggers around migrations on SQLite, where making a table anew drops its triggers and stumbles over others'."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder

from connections.models import ties

APP, FINAL, TIED = "connections", "0004_events_are_final", "0006_rows_stay_with_their_organisation"


def stand_aside(using: str, plan: list[Any] | None = None, **kwargs: Any) -> None:
    """Before migrations that will be run: take away the triggers that name two tables."""
    connection = connections[using]
    if plan and connection.vendor == "sqlite":
        from django.apps import apps

        ties.drop(apps, connection)


def stand_again(using: str, apps: Any = None, **kwargs: Any) -> None:
    """After migrations: make whatever trigger is missing."""
    connection = connections[using]
    if connection.vendor != "sqlite":
        return
    from django.apps import apps as current

    ties.make(apps or current, connection)
    if not _applied(connection, FINAL):
        return
    there = ties.present(connection)
    with connection.cursor() as cursor:
        for name, statement in final().items():
            if name not in there:
                cursor.execute(statement)


def final() -> dict[str, str]:
    """The triggers on SQLite that keep events and seals as they are, by name."""
    statements: list[str] = import_module(f"{APP}.migrations.{FINAL}").statements("sqlite")
    return {statement.split()[2]: statement for statement in statements}


def missing(using: str) -> list[str]:
    """What should hold rows in place in this database and does not."""
    from django.apps import apps

    connection = connections[using]
    if not _applied(connection, TIED):
        return []
    found = ties.missing(apps, connection)
    return found + sorted(final().keys() - ties.present(connection)) if connection.vendor == "sqlite" else found


def _applied(connection: BaseDatabaseWrapper, migration: str) -> bool:
    return (APP, migration) in MigrationRecorder(connection).applied_migrations()
