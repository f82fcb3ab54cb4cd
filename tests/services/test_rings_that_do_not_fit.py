"""Damaged organisation keys, and processes whose CATALOG_KEYS are not those that sealed what is stored."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from connections.models import Connection, ConnectionSecrets, Event, OrganisationKey, RingKey
from connections.sealing.keyring import KeyRing, make_entry
from connections.services import connections, ring, tenancy, vault
from connections.services.connections import Change
from connections.services.errors import Locked, RingRefused
from connections.services.keys import ending, renewing, rewrapping, verifying
from tests.catalogue import CANARY, Tenant

CONFIG = {"host": "db.example.com", "port": 5432, "database": "sales", "user": "reader"}
PATH = "connections/warehouse/"
AGAIN = {"secrets": {"password": "again"}}
OTHER_BYTES = "CATALOG_KEYS of this process has other bytes for k1 than those that seal"


def make(tenant: Tenant, name: str = "Warehouse") -> Connection:
    return connections.create(
        tenant.actor(), "postgresql", Change(name=name, config=CONFIG, secrets={"password": CANARY})
    )


def stored(tenant: Tenant, slug: str = "warehouse") -> dict[str, Any]:
    return vault.unseal(connections.get(tenant.actor(), slug))


def damage(tenant: Tenant) -> None:
    """Flip one byte of the organisation's newest key."""
    row = OrganisationKey.objects.filter(organisation=tenant.organisation).latest("version")
    blob = bytearray(row.blob)
    blob[40] ^= 1
    OrganisationKey.objects.filter(pk=row.pk).update(blob=bytes(blob))


def everything() -> list[Any]:
    """All that a key or a mark can change."""
    keys = OrganisationKey.objects.order_by("pk").values_list("pk", "version", "ring_key", "blob")
    rows = ConnectionSecrets.objects.order_by("pk").values_list("pk", "key_version", "blob", "problem")
    return [
        [*map(str, row[:-1]), bytes(row[-1]) if not isinstance(row[-1], str) else row[-1]] for row in (*keys, *rows)
    ]


def said(*arguments: str) -> tuple[str, str]:
    """What a command wrote, and why it failed; empty when it did not."""
    out = StringIO()
    try:
        call_command(*arguments, stdout=out, stderr=out)
    except CommandError as exc:
        return out.getvalue(), str(exc)
    return out.getvalue(), ""


@pytest.fixture(params=["known", "not known yet"])
def wrong_ring(acme: Tenant, globex: Tenant, settings: Any, request: pytest.FixtureRequest) -> str:
    """Both organisations have a connection; CATALOG_KEYS has other bytes under ``k1`` now. Returns the right ring.

    An older version of the catalogue noted no keys.
    """
    make(acme)
    make(globex)
    if request.param != "known":
        RingKey.objects.all().delete()
    right: str = settings.CATALOG_KEYS
    settings.CATALOG_KEYS = make_entry("k1")
    return right


# One damaged organisation key ----------------------------------------------------------------------------------


def test_a_damaged_organisation_key_is_mended_by_entering_a_secret_again(acme: Tenant, globex: Tenant):
    make(acme)
    damage(acme)
    with pytest.raises(Locked):
        stored(acme)
    assert acme.api("editor")("PATCH", PATH, AGAIN).status_code == 200
    assert stored(acme) == {"password": "again"}
    event = Event.objects.get(action="key.renew")
    assert (event.organisation, event.actor_label, event.detail) == (
        acme.organisation,
        "catalogue",
        {"version": 2, "instead_of": 1},
    )


def test_so_is_one_of_the_only_organisation(acme: Tenant):
    make(acme)
    damage(acme)
    assert acme.api("editor")("PATCH", PATH, AGAIN).status_code == 200
    assert stored(acme) == {"password": "again"}
    damage(acme)
    assert acme.api("editor")("PATCH", PATH, AGAIN).status_code == 200
    assert stored(acme) == {"password": "again"}


def test_staging_and_creating_find_another_key_too(acme: Tenant, globex: Tenant):
    make(acme)
    damage(acme)
    body = {"name": "New", "source": "postgresql", "config": CONFIG, "secrets": {"password": CANARY}}
    assert acme.api("editor")("POST", "connections/", body).status_code == 201
    damage(acme)
    assert acme.api("editor")("POST", f"{PATH}secrets/stage/", AGAIN).status_code == 200


@pytest.mark.parametrize("blob", [b"", b"\x01", b"plain"])
def test_a_key_that_is_no_sealed_value_is_replaced(acme: Tenant, globex: Tenant, blob: bytes):
    make(acme)
    OrganisationKey.objects.filter(organisation=acme.organisation).update(blob=blob)
    assert acme.api("editor")("PATCH", PATH, AGAIN).status_code == 200
    assert stored(acme) == {"password": "again"}


