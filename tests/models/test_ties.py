"""The database itself keeps a row, and the row it points at, with one organisation."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.db.models import CharField, Model

from connections.models import Connection, Event, EventSeal, ties, triggers
from connections.models.base import uuid7
from connections.services.system_checks import check_ties
from connections.testing.emptying import guard_the_record
from tests.catalogue import Tenant
from tests.models.rows import links, new_connection, next_seal, owned, rows_of

Rows = dict[type[Model], Any]


@pytest.fixture
def ours(acme: Tenant) -> Rows:
    return rows_of(acme)


@pytest.fixture
def theirs(globex: Tenant) -> Rows:
    return rows_of(globex)


def run(sql: str, *values: Any) -> None:
    """Run raw SQL to its end: what the database would only refuse at a commit, it refuses here."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, values)
        if connection.vendor == "postgresql":
            cursor.execute("set constraints all immediate")
            cursor.execute("set constraints all deferred")


def refused(sql: str, *values: Any) -> bool:
    try:
        run(sql, *values)
    except DatabaseError:
        return True
    return False


def stored(field: Any, value: Any) -> Any:
    """``value`` as the column has it."""
    return field.get_db_prep_value(getattr(value, "pk", value), connection)


def copied(row: Any, **changed: Any) -> tuple[str, list[Any]]:
    """SQL that inserts ``row`` again under another key, with other values for the columns of ``changed``."""
    meta = row._meta
    values: dict[Any, Any] = {} if meta.pk.name in changed else {meta.pk.column: stored(meta.pk, uuid7())}
    for field in meta.concrete_fields:
        if field.name in changed:
            values[field.column] = stored(field, changed[field.name])
        elif field.unique and isinstance(field, CharField):
            values[field.column] = secrets.token_hex(6)
    columns = [field.column for field in meta.concrete_fields]
    chosen = ", ".join("%s" if column in values else f'"{column}"' for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    sql = f"insert into {meta.db_table} ({names}) select {chosen} from {meta.db_table} where {meta.pk.column} = %s"
    return sql, [*(values[column] for column in columns if column in values), stored(meta.pk, row.pk)]


def fresh(model: type[Model], tenant: Tenant, number: int) -> Any:
    """A new row of ``model`` that nothing points at."""
    if model is Connection:
        return new_connection(tenant, f"fresh-{number}")
    if model is EventSeal:
        return next_seal(tenant.organisation)
    return next(row for made, row in rows_of_people(tenant).items() if made is model)


def rows_of_people(tenant: Tenant) -> Rows:
    from connections.models import APIKey, Membership

    return {
        APIKey: APIKey.objects.filter(organisation=tenant.organisation).last(),
        Membership: Membership.objects.filter(organisation=tenant.organisation).last(),
    }


def test_there_is_a_row_of_every_table_that_an_organisation_has_rows_in(ours: Rows) -> None:
    assert set(owned()) == set(ours)
    assert len(links()) >= 8


def test_no_table_points_at_an_organisations_row_without_saying_whose_it_is() -> None:
    for model in apps.get_app_config("connections").get_models(include_auto_created=True):
        if model in owned():
            continue
        fields = (*model._meta.local_concrete_fields, *model._meta.local_many_to_many)
        pointing = [field.name for field in fields if field.related_model in owned()]
        assert not pointing, f"{model.__name__} points at rows of organisations and has no organisation: {pointing}"


@pytest.mark.parametrize(("model", "field"), links(), ids=lambda part: getattr(part, "__name__", None) or part.name)
def test_a_row_cannot_point_at_another_organisations_row(
    model: type[Model], field: Any, ours: Rows, theirs: Rows, acme: Tenant, globex: Tenant
) -> None:
    own, foreign = fresh(field.related_model, acme, 2001), fresh(field.related_model, globex, 2001)
    if field.name == "seal":  # no event arrives with one, whoever's it is
        guard_the_record(False)
    refusing = copied(ours[model], **{field.name: foreign})
    assert refused(refusing[0], *refusing[1])
    taken = copied(ours[model], **{field.name: own})
    assert not refused(taken[0], *taken[1]), "the row is refused for another reason than its organisation"

    table, key = model._meta.db_table, model._meta.pk
    row = stored(key, ours[model].pk)
    moving = f"update {table} set {field.column} = %s where {key.column} = %s"
    assert refused(moving, stored(field, fresh(field.related_model, globex, 2002)), row)


@pytest.mark.parametrize("model", owned(), ids=lambda model: model.__name__)
def test_a_row_never_moves_to_another_organisation(model: type[Model], ours: Rows, globex: Tenant) -> None:
    row = ours[model]
    where = f"where {row._meta.pk.column} = %s"
    moved = f"update {row._meta.db_table} set organisation_id = %s {where}"
    organisation = row._meta.get_field("organisation")
    assert refused(moved, stored(organisation, globex.organisation), stored(row._meta.pk, row.pk))
    if organisation.null:
        assert refused(moved, None, stored(row._meta.pk, row.pk))


def test_a_connection_that_nothing_points_at_does_not_move_either(acme: Tenant, globex: Tenant) -> None:
    row = new_connection(acme, "alone")
    row.organisation = globex.organisation
    with pytest.raises(DatabaseError), transaction.atomic():
        row.save()
    with pytest.raises(DatabaseError), transaction.atomic():
        Connection.objects.filter(pk=row.pk).update(organisation=globex.organisation)


def test_the_platforms_events_and_an_organisations_are_never_in_one_seal(ours: Rows, acme: Tenant) -> None:
    own, platforms = next_seal(acme.organisation), next_seal(None)
    for seal, organisation in ((own, None), (platforms, acme.organisation)):
        sql, values = copied(ours[Event], seal=seal, organisation=organisation)
        assert refused(sql, *values)
        event = Event.objects.create(
            organisation=organisation, actor_kind="user", actor_label="x", action="a.b", result="ok"
        )
        update = "update connections_event set seal_id = %s, position = 1 where id = %s"
        field = Event._meta.get_field("seal")
        assert refused(update, stored(field, seal), stored(Event._meta.pk, event.pk))


@pytest.mark.django_db(transaction=True)
def test_a_tie_that_went_is_named_and_made_again() -> None:
    assert triggers.missing("default") == []
    gone = ["connections_connection_stays"]
    if connection.vendor == "sqlite":  # where making a table anew takes its triggers along
        gone += ["connections_event_final_delete", "connections_connectionuse_connection_id_tied_insert"]
    with connection.cursor() as cursor:
        for name in gone:
            cursor.execute(f"drop trigger {name}" + (" on connections_connection" * (connection.vendor != "sqlite")))
    [warning] = check_ties(None, databases=["default"])
    assert all(name in warning.msg for name in gone)
    assert "migrate" in (warning.hint or "")
    if connection.vendor == "sqlite":
        call_command("migrate", verbosity=0)
    else:
        ties.make(apps, connection)
    assert check_ties(None, databases=["default"]) == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("migration", ["0003", "0004", "0008"])
def test_migrations_that_make_tables_anew_are_not_held_up(migration: str) -> None:
    call_command("migrate", "connections", migration, verbosity=0)
    call_command("migrate", verbosity=0)
    assert triggers.missing("default") == []
