"""Staged rotation: pending beside current, tested, promoted, taken back; against a real PostgreSQL."""

from __future__ import annotations

import secrets
import threading
import time
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, transaction
from django.db import connection as database
from django.db import connections as databases
from django.utils import timezone

from connections.models import Connection, ConnectionSecrets, Event, Slot
from connections.services import connections, events, grounds, orders, queries, rotation, slots, state, vault
from connections.services.connections import Change
from connections.services.errors import (
    CheckFailed,
    Conflict,
    Forbidden,
    Invalid,
    Locked,
    NotFound,
    PreconditionFailed,
    ReentryRequired,
    VersionConflict,
)
from connections.services.keys import ending, renewing, verifying
from connections.services.sweeping import expire_previous
from tests.catalogue import CANARY, Tenant
from tests.servers.pausable import PausableServer

NOWHERE = {"host": "127.0.0.1", "port": 1, "database": "sales", "user": "reader", "tls": {"mode": "disable"}}
PID = {"sql": "select pg_backend_pid()"}


class Account:
    """A role of a real server whose password the test changes."""

    def __init__(self, server: PausableServer) -> None:
        self.server = server
        self.name = f"rotating_{secrets.token_hex(4)}"
        self._run(f"create role {self.name} login nosuperuser")

    def accept(self, password: str) -> None:
        """Let this password in, and no other."""
        self._run(f"alter role {self.name} password '{password}'")

    def _run(self, sql: str) -> None:
        login = self.server.login("superuser")
        login["dbname"] = login.pop("database")
        with psycopg.connect(**login, autocommit=True) as connection:
            connection.execute(sql.encode())


@pytest.fixture
def account(postgresql: PausableServer) -> Account:
    return Account(postgresql)


@pytest.fixture
def warehouse(acme: Tenant, account: Account) -> Connection:
    account.accept("first")
    row = acme.database("postgresql", account.server, user=account.name)
    return connections.update(acme.actor(), row, Change(secrets={"password": "first"}))


def elsewhere(tenant: Tenant, **secrets_: Any) -> Connection:
    """A connection to where nobody answers."""
    change = Change(name="Elsewhere", config=NOWHERE, secrets=secrets_ or {"password": "first"})
    return connections.create(tenant.actor(), "postgresql", change)


def load(tenant: Tenant, row: Connection) -> Connection:
    return connections.get(tenant.actor(), row.slug)


def stage(tenant: Tenant, row: Connection, password: str | None = "second") -> rotation.Staged:
    return rotation.stage(tenant.actor(), load(tenant, row), {"password": password})


def passed(tenant: Tenant, row: Connection, password: str | None = "second") -> Connection:
    """The connection with pending secrets whose test, we say, went well."""
    stage(tenant, row, password)
    ConnectionSecrets.objects.filter(connection=row, slot=Slot.PENDING).update(
        tested_ok=True, tested_at=timezone.now(), tested_code=""
    )
    return load(tenant, row)


def promoted(tenant: Tenant, row: Connection, password: str = "second") -> Connection:
    return rotation.promote(tenant.actor(), passed(tenant, row, password))


def stored(tenant: Tenant, row: Connection, slot: Slot = Slot.CURRENT) -> Any:
    return vault.unseal(load(tenant, row), slot)


def kept(row: Connection) -> list[str]:
    return sorted(ConnectionSecrets.objects.filter(connection=row).values_list("slot", flat=True))


def pid(tenant: Tenant, row: Connection) -> str:
    """The server process that previews the connection now."""
    return queries.preview(tenant.actor("analyst"), load(tenant, row), orders.Request(PID)).decode()


def actions(row: Connection) -> list[tuple[str, str]]:
    rows = Event.objects.filter(object_id=str(row.pk)).order_by("at", "id").values_list("action", "result")
    return [(action, result) for action, result in rows if action != "connection.preview"]


# Against the server --------------------------------------------------------------------------------------------------