def test_status_and_verify_name_the_damaged_key(acme: Tenant, globex: Tenant):
    make(acme)
    make(globex)
    damage(acme)
    assert "Organisation keys that are damaged: 1\n  acme, version 1, under k1" in said("keys", "status")[0]
    text, failure = said("keys", "verify")
    assert "organisation key of acme, version 1, under k1: does not open" in text
    assert "1 do not open where they stand: 1 Tampered" in failure
    assert "globex" not in text


def test_verify_fails_for_a_damaged_key_that_seals_nothing(acme: Tenant, globex: Tenant):
    damage(acme)
    assert "Damaged organisation keys: 1." in said("keys", "verify")[1]


def test_rekeying_goes_on_beside_a_damaged_key(acme: Tenant, globex: Tenant):
    make(acme)
    make(globex)
    damage(acme)
    assert said("keys", "rekey", "--all")[1] == ""
    assert stored(globex) == {"password": CANARY}


# Other bytes under a known id ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [("rekey", "--org", "acme"), ("rekey", "--all"), ("verify",), ("verify", "--org", "acme")]
)
def test_no_command_writes_anything_with_other_bytes_under_a_known_id(
    wrong_ring: str, acme: Tenant, settings: Any, arguments: tuple[str, ...]
):
    before = everything()
    text, failure = said("keys", *arguments)
    assert failure
    assert OTHER_BYTES in text + failure
    assert everything() == before
    settings.CATALOG_KEYS = wrong_ring
    assert stored(acme) == {"password": CANARY}


def test_nothing_moves_to_a_key_that_does_not_open_what_is_under_it(
    wrong_ring: str, acme: Tenant, globex: Tenant, settings: Any
):
    settings.CATALOG_KEYS = f"{wrong_ring},{make_entry('k2')}"
    list(rewrapping.rotate(globex.organisation))
    settings.CATALOG_KEYS = f"{wrong_ring},{make_entry('k2')}"
    before = everything()
    assert "k2" in said("keys", "rotate")[1]
    with pytest.raises(RingRefused):
        list(renewing.rekey(acme.organisation))
    assert everything() == before


def test_what_cannot_be_moved_for_wrong_bytes_fails_the_rotation(wrong_ring: str, settings: Any):
    settings.CATALOG_KEYS += f",{make_entry('k2')}"
    before = everything()
    assert OTHER_BYTES in said("keys", "rotate")[1]
    assert everything() == before


def test_a_request_with_a_wrong_ring_is_refused_and_makes_no_key(wrong_ring: str, acme: Tenant, settings: Any):
    before = everything()
    answers = [
        acme.api("editor")("PATCH", PATH, AGAIN),
        acme.api("editor")("POST", f"{PATH}secrets/stage/", AGAIN),
        acme.api("editor")("POST", "connections/", {"name": "N", "source": "postgresql", "config": CONFIG, **AGAIN}),
    ]
    assert [(a.status_code, a.json()["code"]) for a in answers] == [(409, "locked")] * 3
    assert "operators" in answers[0].json()["hint"]
    assert "k1" not in answers[0].content.decode()
    with pytest.raises(RingRefused):
        tenancy.create_organisation("initech", "Initech")
    assert everything() == before


def test_the_only_organisation_s_key_is_neither_replaced_nor_its_secrets_marked_by_commands(
    acme: Tenant, settings: Any
):
    make(acme)
    RingKey.objects.all().delete()
    settings.CATALOG_KEYS = make_entry("k1")
    before = everything()
    for arguments in (("rekey", "--all"), ("verify",)):
        text, failure = said("keys", *arguments)
        assert "either CATALOG_KEYS has other bytes for k1" in text + failure
    assert everything() == before


def test_a_key_that_is_known_is_told_from_a_damaged_row_by_one_organisation_too(acme: Tenant, settings: Any):
    make(acme)
    right, before = settings.CATALOG_KEYS, everything()
    settings.CATALOG_KEYS = make_entry("k1")
    assert acme.api("editor")("PATCH", PATH, AGAIN).status_code == 409
    assert Client().get("/readyz").json()["keys"]["doubted"] == ["k1"]
    assert OTHER_BYTES in said("keys", "verify")[1]
    assert everything() == before
    settings.CATALOG_KEYS = right
    assert acme.api("editor")("PATCH", PATH, AGAIN).status_code == 200


def test_a_key_of_an_older_version_is_known_from_the_next_secret_on(acme: Tenant, settings: Any):
    make(acme)
    RingKey.objects.all().delete()
    assert acme.api("editor")("PATCH", PATH, AGAIN).status_code == 200
    settings.CATALOG_KEYS = make_entry("k1")
    assert acme.api("editor")("PATCH", PATH, AGAIN).status_code == 409


def test_bytes_that_open_no_more_than_they_fail_to_are_not_taken_for_the_right_ones(acme: Tenant, settings: Any):
    make(acme)
    RingKey.objects.all().delete()
    settings.CATALOG_KEYS = make_entry("k1")
    for _ in range(2):  # the only organisation's key might be damaged, so it gets another
        assert acme.api("editor")("PATCH", PATH, AGAIN).status_code == 200
    assert not RingKey.objects.exists()


