"""The record on a real PostgreSQL, for a login of the catalogue that does not own the tables, and for their owner."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from tests.management.conftest import BEFORE, Catalogue, as_a_login_that_owns_nothing, create, url_of
from tests.servers.pausable import PausableServer

RECORD = """
import django; django.setup()
from connections.models import Event, Organisation
from connections.services import events
organisation = Organisation.objects.order_by("pk").first()
for number in range(5):
    Event.objects.create(organisation=organisation, actor_kind="system", action="thing.happen", result="ok")
"""
TABLES = ("connections_event", "connections_eventseal")


@pytest.fixture(scope="module")
def template(postgresql: PausableServer) -> str:
    """A database of a catalogue with events, of which most are sealed."""
    name = create(postgresql)
    made = Catalogue(url_of(postgresql, name))
    status, text = made.run(BEFORE, "-m", "tests.management.at_work", "fill", "2")
    assert status == 0, text
    assert made.run(BEFORE, "-c", RECORD)[0] == 0
    made.manage(BEFORE, "events", "seal")
    assert made.run(BEFORE, "-c", RECORD)[0] == 0
    return name


@pytest.fixture
def catalogue(postgresql: PausableServer, template: str) -> Catalogue:
    """A copy of that catalogue, as the owner of its tables."""
    return Catalogue(url_of(postgresql, create(postgresql, template)))


@pytest.fixture
def application(catalogue: Catalogue) -> Iterator[Catalogue]:
    """The same catalogue, for a login that may do all that the catalogue does, and owns nothing."""
    with as_a_login_that_owns_nothing(
        catalogue,
        "grant usage on schema public to {}",
        "grant select, insert, update, delete on all tables in schema public to {}",
        "grant usage on all sequences in schema public to {}",
    ) as found:
        yield found


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    "statement",
    [
        "update {} set organisation_id = null",
        "delete from {}",
        "truncate {} cascade",
        "drop table {} cascade",
        "alter table {} disable trigger all",
        "alter table {} owner to current_user",
        "create rule nothing as on insert to {} do instead nothing",
    ],
)
def test_a_login_that_owns_nothing_changes_and_deletes_nothing_of_the_record(
    application: Catalogue, table: str, statement: str
) -> None:
    before = application.ask(f"select count(*) from {table}")
    with psycopg.connect(application.url, autocommit=True) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute(sql.SQL(statement).format(sql.Identifier(table)))
    assert caught.value.sqlstate in ("42501", "23001"), caught.value
    assert application.ask(f"select count(*) from {table}") == before


@pytest.mark.parametrize(
    "statement",
    [
        "insert into connections_event select (jsonb_populate_record(e, jsonb_build_object('id', gen_random_uuid(), "
        "'position', 6))).* from connections_event e where e.position = 5 limit 1",
        "update connections_event u set seal_id = s.seal_id, position = 6 from connections_event s "
        "where u.seal_id is null and s.position = 5 and s.organisation_id = u.organisation_id",
        "create temp table connections_eventseal (id uuid, events int);"
        "insert into connections_eventseal select seal_id, 1000 from connections_event where position = 5;"
        "update connections_event u set seal_id = s.seal_id, position = 1000 from connections_event s "
        "where u.seal_id is null and s.position = 5 and s.organisation_id = u.organisation_id",
    ],
)
def test_a_login_that_owns_nothing_adds_nothing_to_what_is_sealed(application: Catalogue, statement: str) -> None:
    with psycopg.connect(application.url, autocommit=True) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute(statement.encode())
    assert caught.value.sqlstate == "23001", caught.value
    assert "ok" in application.manage(BEFORE, "events", "verify")


PLATFORMS = """
insert into connections_event (id, organisation_id, at, actor_kind, actor_id, actor_label, action,
  object_kind, object_id, object_label, result, code, changes, detail, request_id)
