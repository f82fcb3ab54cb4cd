"""A second wall in PostgreSQL: the database itself shows a session no rows but those of the organisation it is for.

A session says whom it is for in two settings of its own: ``catalog.organisation``, an id, or ``catalog.scope``, which
is ``platform`` where all rows may be seen. One that says neither sees no row and writes none. The wall binds the
tables' owner as well; it binds no superuser, and no role with BYPASSRLS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from connections.models import ties
from connections.models.tenancy import Organisation

# Asked in sub-selects, which PostgreSQL works out once for a statement and not for each row.
_PLATFORM = "(select current_setting('catalog.scope', true)) = 'platform'"
_ORGANISATION = "(select nullif(current_setting('catalog.organisation', true), '')::uuid)"


@dataclass(frozen=True, slots=True)
class Wall:
    """What stands in a database. ``open_tables`` have no wall; ``passed_by`` is why a wall does not bind this role."""

    walled: tuple[str, ...]
    open_tables: tuple[str, ...]
    passed_by: str = ""

    @property
    def in_force(self) -> bool:
        """Whether every table is walled, for this role."""
        return bool(self.walled) and not self.open_tables and not self.passed_by


def look(connection: BaseDatabaseWrapper, apps: Any) -> Wall:
    """What stands in the database of ``connection``, and whether it binds the role that asks. One query."""
    if connection.vendor != "postgresql":
        return Wall((), ())
    with connection.cursor() as cursor:
        cursor.execute(
            "select c.relname, c.relrowsecurity and c.relforcerowsecurity and exists (select from pg_policy p "
            "where p.polrelid = c.oid and p.polname = c.relname || '_wall'), r.rolsuper, r.rolbypassrls "
            "from pg_class c, pg_roles r where c.relname = any(%s) and c.relkind = 'r' "
            "and c.relnamespace = current_schema()::regnamespace and r.rolname = current_user",
            [list(_columns(apps))],
        )
        rows = cursor.fetchall()
    passed = [why for row in rows for why, has in zip(("superuser", "BYPASSRLS"), row[2:], strict=True) if has]
    return Wall(
        walled=tuple(sorted(name for name, stands, *_ in rows if stands)),
        open_tables=tuple(sorted(name for name, stands, *_ in rows if not stands)),
        passed_by=passed[0] if passed else "",
    )


def build(connection: BaseDatabaseWrapper, apps: Any) -> None:
    """Put the wall around every table of organisations' rows. For the tables' owner, in a transaction."""
    with connection.cursor() as cursor:
        for table, column in _columns(apps).items():
            for statement in _down(table) + _up(table, column):
                cursor.execute(statement)


def take_down(connection: BaseDatabaseWrapper, apps: Any) -> None:
    """Take the wall away. For the tables' owner, in a transaction."""
    with connection.cursor() as cursor:
        for table in _columns(apps):
            for statement in _down(table):
                cursor.execute(statement)


def extend(using: str, apps: Any = None, **kwargs: Any) -> None:
    """After migrations: where the wall stands, it stands around new tables too."""
    from django.apps import apps as current
    from django.db import connections, transaction

    connection = connections[using]
    wall = look(connection, apps or current)
    if wall.walled and wall.open_tables:
        with transaction.atomic(using=using):
            build(connection, apps or current)


def _up(table: str, column: str) -> list[str]:
    rule = f"{_PLATFORM} or {column} = {_ORGANISATION}"
    return [
        f"create policy {table}_wall on {table} using ({rule}) with check ({rule})",
        f"alter table {table} enable row level security, force row level security",
    ]


def _down(table: str) -> list[str]:
    return [
        f"alter table {table} disable row level security, no force row level security",
        f"drop policy if exists {table}_wall on {table}",
    ]


def _columns(apps: Any) -> dict[str, str]:
    """Every table of organisations' rows, with the column that says whose a row is."""
    tables = {model._meta.db_table: "organisation_id" for model in ties.owned(apps)}
    return {**tables, Organisation._meta.db_table: "id"} if tables else {}
