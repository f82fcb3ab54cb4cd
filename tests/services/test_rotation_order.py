"""Who may rotate secrets, and who was first."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection as database

from connections.models import ConnectionSecrets, Event, Slot
from connections.services import connections, events, grounds, rotation, slots, vault
from connections.services.connections import Change
from connections.services.errors import Forbidden, NotFound, PreconditionFailed, VersionConflict
from tests.catalogue import CANARY, Tenant
from tests.services.rotating import actions, elsewhere, load, passed, promoted, stage, stored


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
