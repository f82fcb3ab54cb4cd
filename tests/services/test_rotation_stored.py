"""What is stored while secrets rotate, and what other changes make of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from connections.models import Connection, ConnectionSecrets, Event, Slot
from connections.services import connections, rotation, slots
from connections.services.connections import Change
from connections.services.errors import CheckFailed, Conflict, Invalid, Locked, ReentryRequired
from connections.services.keys import verifying
from connections.services.sweeping import expire_previous
from tests.catalogue import CANARY, Tenant
from tests.services.rotating import NOWHERE, elsewhere, kept, load, passed, promoted, stage, stored

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
