"""A connection's sealed secrets: they open in the place they were sealed for, and nowhere else."""

import base64
import hashlib
import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connections.sealing.errors import KeyUnavailable, SealError, Tampered, UnknownFormat
from connections.sealing.organisation_keys import OrganisationKey, new_organisation_key
from connections.sealing.secrets import SealedSecrets, SecretsPlace

ACME = "0191d1f0-0000-7000-8000-000000000001"
GLOBEX = "0191d1f0-0000-7000-8000-000000000009"
CONNECTION = "0191d1f0-0000-7000-8000-000000000002"
SECRETS = {"auth": {"token": "tok-1"}, "password": "hunter2"}
PLACE = SecretsPlace(
    organisation_id=ACME,
    connection_id=CONNECTION,
    slot="current",
    generation=3,
    endpoint_fingerprint="ab" * 32,
    names=["password", "auth.token"],
)
KEY = OrganisationKey(hashlib.sha256(b"known answer").digest(), ACME, 1)
ACME_SECRETS = SealedSecrets(KEY)

# Rows out there hold blobs like this one. If this test fails, the code is wrong, never the constant.
KNOWN_BLOB = bytes.fromhex(
    "01056f72672d3180000000006553f100000102030405060708090a0b0c0d0e0f17bfaa3b04c8ca2a3c3c954cbdf00c2905f306dc83f93c9b"
    "c4f2689da7df5d0b5baa22e9e2e1b33ae67843432192db42c36a99d757327a3cb9e82212378a2913632f00ad0aea87e3608cb8c82773257f"
)

trees = st.recursive(
    st.dictionaries(st.text(), st.text(), max_size=4),
    lambda inner: st.dictionaries(st.text(), inner | st.text(), max_size=4),
    max_leaves=12,
)


def test_the_known_blob_opens():
    assert ACME_SECRETS.open(KNOWN_BLOB, PLACE) == SECRETS


@given(secrets=trees)
def test_secrets_come_back_as_they_were(secrets):
    assert ACME_SECRETS.open(ACME_SECRETS.seal(secrets, PLACE), PLACE) == secrets


@pytest.mark.parametrize("text", ["", "\x00", "\ud800", "пароль", "🔑", "a\nb\r\n", '"\\', "x" * 100_000])
def test_any_text_is_a_secret(text):
    assert ACME_SECRETS.open(ACME_SECRETS.seal({"password": text}, PLACE), PLACE) == {"password": text}


@pytest.mark.parametrize("leaf", [b"hunter2", 7, None, True, ["hunter2"], {"inner": 1.5}])
def test_what_is_no_text_is_refused_and_not_quoted(leaf):
    with pytest.raises(TypeError) as caught:
        ACME_SECRETS.seal({"password": leaf}, PLACE)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"connection_id": "0191d1f0-0000-7000-8000-000000000003"},
        {"organisation_id": GLOBEX},
        {"slot": "pending"},
        {"slot": "previous"},
        {"generation": 2},
        {"generation": 4},
        {"endpoint_fingerprint": "ac" * 32},
        {"endpoint_fingerprint": ""},
        {"names": ["password"]},
        {"names": ["password", "auth.token", "more"]},
        {"names": ["password", "auth.tokem"]},
        {"names": []},
    ],
    ids=lambda change: "-".join(map(str, change)),
)
def test_a_blob_opens_nowhere_else(change):
    with pytest.raises(Tampered):
        ACME_SECRETS.open(KNOWN_BLOB, replace(PLACE, **change))


def test_the_order_of_names_and_the_kind_of_ids_do_not_matter():
    same = replace(PLACE, names={"auth.token": "2026", "password": "2026"}, connection_id=UUID(CONNECTION))
    assert ACME_SECRETS.open(KNOWN_BLOB, same) == SECRETS


def test_rows_of_two_slots_cannot_be_swapped_even_whole():
    pending = replace(PLACE, slot="pending", generation=4)
    sealed_pending = ACME_SECRETS.seal({"password": "untested"}, pending)
    with pytest.raises(Tampered):  # the row moves with its generation, fingerprint and names: only the slot differs
        ACME_SECRETS.open(sealed_pending, replace(pending, slot="current"))


def test_previous_secrets_open_until_the_moment_that_they_were_sealed_for_and_no_other():
    until = datetime(2026, 11, 22, 12, 0, 0, 250_000, UTC)
    place = replace(PLACE, slot="previous", kept_until=until)
    blob = ACME_SECRETS.seal(SECRETS, place)
    assert ACME_SECRETS.open(blob, replace(place, kept_until=until.replace(microsecond=0))) == SECRETS
    for moment in (until + timedelta(seconds=1), until - timedelta(days=1), None):
        with pytest.raises(Tampered):
            ACME_SECRETS.open(blob, replace(place, kept_until=moment))


