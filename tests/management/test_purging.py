"""Old events go by policy, on a real PostgreSQL: what goes, what stays, who may, and that the rest verifies."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from catalog_project.demo import postgres
from tests.management.conftest import BEFORE, Catalogue, as_a_login_that_owns_nothing, create, url_of
from tests.servers.pausable import PausableServer

AGED = """
import django; django.setup()
from datetime import timedelta
from django.utils import timezone
from connections.models import Event, EventSeal, Organisation
from connections.services import seals
now = timezone.now()
EventSeal._meta.get_field("sealed_at").default = lambda: then
organisations = [Organisation.objects.create(slug=slug, name=slug) for slug in ("acme", "globex")]
for days in (400, 300, 200):
    then = now - timedelta(days=days)
    for organisation in (*organisations, None):
        for number in range(5):
            Event.objects.create(
                organisation=organisation, actor_kind="user", actor_label="x", action="thing.happen", result="ok",
                at=then, detail={"days": days},
            )
    seals.seal()
"""
"""Three chains of three batches of five events each, sealed by a clock that was right then."""
CHAINS = 3
LEFT = "select detail ->> 'days', count(*) from connections_event where action = 'thing.happen' group by 1 order by 1"
ALL = [("200", 15), ("300", 15), ("400", 15)]
ACME = "(select id from connections_organisation where slug = 'acme')"


@pytest.fixture(scope="module")
def template(postgresql: PausableServer) -> str:
    name = create(postgresql)
    made = Catalogue(url_of(postgresql, name))
    made.manage(BEFORE, "migrate")
    status, text = made.run(BEFORE, "-c", AGED)
    assert status == 0, text
    return name


@pytest.fixture
def aged(postgresql: PausableServer, template: str, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    """A copy of that catalogue, as the owner of its tables, where events are kept for 250 days."""
    monkeypatch.setenv("CATALOG_EVENTS_KEEP_DAYS", "250")
    return Catalogue(url_of(postgresql, create(postgresql, template)))


@pytest.fixture
def application(aged: Catalogue) -> Iterator[Catalogue]:
    """The same catalogue, for a login that has every right to its tables, and owns none."""
    grants = ("grant usage, create on schema public to {}", "grant all on all tables in schema public to {}")
    with as_a_login_that_owns_nothing(aged, *grants) as found:
        yield found


def purge(catalogue: Catalogue, *options: str) -> str:
    return catalogue.manage(BEFORE, "events", "purge", *options)


def verify(catalogue: Catalogue, *options: str) -> str:
    return catalogue.manage(BEFORE, "events", "verify", *options)


def told(catalogue: Catalogue) -> list[Any]:
    return catalogue.ask(
        "select coalesce(o.slug, '@platform'), e.object_label, (e.detail ->> 'first')::int, "
        "(e.detail ->> 'through')::int, (e.detail ->> 'events')::int, e.actor_kind from connections_event e "
        "left join connections_organisation o on o.id = e.organisation_id where e.action = 'record.purge' "
        "order by 1, 2, 3"
    )


def test_what_is_older_than_the_policy_goes_in_whole_batches_and_the_rest_verifies(aged: Catalogue) -> None:
    heads = verify(aged)
    text = purge(aged)
    assert re.search(r"^acme seals 1 to 2, 10 events$", text, re.M), text
    assert re.search(r"^30 events older than \S+ \S+Z purged\.$", text, re.M), text
    assert aged.ask(LEFT) == [("200", 15)]
    assert aged.ask("select count(*) from connections_eventseal") == [(9,)]
    text = verify(aged)
    assert len(re.findall(r" ok, 5 events, complete from seal 3 on: 10 events before it were purged, ", text)) == CHAINS
    for anchor in re.findall(r"^(\S+=3:\S+) ", heads, re.M):
        assert "ok" in verify(aged, "--anchor", anchor)


def test_the_record_says_what_went_in_its_own_chain_and_in_the_platforms(aged: Catalogue) -> None:
    purge(aged)
    assert told(aged) == [
        ("@platform", "@platform", 1, 2, 10, "system"),
        ("@platform", "acme", 1, 2, 10, "system"),
        ("@platform", "globex", 1, 2, 10, "system"),
        ("acme", "acme", 1, 2, 10, "system"),
        ("globex", "globex", 1, 2, 10, "system"),
    ]
    differ = (
        "select count(*) from connections_event e join connections_eventseal s "
        "on s.organisation_id = e.organisation_id and s.number = 2 "
        "where e.action = 'record.purge' and e.detail ->> 'digest' <> s.digest"
    )
    assert aged.ask(differ) == [(0,)]


def test_a_chain_goes_on_after_a_purge_and_is_purged_again(aged: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    purge(aged)
    aged.manage(BEFORE, "events", "seal")
    assert "0 events" in purge(aged)
    monkeypatch.setenv("CATALOG_EVENTS_KEEP_DAYS", "100")
    assert "acme seals 3 to 3, 5 events" in purge(aged)
    assert aged.ask(LEFT) == []
    assert len(re.findall(r" ok, .*complete from seal 4 on: 15 events before it were purged", verify(aged))) == CHAINS
    assert [row[2:5] for row in told(aged) if row[0] == "acme"] == [(1, 2, 10), (3, 3, 5)]


def test_without_a_policy_nothing_goes(aged: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATALOG_EVENTS_KEEP_DAYS", "0")
    assert "for ever" in purge(aged)
    status, text = aged.run(BEFORE, "manage.py", "events", "purge", "--older-than", "1")
    assert (status, "keeps events for ever" in text) == (1, True)
    assert aged.ask(LEFT) == ALL


def test_more_days_than_the_policy_has_may_be_kept_and_no_fewer(aged: Catalogue) -> None:
    status, text = aged.run(BEFORE, "manage.py", "events", "purge", "--older-than", "249")
    assert (status, "keeps events for 250 days" in text) == (1, True)
    assert aged.ask(LEFT) == ALL
    purge(aged, "--older-than", "350")
    assert aged.ask(LEFT) == ALL[:2]


def test_a_dry_run_says_what_would_go_and_leaves_it(aged: Catalogue, application: Catalogue) -> None:
    for catalogue in (aged, application):
        text = purge(catalogue, "--dry-run", "--older-than", "1")
        assert "acme seals 1 to 3, 15 events" in text
        assert "45 events" in text
        assert "would be purged" in text
    assert (aged.ask(LEFT), told(aged)) == (ALL, [])


IN_PARTS = """
import django; django.setup()
from django.core.management import call_command
from connections.services import purging
purging.MOST = 5
call_command("events", "purge", "--dry-run")
"""


def test_a_dry_run_in_several_parts_says_what_the_purge_would(aged: Catalogue) -> None:
    status, text = aged.run(BEFORE, "-c", IN_PARTS)
    assert status == 0, text
    assert re.findall(r"^acme seals (\d) to (\d), 5 events", text, re.M) == [("1", "1"), ("2", "2")]
    assert aged.ask(LEFT) == ALL


MEANWHILE = """
import django; django.setup()
import subprocess, sys
from django.core.management import call_command
from connections.services import verification
usual, done = verification.last_purge, []
def slow(organisation):
    found = usual(organisation)
    if organisation is not None and not done:
        done.append(subprocess.run([sys.executable, "manage.py", "events", "purge"], check=True))
    return found