def test_wrong_secrets_fail_their_test_are_not_promoted_and_leave_the_current_ones_at_work(
    acme: Tenant, warehouse: Connection
) -> None:
    staged = stage(acme, warehouse, "wrong")
    assert staged.report is not None
    assert (staged.report["ok"], staged.report["code"]) == (False, "authentication")
    shown = slots.shown(staged.connection)["pending"]
    assert (shown["secrets"], shown["ok"], shown["code"]) == (["password"], False, "authentication")
    with pytest.raises(CheckFailed) as caught:
        rotation.promote(acme.actor(), load(acme, warehouse))
    assert caught.value.report["code"] == "authentication"
    assert stored(acme, warehouse) == {"password": "first"}
    assert pid(acme, warehouse)


def test_right_secrets_are_promoted_and_no_connection_of_the_old_ones_serves_any_more(
    acme: Tenant, warehouse: Connection, account: Account
) -> None:
    before = pid(acme, warehouse)
    assert '"rows":' in before
    account.accept("second")
    staged = stage(acme, warehouse)
    assert staged.report is not None
    assert staged.report["ok"] is True
    row = rotation.promote(acme.actor(), staged.connection)
    assert stored(acme, row) == {"password": "second"}
    assert (row.access_version, row.version) == (warehouse.access_version + 1, warehouse.version + 2)
    after = pid(acme, row)
    assert _rows(after) != _rows(before)


def test_the_previous_secrets_are_taken_back_and_the_taken_back_ones_can_be_had_again(
    acme: Tenant, warehouse: Connection, account: Account
) -> None:
    account.accept("second")
    row = rotation.promote(acme.actor(), stage(acme, warehouse).connection)
    until = slots.shown(row)["previous"]
    account.accept("first")
    row = rotation.rollback(acme.actor(), row)
    assert (stored(acme, row), stored(acme, row, Slot.PREVIOUS)) == ({"password": "first"}, {"password": "second"})
    assert pid(acme, row)
    assert slots.shown(row)["previous"] == until
    assert stored(acme, rotation.rollback(acme.actor(), row)) == {"password": "second"}


def test_the_probe_is_part_of_the_test(acme: Tenant, warehouse: Connection, account: Account) -> None:
    account.accept("second")
    row = connections.update(acme.actor(), warehouse, Change(probe={"sql": "select * from no_such_table"}))
    staged = stage(acme, row)
    assert staged.report is not None
    assert (staged.report["ok"], staged.report["code"], staged.report["field"]) == (False, "query", "/probe/sql")
    assert staged.report["steps"][-1]["name"] == "probe"
    with pytest.raises(CheckFailed):
        rotation.promote(acme.actor(), staged.connection)
    row = connections.update(acme.actor(), load(acme, row), Change(probe={"sql": "select 1"}))
    assert slots.shown(row)["pending"]["ok"] is None, "It was tested with another probe."
    assert stored(acme, rotation.promote(acme.actor(), row)) == {"password": "second"}


def test_what_failed_its_test_is_tested_again_when_it_is_promoted(
    acme: Tenant, warehouse: Connection, account: Account
) -> None:
    row = stage(acme, warehouse).connection
    account.accept("second")
    assert stored(acme, rotation.promote(acme.actor(), row)) == {"password": "second"}


def test_the_test_never_uses_a_warm_connection_of_the_current_secrets(acme: Tenant, warehouse: Connection) -> None:
    pid(acme, warehouse)
    row = connections.update(acme.actor(), load(acme, warehouse), Change(probe={"sql": "select 1"}))
    staged = stage(acme, row, "wrong")
    assert staged.report is not None
    assert staged.report["code"] == "authentication"


