"""Organisation keys wrapped by the transit engine of a real OpenBao: the root key stays there."""

from __future__ import annotations

import base64
import os
import time
from dataclasses import replace
from typing import Any

import pytest

from connections.models import Connection, ConnectionSecrets, OrganisationKey
from connections.sealing import blobs, transit
from connections.sealing.checks import check_keys
from connections.sealing.errors import KeyRingError, KeyRingProblem, KeyUnavailable, KeyUnreachable, SealError, Tampered
from connections.sealing.keyring import KeyRing, KeyText, make_entry
from connections.sealing.organisation_keys import WrappedKey, new_organisation_key, rewrap, unwrap, wrap
from connections.services import connections, state, tenancy, vault
from connections.services.connections import Change
from connections.services.errors import KeyAway
from connections.services.keys import rewrapping
from tests.catalogue import CANARY, Tenant
from tests.servers.http import OrderAPI, Reply
from tests.servers.openbao import OpenBao

ACME = "0191d1f0-0000-7000-8000-000000000001"
GLOBEX = "0191d1f0-0000-7000-8000-000000000009"
LOCAL = make_entry("k1")


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing(f"{LOCAL},k2:transit:catalog-root")


def test_a_ring_names_a_key_of_the_engine_among_its_own(ring: KeyRing) -> None:
    assert (ring.ids, ring.newest) == (("k1", "k2"), "k2")
    assert (ring.transit("k1"), ring.transit("k2")) == (None, "catalog-root")
    with pytest.raises(KeyUnavailable):
        ring.get("k2")
    assert repr(KeyText("k1:x,k2:transit:catalog-root")) == "<KeyText k1, k2>"


@pytest.mark.parametrize("text", ["k2:transit:", "k2:transit:a/b", "k2:transit:a b", "k2:transit:../x", "k2:transit"])
def test_a_name_that_the_engine_cannot_have_is_refused(text: str) -> None:
    with pytest.raises(KeyRingError):
        KeyRing(text)


def test_the_same_key_of_the_engine_twice_is_refused() -> None:
    with pytest.raises(KeyRingError) as caught:
        KeyRing("k1:transit:root,k2:transit:root")
    assert caught.value.problem is KeyRingProblem.DUPLICATE


def test_a_ring_that_needs_a_vault_is_refused_without_one(settings: Any) -> None:
    settings.CATALOG_KEYS, settings.CATALOG_VAULT_URL = KeyText("k2:transit:catalog-root"), ""
    assert [found.id for found in check_keys(None)] == ["catalog.E007"]


def test_a_key_comes_back_and_is_not_in_what_is_stored(engine: OpenBao, ring: KeyRing) -> None:
    key = new_organisation_key(ACME, 3)
    wrapped = wrap(key, ring)
    assert wrapped.kid == blobs.key_id_of(wrapped.blob) == "k2"
    plain = key.get("org-3")
    assert plain not in wrapped.blob
    assert base64.b64encode(plain) not in wrapped.blob
    transit.unwrapped.clear()
    assert unwrap(wrapped, ring, ACME, 3).get("org-3") == plain


def test_a_wrapped_key_opens_in_its_own_place_only(engine: OpenBao, ring: KeyRing) -> None:
    wrapped = wrap(new_organisation_key(ACME, 1), ring)
    both = KeyRing("k2:transit:catalog-root,k3:transit:other")
    engine.ask("POST", "transit/keys/other", {"type": "aes256-gcm96"})
    for organisation, version in ((GLOBEX, 1), (ACME, 2)):
        with pytest.raises(Tampered):
            unwrap(wrapped, ring, organisation, version)
    for blob in (wrapped.blob[:-4] + b"AAAA", wrapped.blob + b"\xff", wrapped.blob[:-20]):
        with pytest.raises(Tampered):
            unwrap(replace(wrapped, blob=blob), ring, ACME, 1)
    renamed = WrappedKey(wrapped.blob.replace(b"k2", b"k3", 1), "k3")
    with pytest.raises(SealError):
        unwrap(renamed, both, ACME, 1)
    relabelled = WrappedKey(b"\x01" + wrapped.blob[1:], "k2")
    with pytest.raises(SealError):
        unwrap(relabelled, ring, ACME, 1)
    with pytest.raises(SealError):
        unwrap(wrapped, KeyRing(f"{LOCAL},{make_entry('k2')}"), ACME, 1)


def test_keys_move_from_the_ring_into_the_engine_and_out_again(engine: OpenBao, ring: KeyRing) -> None:
    key = new_organisation_key(ACME, 1)
    here = wrap(key, KeyRing(LOCAL))
    there = rewrap(here, ring, ACME, 1)
    assert (here.kid, there.kid) == ("k1", "k2")
    back = rewrap(there, KeyRing(f"k2:transit:catalog-root,{make_entry('k3')}"), ACME, 1)
    assert back.kid == "k3"
    assert unwrap(there, KeyRing("k2:transit:catalog-root"), ACME, 1).get("org-1") == key.get("org-1")