verification.last_purge = slow
call_command("events", "verify")
"""


def test_a_purge_while_a_chain_is_verified_is_no_finding(aged: Catalogue) -> None:
    status, text = aged.run(BEFORE, "-c", MEANWHILE)
    assert status == 0, text
    assert "BROKEN" not in text
    assert aged.ask(LEFT) == [("200", 15)]


def test_a_batch_with_one_event_that_is_too_young_stays_and_all_after_it(
    aged: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = AGED.replace("(400, 300, 200)", "(190, 180)").replace(
        "Organisation.objects.create(slug=slug, name=slug)", "Organisation.objects.get(slug=slug)"
    )
    status, text = aged.run(
        BEFORE, "-c", late.replace("at=then", "at=now - timedelta(days=1) if days == 190 and number == 4 else then")
    )
    assert status == 0, text
    monkeypatch.setenv("CATALOG_EVENTS_KEEP_DAYS", "100")
    assert "acme seals 1 to 3, 15 events" in purge(aged)
    assert aged.ask(LEFT) == [("180", 15), ("190", 15)]


def test_what_was_changed_is_evidence_and_stays(aged: Catalogue) -> None:
    with psycopg.connect(aged.url, autocommit=True) as owner:
        owner.execute("set session_replication_role = replica")
        forge = f"update connections_event set actor_label = 'y' where organisation_id = {ACME} and position = 2"
        assert owner.execute(forge.encode()).rowcount == 3
    status, text = aged.run(BEFORE, "manage.py", "events", "purge")
    assert (status, "acme BROKEN" in text, "20 events" in text) == (2, True, True), text
    assert aged.ask(f"select count(*) from connections_event where organisation_id = {ACME}") == [(15,)]


def test_an_owner_who_deletes_otherwise_is_found(aged: Catalogue) -> None:
    purge(aged, "--older-than", "350")
    batch = f"select id from connections_eventseal where number = 3 and organisation_id = {ACME}"
    with psycopg.connect(aged.url) as owner:
        owner.execute("set local catalog.purge = on")
        assert owner.execute(f"delete from connections_event where seal_id in ({batch})".encode()).rowcount == 5
    status, text = aged.run(BEFORE, "manage.py", "events", "verify")
    assert (status, "Seal 3 has 0 events; 5 were sealed." in text) == (2, True), text


@pytest.mark.parametrize(
    ("through", "found"),
    [(2, "Seal 1 is said to be purged, and has 5 events."), (7, "Seals to 7 are said to be purged")],
)
def test_a_purge_that_never_was_is_found(aged: Catalogue, through: int, found: str) -> None:
    lie = (
        "import django; django.setup(); from connections.services.keys.record import record; "
        "from connections.models import Organisation; acme = Organisation.objects.get(slug='acme'); "
        f"record('record.purge', acme, kind='record', thing=acme.pk, detail={{'through': {through}, 'digest': '0'}})"
    )
    assert aged.run(BEFORE, "-c", lie)[0] == 0
    status, text = aged.run(BEFORE, "manage.py", "events", "verify")
    assert (status, found in text) == (2, True), text
    assert aged.run(BEFORE, "manage.py", "events", "purge")[0] == 2
    assert aged.ask(LEFT) == [("200", 15), ("300", 5), ("400", 5)]  # the other chains' went


def test_several_purges_at_once_do_the_work_once(aged: Catalogue) -> None:
    running = [aged.start(BEFORE, "manage.py", "events", "purge") for _ in range(3)]
    for process in running:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    assert aged.ask(LEFT) == [("200", 15)]
    assert len(told(aged)) == 5
    assert len(re.findall(" ok, ", verify(aged))) == CHAINS


def test_a_login_that_owns_nothing_purges_nothing(application: Catalogue) -> None:
    status, text = application.run(BEFORE, "manage.py", "events", "purge")
    assert (status, "does not own the table of events" in text) == (1, True), text
    assert application.ask(LEFT) == ALL


@pytest.mark.parametrize(
    "trick",
    [
        "",
        "create temp table pg_class as select oid, (select oid from pg_roles where rolname = current_user) as relowner "
        "from pg_catalog.pg_class;",
        "create function public.pg_has_role(oid, text) returns boolean language sql as 'select true';"
        "set search_path = public, pg_catalog;",
    ],
)
def test_whatever_it_says_the_database_deletes_no_event_for_it(application: Catalogue, trick: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="never deleted"):
        say(application, f"{trick} set local catalog.purge = on; delete from connections_event")
    assert application.ask(LEFT) == ALL


@pytest.mark.parametrize("said", ["", "set local catalog.purge = off;", "set local catalog.purge = '';"])
def test_the_owner_deletes_nothing_without_saying_so(aged: Catalogue, said: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="never deleted"):
        say(aged, f"{said} delete from connections_event")


def test_what_is_not_sealed_and_what_seals_goes_for_nobody(aged: Catalogue) -> None:
    aged.manage(BEFORE, "events", "export", "--chain", "acme")  # leaves an event that is not sealed
    for statement in ("delete from connections_event where seal_id is null", "delete from connections_eventseal"):
        with pytest.raises(psycopg.errors.RestrictViolation):
            say(aged, f"set local catalog.purge = on; {statement}")


def say(catalogue: Catalogue, statements: str) -> None:
    """Send statements in one transaction, which is committed."""
    with psycopg.connect(catalogue.url) as connection:
        connection.execute(statements.encode())


def test_an_owner_behind_row_security_purges(postgresql: PausableServer, monkeypatch: pytest.MonkeyPatch) -> None:
    name, password = f"owner_{secrets.token_hex(4)}", secrets.token_hex(16)
    with postgres.connect(postgresql) as connection:
        connection.autocommit = True
        role = sql.Identifier(name)
        connection.execute(sql.SQL("create role {} login password {}").format(role, sql.Literal(password)))
        connection.execute(sql.SQL("create database {} owner {}").format(role, role))
    address = f"{postgresql.host}:{postgresql.port}/{name}?sslmode=disable"
    own = Catalogue(f"postgresql://{name}:{password}@{address}")
    own.manage(BEFORE, "migrate")
    monkeypatch.setenv("CATALOG_ROW_SECURITY", "on")
    monkeypatch.setenv("CATALOG_EVENTS_KEEP_DAYS", "250")
    aged = f"{AGED.partition('now =')[0]}from connections.services import walls; walls.work_for_platform()\n"
    status, text = own.run(BEFORE, "-c", f"{aged}now ={AGED.partition('now =')[2]}")
    assert status == 0, text
    own.manage(BEFORE, "rowsecurity", "enable")
    assert "30 events" in purge(own)
    assert len(re.findall(" ok, 5 events, complete from seal 3", verify(own))) == CHAINS


def test_in_sqlite_events_are_kept_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATALOG_EVENTS_KEEP_DAYS", "250")
    own = Catalogue(f"sqlite:///{tmp_path / 'catalogue.sqlite3'}")
    own.manage(BEFORE, "migrate")
    assert own.run(BEFORE, "-c", AGED)[0] == 0
    for option in ([], ["--dry-run"]):
        status, text = own.run(BEFORE, "manage.py", "events", "purge", *option)
        assert (status, "kept for ever: it knows no owner of tables" in text) == (1, True), text
    assert own.ask("select count(*) from connections_event where action = 'thing.happen'") == [(45,)]


def test_a_number_of_days_below_none_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CATALOG_EVENTS_KEEP_DAYS", "-1")
    status, text = Catalogue(f"sqlite:///{tmp_path / 'x.sqlite3'}").run(BEFORE, "manage.py", "check")
    assert (status, "CATALOG_EVENTS_KEEP_DAYS is '-1'. Set it to a whole number" in text) == (1, True)
