"""Staged rotation against a real PostgreSQL: pending beside current, tested, promoted, taken back."""

from __future__ import annotations

import secrets
from typing import Any

import psycopg
import pytest

from connections.models import Connection, Slot
from connections.services import connections, orders, queries, rotation, slots, vault
from connections.services.connections import Change
from connections.services.errors import CheckFailed
from tests.catalogue import Tenant
from tests.servers.pausable import PausableServer
from tests.services.rotating import elsewhere, load, promoted, stage, stored

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


def pid(tenant: Tenant, row: Connection) -> str:
    """The server process that previews the connection now."""
    return queries.preview(tenant.actor("analyst"), load(tenant, row), orders.Request(PID)).decode()


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