def test_of_two_processes_that_add_a_key_with_other_bytes_the_second_seals_nothing(acme: Tenant, settings: Any):
    make(acme)
    settings.CATALOG_KEYS += f",{make_entry('k2')}"
    ring.note(KeyRing.from_settings(), "k2")
    settings.CATALOG_KEYS = f"{settings.CATALOG_KEYS.partition(',')[0]},{make_entry('k2')}"
    before = everything()
    assert "other bytes for k2" in said("keys", "rotate")[1]
    with pytest.raises(RingRefused):
        tenancy.create_organisation("initech", "Initech")
    assert everything() == before


def test_a_dry_run_notes_no_key(acme: Tenant, settings: Any):
    settings.CATALOG_KEYS += f",{make_entry('k2')}"
    list(rewrapping.rotate(dry_run=True))
    assert [*RingKey.objects.values_list("kid", flat=True)] == ["k1"]


def test_what_is_noted_of_a_key_is_neither_it_nor_of_use_to_find_it(acme: Tenant, settings: Any):
    held = KeyRing.from_settings()
    proof = RingKey.objects.get().proof
    assert len(proof) == 64
    assert held.get("k1").hex() not in proof
    assert KeyRing(make_entry("k1")).proof("k1") != proof == held.proof("k1")


def test_beside_a_key_that_fits_the_other_marks_nothing(acme: Tenant, globex: Tenant, settings: Any):
    make(acme)
    make(globex)
    right, added = settings.CATALOG_KEYS, make_entry("k2")
    settings.CATALOG_KEYS = f"{right},{added}"
    list(rewrapping.rotate(globex.organisation))
    settings.CATALOG_KEYS = f"{make_entry('k1')},{added}"
    found = [each for _, some in verifying.verify() for each in some]
    assert [(each.organisation, each.problem) for each in found] == [("acme", verifying.DOUBTED)]
    assert not ConnectionSecrets.objects.exclude(problem="").exists()


def test_a_process_with_a_wrong_ring_is_not_ready_and_one_damaged_key_is_no_reason(
    acme: Tenant, globex: Tenant, settings: Any
):
    damage(acme)
    assert Client().get("/readyz").json()["keys"] == {"ok": True, "count": 1}
    settings.CATALOG_KEYS = make_entry("k1")
    answer = Client().get("/readyz")
    assert (answer.status_code, answer.json()["keys"]) == (503, {"ok": False, "count": 1, "doubted": ["k1"]})


def test_an_empty_catalogue_takes_any_ring(db: None, settings: Any):
    settings.CATALOG_KEYS = make_entry("k7")
    tenancy.create_organisation("initech", "Initech")
    assert OrganisationKey.objects.get().ring_key == "k7"


# A retired key -------------------------------------------------------------------------------------------------


@pytest.fixture
def retired(acme: Tenant, globex: Tenant, settings: Any) -> str:
    """``k1`` is retired, and this process has no other key. Returns the ring of the others."""
    make(acme)
    old, added = settings.CATALOG_KEYS, make_entry("k2")
    settings.CATALOG_KEYS = f"{old},{added}"
    list(rewrapping.rotate())
    ending.retire("k1")
    settings.CATALOG_KEYS = old
    return added


def test_nothing_new_is_sealed_under_a_retired_key(retired: str, acme: Tenant, settings: Any):
    before = everything()
    answer = acme.api("editor")("PATCH", PATH, AGAIN)
    assert (answer.status_code, answer.json()["code"]) == (409, "locked")
    for arguments in (("rotate",), ("rekey", "--all")):
        text, failure = said("keys", *arguments)
        assert "The key k1 was retired" in text + failure
    with pytest.raises(RingRefused):
        tenancy.create_organisation("initech", "Initech")
    assert everything() == before
    assert Client().get("/readyz").json()["keys"] == {"ok": False, "count": 1, "retired": "k1"}
    settings.CATALOG_KEYS = retired
    assert acme.api("editor")("PATCH", PATH, AGAIN).status_code == 200
    assert Client().get("/readyz").json()["keys"] == {"ok": True, "count": 1}


def test_what_a_refused_retirement_left_on_record_retires_nothing(acme: Tenant, settings: Any):
    settings.CATALOG_KEYS = f"{settings.CATALOG_KEYS},{make_entry('k2')}"
    assert "1 organisation key needs the key k1" in said("keys", "retire", "k1")[1]
    settings.CATALOG_KEYS = settings.CATALOG_KEYS.partition(",")[0]
    tenancy.create_organisation("initech", "Initech")


def test_a_retirement_outlives_its_event(acme: Tenant, settings: Any):
    """`manage.py events purge` may delete that."""
    settings.CATALOG_KEYS = f"{make_entry('k2')},{settings.CATALOG_KEYS}"
    ring.retire("k2")
    settings.CATALOG_KEYS = ",".join(reversed(settings.CATALOG_KEYS.split(",")))
    with pytest.raises(RingRefused):
        tenancy.create_organisation("initech", "Initech")
    assert Client().get("/readyz").json()["keys"] == {"ok": False, "count": 2, "retired": "k2"}