@pytest.mark.parametrize("other", [b"another key of thirty-two bytes.", b"short"])
def test_an_engine_that_gives_back_another_key_replaces_none(
    ring: KeyRing, settings: Any, monkeypatch: pytest.MonkeyPatch, other: bytes
) -> None:
    monkeypatch.setenv("CATALOG_VAULT_TOKEN", "s.token")
    settings.CATALOG_TRANSIT_FRESH = 0
    with OrderAPI() as engine:
        settings.CATALOG_VAULT_URL = engine.origin
        plaintext = base64.b64encode(other).decode()
        engine.routes = {
            "/v1/transit/encrypt/catalog-root": lambda _: Reply.json({"data": {"ciphertext": "vault:v1:AAAA"}}),
            "/v1/transit/decrypt/catalog-root": lambda _: Reply.json({"data": {"plaintext": plaintext}}),
        }
        with pytest.raises(Tampered):
            rewrap(wrap(new_organisation_key(ACME, 1), KeyRing(LOCAL)), ring, ACME, 1)


def test_a_rotation_of_the_engines_own_key_keeps_old_ones_open(engine: OpenBao, ring: KeyRing) -> None:
    key = new_organisation_key(ACME, 1)
    wrapped = wrap(key, ring)
    engine.ask("POST", "transit/keys/catalog-root/rotate")
    assert unwrap(wrapped, ring, ACME, 1).get("org-1") == key.get("org-1")
    assert wrap(key, ring).blob.startswith(b"\x03\x02k2vault:v")


def test_an_unwrapped_key_is_kept_for_its_time_and_no_longer(engine: OpenBao, ring: KeyRing, settings: Any) -> None:
    settings.CATALOG_TRANSIT_FRESH, settings.CATALOG_VAULT_TIMEOUT = 1.0, 0.3
    key = new_organisation_key(ACME, 1)
    wrapped = wrap(key, ring)
    unwrap(wrapped, ring, ACME, 1)
    engine.pause()
    try:
        assert unwrap(wrapped, ring, ACME, 1).get("org-1") == key.get("org-1")
        time.sleep(1.3)
        assert len(transit.unwrapped) == 0, "It is let go of without being asked for."
        started = time.monotonic()
        with pytest.raises(KeyUnreachable, match="did not answer in time"):
            unwrap(wrapped, ring, ACME, 1)
        assert time.monotonic() - started < 2
        with pytest.raises(KeyUnreachable):
            wrap(key, ring)
    finally:
        engine.resume()


def test_with_no_time_to_keep_it_nothing_is_kept(engine: OpenBao, ring: KeyRing, settings: Any) -> None:
    settings.CATALOG_TRANSIT_FRESH = 0
    unwrap(wrap(new_organisation_key(ACME, 1), ring), ring, ACME, 1)
    assert len(transit.unwrapped) == 0


def test_a_token_that_may_not_use_the_key_and_a_key_that_is_gone_are_told_apart(
    engine: OpenBao, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.ask("POST", "transit/keys/brief", {"type": "aes256-gcm96"})
    brief = KeyRing("k5:transit:brief")
    wrapped = wrap(new_organisation_key(ACME, 1), brief)
    engine.ask("POST", "transit/keys/brief/config", {"deletion_allowed": True})
    engine.ask("DELETE", "transit/keys/brief")
    with pytest.raises(KeyUnavailable):
        unwrap(wrapped, brief, ACME, 1)
    monkeypatch.setenv("CATALOG_VAULT_TOKEN", engine.token('path "x" { capabilities = ["read"] }'))
    with pytest.raises(KeyUnreachable, match="may not use it"):
        wrap(new_organisation_key(ACME, 1), ring)


@pytest.mark.django_db
def test_a_catalogue_moves_its_keys_into_the_engine_and_works_on(engine: OpenBao, acme: Tenant, settings: Any) -> None:
    config = {"host": "db.example.com", "port": 5432, "database": "sales", "user": "reader"}
    change = Change(name="Warehouse", config=config, secrets={"password": CANARY})
    row = connections.create(acme.actor(), "postgresql", change)
    settings.CATALOG_KEYS = KeyText(f"{os.environ['CATALOG_KEYS']},k2:transit:catalog-root")
    *_, total = rewrapping.rotate()
    assert total.moved >= 1
    assert set(OrganisationKey.objects.values_list("ring_key", flat=True)) == {"k2"}
    settings.CATALOG_KEYS = KeyText("k2:transit:catalog-root")
    assert vault.unseal(Connection.objects.get(pk=row.pk)) == {"password": CANARY}
    tenancy.create_organisation("initech", "Initech")
    transit.unwrapped.clear()
    settings.CATALOG_VAULT_TIMEOUT = 0.3
    engine.pause()
    try:
        with pytest.raises(KeyAway, match="kept in a vault"):
            vault.unseal(Connection.objects.get(pk=row.pk))
        fresh = connections.get(acme.actor(), row.slug)
        assert state.state(fresh) == "unchecked", "A vault that is away locks nothing."
        assert not ConnectionSecrets.objects.get(connection=row).problem
    finally:
        engine.resume()
    assert vault.unseal(Connection.objects.get(pk=row.pk)) == {"password": CANARY}