values (gen_random_uuid(), null, now(), 'system', '', '', 'a.b', '', '', '', 'ok', '', '{}', '{}', '')
"""
FOOLED = """
create temp table connections_eventseal (id uuid, organisation_id uuid);
update connections_event set seal_id = (select id from public.connections_eventseal where number = 1001), position = 1
where id = (select id from connections_event where organisation_id is null limit 1)
"""
"""An organisation's seal for an event of the platform's, where a table that says nothing stands before the real one."""


def test_a_table_of_ones_own_is_not_taken_for_the_catalogues(catalogue: Catalogue, application: Catalogue) -> None:
    with psycopg.connect(catalogue.url, autocommit=True) as owner:  # a seal with room, which nobody else can make
        owner.execute(PLATFORMS.encode())
        owner.execute("set session_replication_role = replica")
        owner.execute(
            "insert into connections_eventseal (id, organisation_id, number, previous, digest, events, sealed_at) "
            "select gen_random_uuid(), id, 1001, '', '', 1, now() from connections_organisation limit 1"
        )
    with psycopg.connect(application.url, autocommit=True) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute(FOOLED.encode())
    assert caught.value.sqlstate == "23503", caught.value
    assert "the platform's points at an organisation's" in str(caught.value)


def test_every_trigger_of_the_catalogues_looks_names_up_where_nobody_puts_any(catalogue: Catalogue) -> None:
    functions = catalogue.ask(
        "select distinct p.proname, p.proconfig from pg_trigger t join pg_proc p on p.oid = t.tgfoid "
        "where not t.tgisinternal order by 1"
    )
    assert len(functions) > 5
    assert {name for name, config in functions if config != ["search_path=pg_catalog, pg_temp"]} == set()


def test_a_catalogue_in_a_schema_of_its_own_is_kept_by_its_own_tables(postgresql: PausableServer) -> None:
    name = create(postgresql)
    made = Catalogue(url_of(postgresql, name))
    with psycopg.connect(made.url, autocommit=True) as owner:
        owner.execute("create schema kept")
        owner.execute(sql.SQL("alter database {} set search_path = kept").format(sql.Identifier(name)))
    assert made.run(BEFORE, "-m", "tests.management.at_work", "fill", "2")[0] == 0
    assert made.run(BEFORE, "-c", RECORD)[0] == 0
    made.manage(BEFORE, "events", "seal")
    assert "ok" in made.manage(BEFORE, "events", "verify")
    assert made.ask("select distinct schemaname::text from pg_tables where tablename like 'connections_%'") == [
        ("kept",)
    ]
    made.manage(BEFORE, "check", "--database", "default", "--fail-level", "WARNING")
    with psycopg.connect(made.url, autocommit=True) as owner:
        owner.execute(PLATFORMS.encode())
        with pytest.raises(psycopg.Error) as caught:
            owner.execute(
                "update connections_event set position = 1, seal_id = (select id from connections_eventseal limit 1) "
                "where organisation_id is null"
            )
    assert caught.value.sqlstate == "23503", caught.value


@pytest.mark.parametrize(
    "statement",
    [
        "truncate connections_event",
        "truncate connections_eventseal cascade",
        "truncate connections_organisation, connections_event, connections_eventseal cascade",
        "delete from connections_event",
    ],
)
def test_the_tables_owner_does_not_empty_the_record_either(catalogue: Catalogue, statement: str) -> None:
    with psycopg.connect(catalogue.url, autocommit=True) as owner, pytest.raises(psycopg.Error) as caught:
        owner.execute(statement.encode())
    assert caught.value.sqlstate == "23001", caught.value
    assert "never" in str(caught.value)
    assert "ok" in catalogue.manage(BEFORE, "events", "verify")


@pytest.mark.parametrize("setting", ["session_replication_role = replica", "role postgres"])
def test_no_setting_of_its_session_turns_the_triggers_off(application: Catalogue, setting: str) -> None:
    with psycopg.connect(application.url, autocommit=True) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute(f"set {setting}".encode())
    assert caught.value.sqlstate in ("42501", "22023"), caught.value


def test_the_catalogue_works_under_that_login_and_seals_and_verifies(application: Catalogue) -> None:
    assert application.run(BEFORE, "-c", RECORD)[0] == 0
    application.manage(BEFORE, "events", "seal")
    assert "ok" in application.manage(BEFORE, "events", "verify")


@pytest.mark.parametrize(
    "deed",
    [
        "update connections_event set actor_label = 'somebody else' where action = 'thing.happen'",
        "delete from connections_event where position = 2",
        "update connections_event set position = 100 - position where seal_id is not null",
    ],
)
def test_what_the_tables_owner_does_with_the_triggers_off_is_found(catalogue: Catalogue, deed: str) -> None:
    with psycopg.connect(catalogue.url, autocommit=True) as owner:
        owner.execute("set session_replication_role = replica")
        assert owner.execute(deed.encode()).rowcount > 0
    status, text = catalogue.run(BEFORE, "manage.py", "events", "verify")
    assert status == 2, text
    assert "not as they were sealed" in text


def test_an_end_that_the_owner_cut_off_is_found_by_a_head_that_was_kept(catalogue: Catalogue) -> None:
    catalogue.manage(BEFORE, "events", "seal")
    heads = catalogue.manage(BEFORE, "events", "verify")
    anchor = next(line.split()[0] for line in heads.splitlines() if "=2:" in line)
    with psycopg.connect(catalogue.url, autocommit=True) as owner:
        owner.execute("set session_replication_role = replica")
        last = "select id from connections_eventseal where number = 2"
        owner.execute(f"delete from connections_event where seal_id in ({last})".encode())
        owner.execute("delete from connections_eventseal where number = 2")
    assert catalogue.run(BEFORE, "manage.py", "events", "verify")[0] == 0
    status, text = catalogue.run(BEFORE, "manage.py", "events", "verify", "--anchor", anchor)
    assert status == 2, text
