"""Rotating secrets are sealed for their slots, and re-keyed in each."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from django.db import OperationalError, transaction
from django.db import connections as databases

from connections.models import Connection, ConnectionSecrets, Slot
from connections.services import rotation, slots, state, vault
from connections.services.errors import Locked
from connections.services.keys import ending, renewing
from tests.catalogue import Tenant
from tests.services.rotating import elsewhere, kept, load, passed, promoted, stored

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
