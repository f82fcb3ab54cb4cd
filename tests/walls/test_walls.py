"""With the wall, PostgreSQL itself holds back what is another organisation's, whatever asks it and however.

These tests run where the wall stands: ``tests/walls/test_on_postgresql.py`` runs them so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.apps import apps
from django.core.signals import request_finished, request_started
from django.db import DatabaseError, IntegrityError, close_old_connections, connection, transaction
from django.db.models import Model

from connections.models import APIKey, Connection, Event, Organisation, row_security
from connections.services import walls
from connections.services.system_checks import check_row_security
from tests.catalogue import Tenant
from tests.models.rows import owned, rows_of

Rows = dict[type[Model], Any]


@pytest.fixture
def theirs(globex: Tenant) -> Rows:
    return rows_of(globex)


@pytest.fixture
def served() -> Iterator[None]:
    """Outside requests this process works for nobody, as one that serves requests does."""
    before = walls._outside
    walls._outside = walls.NOBODY
    walls.leave()
    yield
    walls._outside = before
    walls.leave()


def count(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"select count(*) from {table}")
        return int(cursor.fetchone()[0])


def refused(act: Callable[[], Any]) -> bool:
    """Whether the database refuses ``act``; where it does it, it touches no row."""
    try:
        with transaction.atomic():
            return not act()
    except DatabaseError:
        return True


def insert_is_refused(row: Any) -> None:
    # A seal is asked first whether it follows on the last one, of those that are seen.
    with pytest.raises(DatabaseError, match=r"row-level security|follows the last"), transaction.atomic():
        type(row)._base_manager.bulk_create([_again(row)])


# What is there -----------------------------------------------------------------------------------------------------


def test_every_table_of_organisations_is_walled_for_this_login_which_owns_them(acme: Tenant) -> None:
    wall = row_security.look(connection, apps)
    models: list[type[Model]] = [*owned(), Organisation]
    assert set(wall.walled) == {model._meta.db_table for model in models}
    assert wall.in_force
    with connection.cursor() as cursor:
        cursor.execute("select bool_and(tableowner = current_user) from pg_tables where tablename like 'connections_%'")
        assert cursor.fetchone() == (True,)
    assert check_row_security(None, databases=["default"]) == []


@pytest.mark.parametrize("model", [*owned(), Organisation], ids=lambda model: model.__name__)
def test_another_organisations_row_is_not_there_by_any_way(
    model: Any, theirs: Rows, acme: Tenant, globex: Tenant
) -> None:
    row = globex.organisation if model is Organisation else theirs[model]
    table, key = model._meta.db_table, model._meta.pk.column
    with walls.inside(acme.organisation.pk):
        assert not model._base_manager.filter(pk=row.pk).exists()
        assert not model._default_manager.using("default").filter(pk=row.pk).exists()
        assert row.pk not in {found.pk for found in model._base_manager.raw(f"select * from {table}")}
        with connection.cursor() as cursor:
            cursor.execute(f"select 1 from {table} where {key} = %s", [row.pk])
            assert cursor.fetchone() is None
        with pytest.raises(model.DoesNotExist):
            row.refresh_from_db()
        with pytest.raises(model.DoesNotExist), transaction.atomic():
            model._base_manager.select_for_update().get(pk=row.pk)
    with walls.inside(globex.organisation.pk):
        assert model._base_manager.filter(pk=row.pk).exists()


def test_prefetches_and_joins_bring_no_foreign_row(theirs: Rows, acme: Tenant, globex: Tenant) -> None:
    acme.sqlite("Shop")
    everything = Organisation.objects.prefetch_related("connections", "keys", "api_keys", "memberships")
    with walls.inside(acme.organisation.pk):
        [only] = everything
        assert only == acme.organisation
        assert [row.name for row in only.connections.all()] == ["Shop"]
        assert not Connection.objects.filter(organisation__slug="globex").exists()
        assert not APIKey.objects.filter(membership__organisation=globex.organisation).exists()
        person = globex.people["viewer"]
        assert list(person.memberships.all()) == []
        assert theirs[Connection].secrets_rows.count() == 0


@pytest.mark.parametrize("model", [*owned(), Organisation], ids=lambda model: model.__name__)
def test_whoever_works_for_nobody_finds_nothing_and_writes_nothing(model: type[Model], theirs: Rows) -> None:
    row = theirs[Connection].organisation if model is Organisation else theirs[model]
    walls._stand(walls.NOBODY)
    assert count(model._meta.db_table) == 0
    insert_is_refused(row)


# What is written ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", owned(), ids=lambda model: model.__name__)
def test_a_foreign_row_is_not_inserted_changed_or_deleted(
    model: type[Model], theirs: Rows, acme: Tenant, globex: Tenant
) -> None:
    row = theirs[model]
    table, key = model._meta.db_table, model._meta.pk.column
    with walls.inside(acme.organisation.pk):
        insert_is_refused(row)
        assert refused(lambda: model._base_manager.filter(pk=row.pk).update(organisation=acme.organisation))
        assert refused(lambda: _rows(f"update {table} set {key} = {key} where {key} = %s", row.pk))
        assert refused(lambda: _rows(f"delete from {table} where {key} = %s", row.pk))
        assert refused(lambda: model._base_manager.filter(pk=row.pk).delete()[0])
    assert model._base_manager.filter(pk=row.pk, organisation=globex.organisation).exists()


def test_ones_own_row_is_not_given_away(acme: Tenant, globex: Tenant) -> None:
    own = acme.sqlite("Shop")
    with walls.inside(acme.organisation.pk), pytest.raises(DatabaseError), transaction.atomic():
        Connection.objects.filter(pk=own.pk).update(organisation=globex.organisation)


def test_organisations_themselves_are_the_platforms_to_make(acme: Tenant) -> None:
    with walls.inside(acme.organisation.pk):
        assert refused(lambda: Organisation.objects.create(slug="new", name="New"))
    assert Organisation.objects.create(slug="new", name="New") in Organisation.objects.all()


def test_an_event_is_written_for_its_own_organisation_whoever_is_looked_at(acme: Tenant, globex: Tenant) -> None:
    from connections.services import events

    with walls.inside(globex.organisation.pk):
        events.record(acme.actor(), "a.b")
        events.not_theirs([acme.actor()], "GET somewhere", {"connection": "secret"})
        assert walls.scope() == walls.Scope(str(globex.organisation.pk))
    assert Event.objects.filter(organisation=acme.organisation, action="a.b").exists()
    assert Event.objects.filter(organisation=None, action="access.denied").exists()


# Who is worked for, and until when ---------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_request_finds_nothing_that_an_earlier_one_on_its_connection_was_for(acme: Tenant, served: None) -> None:
    assert acme.api("viewer").get("connections/").status_code == 200
    session = _session()
    assert count("connections_organisation") == 0, "the session still is for whom the request was"
    walls.enter(acme.organisation.pk)  # as a request that ends without telling anybody
    assert count("connections_organisation") == 1
    request_started.disconnect(close_old_connections)
    try:
        request_started.send(sender=None, environ={})
    finally:
        request_started.connect(close_old_connections)
    assert count("connections_organisation") == 0
    walls.enter_platform()
    request_finished.disconnect(close_old_connections)
    try:
        request_finished.send(sender=None)
    finally:
        request_finished.connect(close_old_connections)
    assert count("connections_organisation") == 0
    assert _session() == session, "this was to be one session all along"


@pytest.mark.django_db(transaction=True)
def test_requests_of_two_organisations_on_one_session_see_each_its_own(
    acme: Tenant, globex: Tenant, served: None
) -> None:
    for tenant, name in ((acme, "Shop"), (globex, "Store")):
        with walls.inside(tenant.organisation.pk):
            tenant.sqlite(name)
    for _ in range(3):
        for tenant, name in ((acme, "Shop"), (globex, "Store")):
            found = tenant.api("viewer").get("connections/").json()["results"]
            assert [row["name"] for row in found] == [name]
            assert name in tenant.browser("viewer").get("/admin/connections/connection/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_new_session_is_told_for_whom_it_is(acme: Tenant) -> None:
    with walls.inside(acme.organisation.pk):
        before = _session()
        connection.close()
        assert count("connections_organisation") == 1
        assert _session() != before


@pytest.mark.django_db(transaction=True)
def test_what_was_said_in_a_transaction_and_undone_with_it_leaves_nothing_open(
    acme: Tenant, globex: Tenant, served: None
) -> None:
    with pytest.raises(IntegrityError), transaction.atomic(), walls.inside(acme.organisation.pk):
        Organisation.objects.filter(pk=acme.organisation.pk).update(slug=None)
    assert count("connections_organisation") == 0

    with walls.inside(acme.organisation.pk):
        with pytest.raises(ZeroDivisionError), transaction.atomic(), walls.inside(globex.organisation.pk):
            assert 1 / (Organisation.objects.get() != globex.organisation)
        assert Organisation.objects.get() == acme.organisation
        with transaction.atomic():
            with pytest.raises(IntegrityError), transaction.atomic(), walls.platform():
                Organisation.objects.update(slug=None)
            assert Organisation.objects.get() == acme.organisation
            with walls.inside(globex.organisation.pk):
                assert Organisation.objects.get() == globex.organisation
        assert Organisation.objects.get() == acme.organisation
    assert count("connections_organisation") == 0


@pytest.mark.django_db(transaction=True)
def test_each_thread_works_for_whom_it_said(acme: Tenant, globex: Tenant, served: None) -> None:
    seen: dict[str, list[str]] = {}

    def look(name: str, organisation: Any) -> None:
        before = list(Organisation.objects.values_list("slug", flat=True))
        with walls.inside(organisation):
            inside = [list(Organisation.objects.values_list("slug", flat=True)) for _ in range(20)]
        seen[name] = [*before, *(slug for found in inside for slug in found)]
        connection.close()

    with walls.inside(acme.organisation.pk):
        threads = [
            threading.Thread(target=look, args=(tenant.slug, tenant.organisation.pk)) for tenant in (acme, globex)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
    assert seen == {"acme": ["acme"] * 20, "globex": ["globex"] * 20}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("format_", ["json", "ndjson"])
def test_a_read_is_on_record_though_its_end_comes_after_the_answer(acme: Tenant, served: None, format_: str) -> None:
    with walls.inside(acme.organisation.pk):
        acme.sqlite("Shop")
    answer = acme.api("analyst").post(f"connections/shop/preview/?format={format_}", {"query": {"table": ["orders"]}})
    body = answer.getvalue()
    assert answer.status_code == 200, body
    assert b"item 1" in body
    answer.close()
    with walls.inside(acme.organisation.pk):
        action = "connection.preview" if format_ == "json" else "connection.export"
        assert sorted(Event.objects.filter(action=action).values_list("result", flat=True)) == ["ok", "started"]
    assert count("connections_event") == 0


@pytest.mark.django_db(transaction=True)
def test_python_reads_within_the_actors_organisation(acme: Tenant, served: None) -> None:
    from connections import services

    with walls.inside(acme.organisation.pk):
        shop = Connection.objects.select_related("organisation").get(pk=acme.sqlite("Shop").pk)
    frame = services.read(shop, {"table": ["orders"]}, actor=acme.actor())
    assert list(frame["item"]) == ["item 1", "item 2", "item 3"]


# ---------------------------------------------------------------------------------------------------------------------


def _rows(sql: str, *values: Any) -> int:
    """Run SQL; return how many rows it was about."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return int(cursor.rowcount)


def _again(row: Any) -> Any:
    """The same row under a key of its own."""
    copy = type(row)(**{field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields})
    copy.pk = type(row)._meta.pk.get_default() if not row._meta.pk.remote_field else row.pk
    return copy


def _session() -> int:
    """The number of the server's process behind this connection."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_backend_pid()")
        return int(cursor.fetchone()[0])