def test_previous_secrets_of_before_they_were_bound_open_for_as_long_as_such_are_kept(settings):
    place = replace(PLACE, slot="previous")
    blob = ACME_SECRETS.seal(SECRETS, place)
    later = replace(place, kept_until=datetime.now(UTC) + timedelta(days=1))
    assert ACME_SECRETS.open(blob, later) == SECRETS
    settings.CATALOG_PREVIOUS_SECRETS_HOURS = 0
    for stored in (blob, blob[:-1], blob[:20], blob[:12]):
        with pytest.raises(SealError):
            ACME_SECRETS.open(stored, later)


def test_only_previous_secrets_are_kept_until_a_moment():
    with pytest.raises(ValueError, match="previous"):
        replace(PLACE, kept_until=datetime.now(UTC))


def test_last_generations_blob_in_the_current_row_is_refused():
    last = ACME_SECRETS.seal(SECRETS, replace(PLACE, generation=2))
    with pytest.raises(Tampered):
        ACME_SECRETS.open(last, PLACE)


def test_another_organisations_key_does_not_open_it():
    same_bytes = OrganisationKey(hashlib.sha256(b"known answer").digest(), GLOBEX, 1)
    for key in (new_organisation_key(GLOBEX), same_bytes):
        for place in (PLACE, replace(PLACE, organisation_id=GLOBEX)):
            with pytest.raises(Tampered):
                SealedSecrets(key).open(KNOWN_BLOB, place)


def test_sealing_for_another_organisation_than_the_keys_is_refused():
    with pytest.raises(ValueError, match="another organisation"):
        ACME_SECRETS.seal(SECRETS, replace(PLACE, organisation_id=GLOBEX))


def test_another_version_of_the_organisations_key_is_unavailable():
    with pytest.raises(KeyUnavailable) as caught:
        SealedSecrets(new_organisation_key(ACME, 2)).open(KNOWN_BLOB, PLACE)
    assert caught.value.kid == "org-1"


def test_no_byte_can_be_edited_and_no_length_cut():
    for position in range(len(KNOWN_BLOB)):
        edited = bytearray(KNOWN_BLOB)
        edited[position] ^= 1
        for broken in (bytes(edited), KNOWN_BLOB[:position]):
            with pytest.raises(SealError):
                ACME_SECRETS.open(broken, PLACE)


@pytest.mark.parametrize("stored", [None, b"", b'{"password": "hunter2"}', '{"password": "hunter2"}'])
def test_plain_text_in_the_column_is_never_read(stored):
    with pytest.raises(UnknownFormat):
        ACME_SECRETS.open(stored, PLACE)


def test_two_sealings_of_the_same_secrets_differ():
    assert len({ACME_SECRETS.seal(SECRETS, PLACE) for _ in range(100)}) == 100


def test_resealing_moves_secrets_to_another_slot_generation_or_endpoint():
    for change in ({"slot": "previous"}, {"generation": 9}, {"endpoint_fingerprint": "cd" * 32}):
        moved = replace(PLACE, **change)
        blob = ACME_SECRETS.reseal(KNOWN_BLOB, PLACE, moved)
        assert ACME_SECRETS.open(blob, moved) == SECRETS
        with pytest.raises(Tampered):
            ACME_SECRETS.open(blob, PLACE)


def test_resealing_takes_a_new_organisation_key():
    newer = new_organisation_key(ACME, 2)
    blob = ACME_SECRETS.reseal(KNOWN_BLOB, PLACE, PLACE, key=newer)
    assert SealedSecrets(newer).open(blob, PLACE) == SECRETS


def test_resealing_never_moves_secrets_to_another_connection():
    for elsewhere in (replace(PLACE, connection_id=GLOBEX), replace(PLACE, organisation_id=GLOBEX)):
        with pytest.raises(ValueError, match="never move"):
            ACME_SECRETS.reseal(KNOWN_BLOB, PLACE, elsewhere)


def test_resealing_opens_first():
    with pytest.raises(Tampered):
        ACME_SECRETS.reseal(KNOWN_BLOB, replace(PLACE, generation=2), PLACE)


def test_a_slot_is_one_of_three_and_names_are_no_single_text():
    with pytest.raises(ValueError, match="pending, current, previous"):
        replace(PLACE, slot="latest")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        replace(PLACE, names="password")


def test_a_canary_is_in_no_output():
    canary = "canary-" + os.urandom(12).hex()
    blob = ACME_SECRETS.seal({"password": canary, "auth": {"token": canary}}, PLACE)
    with pytest.raises(Tampered) as caught:
        ACME_SECRETS.open(blob, replace(PLACE, generation=2))
    shown = [repr(ACME_SECRETS), repr(PLACE), str(caught.value), repr(caught.value), repr(blob)]
    shown.append(base64.b64encode(blob).decode())
    assert not any(canary in text or canary.encode().hex() in text for text in shown)
    assert caught.value.__context__ is None


def test_opening_takes_well_under_a_millisecond():
    ACME_SECRETS.open(KNOWN_BLOB, PLACE)
    best = min(_seconds_to_open(50) for _ in range(5))
    assert best < 0.001


def _seconds_to_open(times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        ACME_SECRETS.open(KNOWN_BLOB, PLACE)
    return (time.perf_counter() - start) / times