def test_a_reference_is_staged_tested_and_promoted_as_any_secret(
    acme: Tenant, warehouse: Connection, account: Account, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CATALOG_REFERENCES = ["env:ACME_*"]
    acme.organisation.references = ["env:ACME_*"]
    acme.organisation.save()
    sent = {"password": {"ref": "env:ACME_ROTATED"}}
    staged = rotation.stage(acme.actor(), load(acme, warehouse), sent)
    assert staged.report is not None
    assert (staged.report["ok"], staged.report["code"]) == (False, "locked"), "It has no value."
    account.accept("second")
    monkeypatch.setenv("ACME_ROTATED", "second")
    row = rotation.promote(acme.actor(), staged.connection)
    assert vault.references_of(row) == {"password": "env:ACME_ROTATED"}
    assert '"rows":' in pid(acme, row)
    account.accept("first")
    row = rotation.rollback(acme.actor(), row)
    assert (vault.references_of(row), stored(acme, row)) == ({}, {"password": "first"})
    assert vault.references_of(row, Slot.PREVIOUS) == {"password": "env:ACME_ROTATED"}


def test_when_secrets_end_moves_with_them(acme: Tenant) -> None:
    row = elsewhere(acme)
    row = connections.update(acme.actor(), row, Change(expiries={"password": "2030-01-31"}))
    ends = row.secrets_expire_at
    row = promoted(acme, row)
    assert row.secrets_expire_at is None, "The new password has no date by hand."
    assert rotation.rollback(acme.actor(), row).secrets_expire_at == ends


def _rows(answer: str) -> str:
    return answer.partition('"rows":')[2].partition("]]")[0]


# What is stored ------------------------------------------------------------------------------------------------------


def test_staging_leaves_the_current_secrets_and_their_access_alone(acme: Tenant) -> None:
    row = elsewhere(acme)
    before = bytes(ConnectionSecrets.objects.get().blob)
    staged = stage(acme, row).connection
    assert bytes(ConnectionSecrets.objects.get(slot=Slot.CURRENT).blob) == before
    assert (staged.version, staged.access_version) == (row.version + 1, row.access_version)
    assert stored(acme, row) == {"password": "first"}
    assert stored(acme, row, Slot.PENDING) == {"password": "second"}


def test_secrets_left_out_are_kept_and_null_clears(acme: Tenant) -> None:
    row = connections.create(
        acme.actor(),
        "http_api",
        Change(
            name="Api",
            config={"base_url": "https://127.0.0.1:1/", "auth": {"kind": "basic", "user": "u"}},
            secrets={"auth": {"password": "first"}},
        ),
    )
    rotation.stage(acme.actor(), row, {"auth": {"password": "second"}})
    assert stored(acme, row, Slot.PENDING) == {"auth": {"password": "second"}}
    row = elsewhere(acme)
    assert stage(acme, row, None).connection.pk == row.pk
    assert stored(acme, row, Slot.PENDING) == {}


def test_staging_again_replaces_what_was_pending(acme: Tenant) -> None:
    row = elsewhere(acme)
    stage(acme, row, "second")
    stage(acme, row, "third")
    assert stored(acme, row, Slot.PENDING) == {"password": "third"}
    assert kept(row) == ["current", "pending"]


@pytest.mark.parametrize("sent", [{}, {"nonsense": "x"}, {"password": ""}, {"password": "***"}, {"host": "evil"}, "x"])
def test_what_a_save_would_refuse_is_not_staged(acme: Tenant, sent: Any) -> None:
    row = elsewhere(acme)
    with pytest.raises(Invalid):
        rotation.stage(acme.actor(), row, sent)
    assert kept(row) == ["current"]
    assert load(acme, row).version == row.version


def test_first_secrets_may_be_staged_too(acme: Tenant) -> None:
    row = connections.create(acme.actor(), "postgresql", Change(name="New", config=NOWHERE))
    row = promoted(acme, row)
    assert (stored(acme, row), kept(row)) == ({"password": "second"}, ["current"])


def test_discarding_forgets_the_pending_secrets_and_only_them(acme: Tenant) -> None:
    row = elsewhere(acme)
    row = rotation.discard(acme.actor(), stage(acme, row).connection)
    assert (kept(row), slots.shown(row)["pending"]) == (["current"], None)
    assert rotation.discard(acme.actor(), row).version == row.version
    with pytest.raises(Conflict):
        rotation.promote(acme.actor(), row)


def test_a_locked_connection_is_mended_by_staged_secrets(acme: Tenant) -> None:
    row = elsewhere(acme)
    ConnectionSecrets.objects.filter(connection=row).update(blob=b"\x01spoilt")
    with pytest.raises(Locked):
        stored(acme, row)
    row = promoted(acme, row)
    assert (stored(acme, row), kept(row)) == ({"password": "second"}, ["current"])


def test_without_time_to_take_them_back_no_previous_secrets_are_kept(acme: Tenant, settings: Any) -> None:
    settings.CATALOG_PREVIOUS_SECRETS_HOURS = 0
    row = promoted(acme, elsewhere(acme))
    assert kept(row) == ["current"]
    with pytest.raises(Conflict):
        rotation.rollback(acme.actor(), row)


def test_the_time_to_take_them_back_ends_and_the_sweep_forgets_them(acme: Tenant) -> None:
    row = promoted(acme, elsewhere(acme))
    assert expire_previous() == 0
    past = timezone.now() - timedelta(seconds=1)
    ConnectionSecrets.objects.filter(slot=Slot.PREVIOUS).update(kept_until=past)
    row = load(acme, row)
    assert slots.shown(row)["previous"] is None
    with pytest.raises(Conflict, match="time to take them back"):
        rotation.rollback(acme.actor(), row)
    assert [expire_previous(), expire_previous()] == [1, 0]
    assert kept(row) == ["current"]
    assert stored(acme, row) == {"password": "second"}
    assert Event.objects.get(action="connection.forget").object_id == str(row.pk)


def test_previous_secrets_that_are_put_back_after_their_time_do_not_open(acme: Tenant) -> None:
    row = promoted(acme, elsewhere(acme))
    taken = ConnectionSecrets.objects.get(connection=row, slot=Slot.PREVIOUS)
    ConnectionSecrets.objects.filter(pk=taken.pk).update(kept_until=timezone.now())
    assert expire_previous() == 1
    taken.kept_until = timezone.now() + timedelta(hours=48)
    taken.save(force_insert=True)
    with pytest.raises(Locked):
        rotation.rollback(acme.actor(), load(acme, row))
    assert (stored(acme, row), kept(row)) == ({"password": "second"}, ["current", "previous"])
    [(counts, findings)] = verifying.verify(acme.organisation)
    assert [(found.slot, found.problem) for found in findings] == [("previous", "Tampered")]
    assert counts["opens"] == 1


# What else changes ---------------------------------------------------------------------------------------------------


def test_an_ordinary_save_of_secrets_drops_pending_and_previous_and_says_so(acme: Tenant) -> None:
    row = promoted(acme, elsewhere(acme))
    stage(acme, row, "third")
    row = connections.update(acme.actor(), load(acme, row), Change(secrets={"password": "fourth"}))
    assert (kept(row), stored(acme, row)) == (["current"], {"password": "fourth"})
    event = Event.objects.filter(action="connection.update").latest("at")
    assert event.detail["dropped"] == ["pending", "previous"]


def test_clearing_the_secrets_drops_pending_and_previous(acme: Tenant) -> None:
    row = promoted(acme, elsewhere(acme))
    stage(acme, row, "third")
    row = connections.update(acme.actor(), load(acme, row), Change(secrets={"password": None}))
    assert (kept(row), stored(acme, row)) == (["current"], {})


def test_a_rename_leaves_them_and_other_settings_make_the_test_old(acme: Tenant) -> None:
    row = passed(acme, elsewhere(acme))
    row = connections.update(acme.actor(), row, Change(name="Renamed"))
    assert slots.shown(row)["pending"]["ok"] is True
    row = connections.update(acme.actor(), row, Change(config={"user": "writer"}))
    assert (kept(row), slots.shown(row)["pending"]["ok"]) == (["current", "pending"], None)
    with pytest.raises(CheckFailed):
        rotation.promote(acme.actor(), row)


def test_secrets_of_another_endpoint_are_dropped_and_never_come_back(acme: Tenant) -> None:
    row = promoted(acme, elsewhere(acme))
    stage(acme, row, "third")
    change = Change(config={"host": "other.example.com"}, secrets={"password": "theirs"})
    row = connections.update(acme.actor(), load(acme, row), change)
    assert kept(row) == ["current"]
    for act in (rotation.rollback, rotation.promote):
        with pytest.raises(Conflict):
            act(acme.actor(), row)
    with pytest.raises(ReentryRequired):
        connections.update(acme.actor(), row, Change(config={"host": "127.0.0.1"}))


@pytest.mark.parametrize("slot", [Slot.PENDING, Slot.PREVIOUS])
def test_a_new_host_behind_the_services_back_gets_no_staged_and_no_old_secret(acme: Tenant, slot: Slot) -> None:
    row = promoted(acme, elsewhere(acme))
    row = passed(acme, row, "third")
    Connection.objects.filter(pk=row.pk).update(config={**row.config, "host": "evil.example.com"})
    act = rotation.promote if slot is Slot.PENDING else rotation.rollback
    with pytest.raises(Locked, match="another endpoint"):
        act(acme.actor(), load(acme, row))
    assert kept(row) == ["current", "pending", "previous"]


def test_pending_secrets_without_current_ones_do_not_follow_to_a_new_host(acme: Tenant) -> None:
    row = connections.create(acme.actor(), "postgresql", Change(name="New", config=NOWHERE))
    stage(acme, row)
    row = connections.update(acme.actor(), load(acme, row), Change(config={"host": "other.example.com"}))
    assert kept(row) == []


def test_a_clone_has_the_probe_and_none_of_the_secrets(acme: Tenant) -> None:
    row = connections.update(acme.actor(), promoted(acme, elsewhere(acme)), Change(probe={"sql": "select 1"}))
    copy = connections.clone(acme.actor(), row)
    assert (kept(copy), copy.probe) == ([], {"sql": "select 1"})


def test_a_probe_is_judged_by_the_source_and_moves_the_version_alone(acme: Tenant) -> None:
    row = elsewhere(acme)
    with pytest.raises(Invalid) as caught:
        connections.update(acme.actor(), row, Change(probe={"sql": "  "}))
    assert caught.value.problems[0].pointer.startswith("/probe")
    changed = connections.update(acme.actor(), row, Change(probe={"sql": f"select '{CANARY}'"}))
    assert (changed.version, changed.access_version) == (row.version + 1, row.access_version)
    assert CANARY not in repr(list(Event.objects.values())), "The record tells a query by its hash."
    assert connections.update(acme.actor(), changed, Change(probe={})).probe == {}


# Who may, and who was first ------------------------------------------------------------------------------------------


def test_of_two_promotions_of_one_version_one_wins(acme: Tenant) -> None:
    row = passed(acme, elsewhere(acme))
    same = load(acme, row)
    rotation.promote(acme.actor(), row)
    with pytest.raises(VersionConflict):
        rotation.promote(acme.actor(), same)
    assert stored(acme, row) == {"password": "second"}
    assert Event.objects.filter(action="connection.promote").count() == 1


def test_a_promotion_of_what_somebody_staged_anew_meanwhile_is_refused(acme: Tenant) -> None:
    row = passed(acme, elsewhere(acme))
    passed(acme, row, "third")
    with pytest.raises(VersionConflict):
        rotation.promote(acme.actor(), row)
    assert stored(acme, row) == {"password": "first"}


def test_a_connection_that_is_loaded_while_it_is_promoted_is_not_taken_for_a_locked_one(acme: Tenant) -> None:
    row = passed(acme, elsewhere(acme))
    waiting = [lambda: rotation.promote(acme.actor(), row)]

    def between_the_row_and_its_secrets(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if waiting and 'FROM "connections_connectionsecrets"' in sql:
            waiting.pop()()
        return execute(sql, params, many, context)

    with database.execute_wrapper(between_the_row_and_its_secrets):
        found = load(acme, row)
    assert not waiting
    assert (vault.problem(found), vault.unseal(found)) == (None, {"password": "second"})


def test_a_read_that_began_before_a_promotion_goes_on_with_the_new_secrets(acme: Tenant) -> None:
    row = elsewhere(acme)
    ground = grounds.ground(load(acme, row))
    promoted(acme, row)
    assert grounds.settings(ground)["password"] == "second"
    connections.update(acme.actor(), load(acme, row), Change(config={"user": "writer"}))
    with pytest.raises(VersionConflict):
        grounds.settings(ground)


def test_the_versions_that_a_caller_names_guard_every_step(acme: Tenant) -> None:
    row = promoted(acme, elsewhere(acme))
    stage(acme, row, "third")
    row = load(acme, row)
    for act in (rotation.promote, rotation.rollback, rotation.discard):
        with pytest.raises(PreconditionFailed):
            act(acme.actor(), row, if_match=[1])
        with pytest.raises(VersionConflict):
            act(acme.actor(), row, version=1)
    with pytest.raises(VersionConflict):
        rotation.stage(acme.actor(), row, {"password": "x"}, version=1)


def test_a_test_of_what_was_changed_meanwhile_is_not_kept(acme: Tenant) -> None:
    row = stage(acme, elsewhere(acme)).connection
    pending = vault.find(row, Slot.PENDING)
    assert pending is not None
    connections.update(acme.actor(), load(acme, row), Change(config={"user": "writer"}))
    assert not slots.keep_result(row, pending, ok=True, code="")
    assert slots.shown(load(acme, row))["pending"]["ok"] is None


def test_an_event_that_cannot_be_written_undoes_its_step(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    row = passed(acme, elsewhere(acme))
    before = list(ConnectionSecrets.objects.order_by("pk").values())

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(events, "record", fail)
    for act in (rotation.promote, rotation.discard):
        with pytest.raises(OSError, match="no space"):
            act(acme.actor(), load(acme, row))
    assert list(ConnectionSecrets.objects.order_by("pk").values()) == before
    assert load(acme, row).secrets_generation == row.secrets_generation


@pytest.mark.parametrize("role", ["viewer", "analyst"])
def test_only_editors_rotate(acme: Tenant, role: str) -> None:
    row = passed(acme, promoted(acme, elsewhere(acme)), "third")
    with pytest.raises(Forbidden):
        rotation.stage(acme.actor(role), row, {"password": "x"})
    for act in (rotation.promote, rotation.rollback, rotation.discard):
        with pytest.raises(Forbidden):
            act(acme.actor(role), row)


def test_another_organisations_connection_is_not_there(acme: Tenant, globex: Tenant) -> None:
    row = passed(acme, promoted(acme, elsewhere(acme)), "third")
    with pytest.raises(NotFound):
        rotation.stage(globex.actor(), row, {"password": "x"})
    for act in (rotation.promote, rotation.rollback, rotation.discard):
        with pytest.raises(NotFound):
            act(globex.actor(), row)


def test_every_step_is_on_record_without_the_secrets(acme: Tenant) -> None:
    row = elsewhere(acme, password=CANARY)
    row = passed(acme, row, CANARY + "2")
    row = rotation.rollback(acme.actor(), rotation.promote(acme.actor(), row))
    rotation.discard(acme.actor(), stage(acme, row, CANARY + "3").connection)
    assert actions(row) == [
        ("connection.create", "ok"),
        ("connection.stage", "ok"),
        ("connection.test", "started"),
        ("connection.test", "failed"),
        ("connection.promote", "ok"),
        ("connection.rollback", "ok"),
        ("connection.stage", "ok"),
        ("connection.test", "started"),
        ("connection.test", "failed"),
        ("connection.discard", "ok"),
    ]
    assert CANARY not in repr(list(Event.objects.values())) + repr(list(ConnectionSecrets.objects.values()))
    assert Event.objects.get(action="connection.promote").changes == {"secrets": ["password"]}


# Sealed for their slots ----------------------------------------------------------------------------------------------

PAIRS = [(a, b) for a in Slot for b in Slot if a != b]


@pytest.mark.parametrize(("whose", "where"), PAIRS, ids=[f"{a}-in-{b}" for a, b in PAIRS])
@pytest.mark.parametrize("whole", [False, True], ids=["blob", "row"])
def test_a_blob_in_another_slot_opens_nothing(acme: Tenant, whose: Slot, where: Slot, whole: bool) -> None:
    row = passed(acme, promoted(acme, elsewhere(acme)), "third")
    theirs = ConnectionSecrets.objects.get(connection=row, slot=whose)
    change: dict[str, Any] = {"blob": theirs.blob}
    if whole:
        change |= {"names": theirs.names, "fingerprint": theirs.fingerprint, "key_version": theirs.key_version}
    ConnectionSecrets.objects.filter(connection=row, slot=where).update(**change)
    with pytest.raises(Locked):
        stored(acme, row, where)
    assert stored(acme, row, whose)


@pytest.mark.parametrize(("one", "other"), [(Slot.PENDING, Slot.CURRENT), (Slot.CURRENT, Slot.PREVIOUS)])
def test_whole_rows_that_swapped_their_slots_open_nothing(acme: Tenant, one: Slot, other: Slot) -> None:
    row = passed(acme, promoted(acme, elsewhere(acme)), "third")
    slots_ = ConnectionSecrets.objects.filter(connection=row)
    pks = {slot: slots_.get(slot=slot).pk for slot in (one, other)}
    slots_.filter(pk=pks[one]).update(slot="spare")
    slots_.filter(pk=pks[other]).update(slot=one)
    slots_.filter(pk=pks[one]).update(slot=other)
    for slot in (one, other):
        with pytest.raises(Locked):
            stored(acme, row, slot)


def test_an_older_previous_row_put_back_opens_nothing(acme: Tenant) -> None:
    row = promoted(acme, elsewhere(acme))
    old = ConnectionSecrets.objects.get(connection=row, slot=Slot.PREVIOUS)
    row = promoted(acme, row, "third")
    ConnectionSecrets.objects.filter(connection=row, slot=Slot.PREVIOUS).delete()
    old.save(force_insert=True)
    with pytest.raises(Locked):
        rotation.rollback(acme.actor(), load(acme, row))


def test_broken_pending_secrets_break_neither_the_connection_nor_its_list(acme: Tenant) -> None:
    row = passed(acme, elsewhere(acme))
    ConnectionSecrets.objects.filter(slot=Slot.PENDING).update(blob=b"", names=["x"], tested_code="y", generation=0)
    row = load(acme, row)
    shown = slots.shown(row)["pending"]
    assert (shown["ok"], shown["code"]) == (False, "locked")
    assert state.state(row) == "unchecked"
    with pytest.raises(Locked):
        rotation.promote(acme.actor(), row)
    assert kept(rotation.discard(acme.actor(), load(acme, row))) == ["current"]


# Keys ----------------------------------------------------------------------------------------------------------------


def test_rekeying_seals_every_slot_anew(acme: Tenant) -> None:
    row = passed(acme, promoted(acme, elsewhere(acme)), "third")
    assert [*renewing.rekey(acme.organisation)][-1].moved == 3
    assert set(ConnectionSecrets.objects.values_list("key_version", flat=True)) == {2}
    assert [stored(acme, row, slot)["password"] for slot in Slot] == ["third", "second", "first"]
    assert list(acme.organisation.keys.values_list("version", flat=True)) == [2]
    row = rotation.rollback(acme.actor(), load(acme, row))
    assert (stored(acme, row), kept(row)) == ({"password": "first"}, ["current", "previous"])


@pytest.mark.django_db(transaction=True)
def test_rekeying_waits_for_a_save_in_the_middle_and_is_no_deadlock_with_it(acme: Tenant) -> None:
    row = promoted(acme, elsewhere(acme))
    began, failures = threading.Event(), []

    def rekey() -> None:
        began.set()
        try:
            list(renewing.rekey(acme.organisation))
        except OperationalError as exc:
            failures.append(exc)
        finally:
            databases.close_all()

    other = threading.Thread(target=rekey)
    with transaction.atomic():  # as a save does: the connection, then one slot after the other
        held = Connection.objects.select_for_update().get(pk=row.pk)
        vault.seal(held, {"password": "third"}, {"password": "2026-01-01T00:00:00Z"}, changed=True)
        other.start()
        began.wait(10)
        time.sleep(1)  # time to reach the rows
        slots.settle(held, secrets_changed=True)
    other.join(30)
    assert not failures
    assert stored(acme, row) == {"password": "third"}


def test_erasing_the_keys_ends_what_is_pending_and_previous(acme: Tenant) -> None:
    row = passed(acme, promoted(acme, elsewhere(acme)), "third")
    assert ending.erase(acme.organisation) == 3
    assert kept(row) == ["current"]
    assert state.state(load(acme, row)) == "locked"
