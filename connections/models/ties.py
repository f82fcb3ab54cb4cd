"""A row and the row it points at belong to one organisation: the database itself refuses anything else.

Every table with an ``organisation`` has two promises. No row of it ever moves to another organisation. And each of its
foreign keys to another such table leads to a row of the same organisation: on PostgreSQL by a second, composite foreign
key, on SQLite by triggers. Both are found from the models, so a new table needs a migration that calls ``make``, and
nothing that lists it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import ForeignKey, Model

OWNER = "organisation"
APP = "connections"


@dataclass(frozen=True, slots=True)
class Tie:
    """A foreign key from one table of organisations' rows to another."""

    table: str
    column: str
    parent: str
    parent_key: str
    platform: bool
    """Whether rows may be the platform's own, with no organisation."""

    @property
    def name(self) -> str:
        return f"{self.table}_{self.column}_tied"


def owned(apps: Any) -> list[type[Model]]:
    """The models whose rows belong to an organisation."""
    return [model for model in apps.get_models() if model._meta.app_label == APP and _has_owner(model)]


def ties(apps: Any) -> list[Tie]:
    """Every foreign key between two of them."""
    return [
        Tie(
            table=model._meta.db_table,
            column=field.column,
            parent=field.related_model._meta.db_table,
            parent_key=_key(field.related_model),
            platform=model._meta.get_field(OWNER).null,
        )
        for model in owned(apps)
        for field in model._meta.local_concrete_fields
        if isinstance(field, ForeignKey) and field.name != OWNER and _has_owner(field.related_model)
    ]


def make(apps: Any, connection: BaseDatabaseWrapper) -> None:
    """Make what is missing of the ties between the tables of ``apps``."""
    wanted = _wanted(apps, connection.vendor)
    absent = wanted.keys() - present(connection)
    with connection.cursor() as cursor:
        if absent and connection.vendor == "postgresql":
            cursor.execute(FUNCTIONS)
        for name in wanted:
            if name in absent:
                cursor.execute(wanted[name])


def missing(apps: Any, connection: BaseDatabaseWrapper) -> list[str]:
    """The names of ties that should be there and are not."""
    return sorted(_wanted(apps, connection.vendor).keys() - present(connection))


def drop(apps: Any, connection: BaseDatabaseWrapper) -> None:
    """Take all of them away."""
    there = present(connection)
    with connection.cursor() as cursor:
        for name, statement in reversed(list(_wanted(apps, connection.vendor).items())):
            if name in there:
                cursor.execute(_undone(name, statement, connection.vendor))
        if connection.vendor == "postgresql":
            cursor.execute("drop function connections_row_stays(); drop function connections_platform_tie()")


def _has_owner(model: Any) -> bool:
    return any(field.name == OWNER and isinstance(field, ForeignKey) for field in model._meta.local_concrete_fields)


def _key(model: Any) -> str:
    return str(model._meta.pk.column)


def _wanted(apps: Any, vendor: str) -> Mapping[str, str]:
    """What there has to be, by name, in the order in which it can be made."""
    found = ties(apps)
    tables = [(model._meta.db_table, _key(model)) for model in owned(apps)]
    if vendor == "postgresql":
        return dict(_on_postgresql(tables, found))
    return dict(_on_sqlite(tables, found))


def present(connection: BaseDatabaseWrapper) -> set[str]:
    """The names of all triggers and, on PostgreSQL, constraints that there are."""
    queries = {
        "postgresql": "select conname from pg_constraint where connamespace = current_schema()::regnamespace"
        " union select t.tgname from pg_trigger t join pg_class c on c.oid = t.tgrelid"
        " where not t.tgisinternal and c.relnamespace = current_schema()::regnamespace",
        "sqlite": "select name from sqlite_master where type = 'trigger'",
    }
    with connection.cursor() as cursor:
        cursor.execute(queries[connection.vendor])
        return {name for (name,) in cursor.fetchall()}


def _undone(name: str, statement: str, vendor: str) -> str:
    if vendor == "postgresql" and statement.startswith("alter table"):
        return f"alter table {statement.split()[2]} drop constraint {name}"
    if vendor == "postgresql":
        return f"drop trigger {name} on {statement.partition(' on ')[2].split()[0]}"
    return f"drop trigger {name}"


