"""Organisation keys: random, wrapped under the ring's newest key, tied to their organisation."""

import base64
import copy
import hashlib
import pickle
from dataclasses import replace

import pytest

from connections.sealing import blobs
from connections.sealing.errors import KeyUnavailable, SealError, Tampered, UnknownFormat
from connections.sealing.keyring import KeyRing
from connections.sealing.organisation_keys import WrappedKey, new_organisation_key, rewrap, unwrap, wrap

ACME = "0191d1f0-0000-7000-8000-000000000001"
GLOBEX = "0191d1f0-0000-7000-8000-000000000009"
RING_KEY = hashlib.sha256(b"ring key").digest()
OLD = f"k1:{base64.urlsafe_b64encode(RING_KEY).decode()}"
NEW = f"k2:{base64.urlsafe_b64encode(hashlib.sha256(b'ring key 2').digest()).decode()}"

# Rows out there hold keys wrapped like this. If this fails, the code is wrong, never the constant.
KNOWN_WRAPPED = WrappedKey(
    bytes.fromhex(
        "01026b3180000000006553f100000102030405060708090a0b0c0d0e0f6f15f3ed3a320b6a3862ec9d5e5b496ddd69f8e2a0ee9cb1ac1e"
        "762c446d5ea7ac9feb7f63c3050f1bf797728e1f37333c2fba8d38d59abf25ac5c265c208aabb5e4cf7dd724a0256534397d6b2d032b"
    ),
    "k1",
)


@pytest.fixture
def old_ring():
    return KeyRing(OLD)


@pytest.fixture
def new_ring():
    return KeyRing(f"{OLD},{NEW}")


def test_the_known_wrapped_key_opens(old_ring):
    key = unwrap(KNOWN_WRAPPED, old_ring, ACME, 1)
    assert key.get("org-1") == hashlib.sha256(b"known answer").digest()


def test_two_new_keys_differ_and_have_32_bytes():
    first, second = (new_organisation_key(ACME).get("org-1") for _ in range(2))
    assert first != second
    assert len(first) == len(second) == 32


def test_a_wrapped_key_comes_back(new_ring):
    key = new_organisation_key(ACME, 4)
    wrapped = wrap(key, new_ring)
    assert wrapped.kid == blobs.key_id_of(wrapped.blob) == "k2"
    back = unwrap(wrapped, new_ring, ACME, 4)
    assert back.get("org-4") == key.get("org-4")
    assert (back.organisation_id, back.version, back.key_id) == (ACME, 4, "org-4")


def test_a_wrapped_key_opens_for_no_other_organisation_or_version(old_ring):
    for organisation, version in ((GLOBEX, 1), (ACME, 2), (ACME.upper(), 1), ("", 1)):
        with pytest.raises(Tampered):
            unwrap(KNOWN_WRAPPED, old_ring, organisation, version)


def test_a_key_id_column_that_contradicts_the_blob_is_refused(new_ring):
    with pytest.raises(Tampered):
        unwrap(replace(KNOWN_WRAPPED, kid="k2"), new_ring, ACME, 1)


def test_a_blob_whose_key_id_was_replaced_is_refused(new_ring):
    replaced = WrappedKey(KNOWN_WRAPPED.blob.replace(b"k1", b"k2", 1), "k2")
    with pytest.raises(Tampered):
        unwrap(replaced, new_ring, ACME, 1)


def test_without_its_ring_key_it_is_unavailable():
    with pytest.raises(KeyUnavailable) as caught:
        unwrap(KNOWN_WRAPPED, KeyRing(NEW), ACME, 1)
    assert caught.value.kid == "k1"


@pytest.mark.parametrize("blob", [b"", b"hunter2", None])
def test_what_is_no_blob_is_refused(old_ring, blob):
    with pytest.raises(UnknownFormat):
        unwrap(WrappedKey(blob, "k1"), old_ring, ACME, 1)


def test_rewrapping_keeps_the_key_and_moves_it_under_the_newest(new_ring):
    renewed = rewrap(KNOWN_WRAPPED, new_ring, ACME, 1)
    assert renewed.kid == "k2"
    key = unwrap(renewed, KeyRing(NEW), ACME, 1)  # the old ring key may go
    assert key.get("org-1") == hashlib.sha256(b"known answer").digest()


def test_rewrapping_twice_changes_nothing(new_ring):
    renewed = rewrap(KNOWN_WRAPPED, new_ring, ACME, 1)
    assert rewrap(renewed, new_ring, ACME, 1) is renewed


def test_rewrapping_opens_first_even_what_is_already_under_the_newest(old_ring):
    broken = replace(KNOWN_WRAPPED, blob=KNOWN_WRAPPED.blob[:-1] + b"\x00")
    with pytest.raises(SealError):
        rewrap(broken, old_ring, ACME, 1)


def test_a_key_answers_to_its_own_id_only():
    with pytest.raises(KeyUnavailable):
        new_organisation_key(ACME, 1).get("org-2")


def test_an_organisation_key_shows_whose_it_is_and_nothing_else():
    key = new_organisation_key(ACME)
    assert repr(key) == str(key) == f"<OrganisationKey {ACME} version 1>"
    assert not hasattr(key, "__dict__")


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_an_organisation_key_cannot_be_pickled_or_copied(duplicate):
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        duplicate(new_organisation_key(ACME))


def test_a_wrapped_key_does_not_show_its_blob():
    assert repr(KNOWN_WRAPPED) == "WrappedKey(kid='k1')"