# PostgreSQL --------------------------------------------------------------------------------------------------------

# Names are looked up in pg_catalog, and the table in the schema of the one that points at it: nobody brings others.
FUNCTIONS = """
create or replace function connections_row_stays() returns trigger language plpgsql
set search_path = pg_catalog, pg_temp as $$
begin
  raise exception 'A row of % never moves to another organisation.', tg_table_name using errcode = 'restrict_violation';
end $$;
create or replace function connections_platform_tie() returns trigger language plpgsql
set search_path = pg_catalog, pg_temp as $$
declare
  theirs boolean;
begin
  execute format('select exists (select from %I.%I where %I = $1 and organisation_id is not null)',
    tg_table_schema, tg_argv[1], tg_argv[2]) into theirs using (to_jsonb(new) ->> tg_argv[0])::uuid;
  if theirs then
    raise exception 'A row of % that is the platform''s points at an organisation''s.', tg_table_name
      using errcode = 'foreign_key_violation';
  end if;
  return new;
end $$
"""


def _on_postgresql(tables: list[tuple[str, str]], found: list[Tie]) -> Iterator[tuple[str, str]]:
    for table, key in tables:
        name = f"{table}_stays"
        yield (
            name,
            f"create trigger {name} before update of organisation_id, {key} on {table} for each row when "
            f"(old.organisation_id is distinct from new.organisation_id or old.{key} is distinct from new.{key}) "
            "execute function connections_row_stays()",
        )
    for parent, key in sorted({(tie.parent, tie.parent_key) for tie in found}):
        name = f"{parent}_with_organisation"
        yield name, f"alter table {parent} add constraint {name} unique ({key}, organisation_id)"
    for tie in found:
        # Deferred as Django's own are: fixtures may bring rows in any order.
        yield (
            tie.name,
            f"alter table {tie.table} add constraint {tie.name} foreign key ({tie.column}, organisation_id) "
            f"references {tie.parent} ({tie.parent_key}, organisation_id) deferrable initially deferred",
        )
        if tie.platform:  # a foreign key asks nothing of a row with a null in it
            name = f"{tie.name}_platform"
            yield (
                name,
                f"create trigger {name} before insert or update of organisation_id, {tie.column} on {tie.table} "
                f"for each row when (new.organisation_id is null and new.{tie.column} is not null) "
                f"execute function connections_platform_tie('{tie.column}', '{tie.parent}', '{tie.parent_key}')",
            )


# SQLite ------------------------------------------------------------------------------------------------------------


def _on_sqlite(tables: list[tuple[str, str]], found: list[Tie]) -> Iterator[tuple[str, str]]:
    for table, key in tables:
        yield _trigger(
            f"{table}_stays",
            f"before update of organisation_id, {key} on {table}",
            f"old.organisation_id is not new.organisation_id or old.{key} is not new.{key}",
            f"A row of {table} never moves to another organisation.",
        )
    for tie in found:
        trigger = partial(_trigger, text=f"{tie.column} of {tie.table} points at another organisation''s row.")
        unequal = _differs(tie.parent, f"their.{tie.parent_key} = new.{tie.column}")
        yield trigger(f"{tie.name}_insert", f"before insert on {tie.table}", unequal)
        yield trigger(f"{tie.name}_update", f"before update of organisation_id, {tie.column} on {tie.table}", unequal)
        children = _differs(tie.table, f"their.{tie.column} = new.{tie.parent_key}")
        yield trigger(f"{tie.name}_parent", f"before insert on {tie.parent}", children)


def _differs(table: str, joined: str) -> str:
    """Whether a row of ``table`` that is ``joined`` to the new one is another organisation's."""
    return f"exists (select 1 from {table} their where {joined} and their.organisation_id is not new.organisation_id)"  # noqa: S608


def _trigger(name: str, moment: str, condition: str, text: str) -> tuple[str, str]:
    return name, f"create trigger {name} {moment} when {condition} begin select raise(abort, '{text}'); end"
