"""The bytes of a sealed blob: pinned for ever, closed to any change."""

import base64
import hashlib
import os
import pickle
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connections.sealing import blobs
from connections.sealing.errors import KeyUnavailable, SealError, Tampered, UnknownFormat
from tests.sealing import reference

KEY = hashlib.sha256(b"known answer").digest()
OTHER_KEY = hashlib.sha256(b"another key").digest()
PAYLOAD = b'{"password":"hunter2"}'
ASSOCIATED = b'["known","answer"]'
TIME = 1_700_000_000
IV = bytes(range(16))

# Rows out there hold blobs like this one. If this test fails, the code is wrong, never the constant.
KNOWN_BLOB = bytes.fromhex(
    "01026b31"  # format 1, two bytes of key id, "k1"
    "80000000006553f100"  # Fernet's version byte and time
    "000102030405060708090a0b0c0d0e0f"  # IV
    "5d5100a1ee5aa509395bb3286287138344a0586b49f61e470a8b1d7e7ea27507"
    "208a2e93ba10498f2dcb84772556ebcb8b0ea700efe92bca794f0407591c4936"  # MAC
)


def keys(kid: str) -> bytes:
    known = {"k1": KEY, "k2": OTHER_KEY}
    if kid not in known:
        raise KeyUnavailable(kid)
    return known[kid]


def open_known(blob):
    return blobs.open_(blob, keys, ASSOCIATED)


def leaks(error: BaseException | None, *hidden: bytes) -> bool:
    """Say whether an error, its arguments or anything it carries along shows one of ``hidden``."""
    if error is None:
        return False
    text = " ".join([str(error), repr(error), repr(error.args), repr(vars(error))])
    forms = [form for value in hidden for form in (repr(value)[2:-1], value.hex(), base64.b64encode(value).decode())]
    return any(form in text for form in forms) or leaks(error.__cause__, *hidden) or leaks(error.__context__, *hidden)


def test_the_known_blob_opens():
    assert open_known(KNOWN_BLOB) == PAYLOAD


def test_a_second_writing_of_the_format_makes_the_known_blob():
    assert reference.seal(PAYLOAD, KEY, "k1", ASSOCIATED, time=TIME, iv=IV) == KNOWN_BLOB


@given(payload=st.binary(max_size=200), key=st.binary(min_size=32, max_size=64), associated=st.binary(max_size=80))
def test_what_is_sealed_is_to_the_byte_what_the_second_writing_makes(payload, key, associated):
    blob = blobs.seal(payload, key, "k1", associated)
    written = int.from_bytes(blob[5:13], "big")
    assert abs(time.time() - written) < 60
    assert blob == reference.seal(payload, key, "k1", associated, time=written, iv=blob[13:29])


@given(
    payload=st.binary(max_size=2000),
    kid=st.from_regex(r"[a-z0-9_-]{1,32}", fullmatch=True),
    associated=st.binary(max_size=200),
)
def test_what_is_sealed_opens(payload, kid, associated):
    blob = blobs.seal(payload, KEY, kid, associated)
    assert blobs.open_(blob, {kid: KEY}.__getitem__, associated) == payload
    assert blobs.key_id_of(blob) == kid


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_blob_opens_as_any_kind_of_bytes_a_database_driver_returns(kind):
    assert open_known(kind(KNOWN_BLOB)) == PAYLOAD


def test_a_blob_of_long_ago_still_opens():
    blob = reference.seal(PAYLOAD, KEY, "k1", ASSOCIATED, time=0, iv=IV)
    assert open_known(blob) == PAYLOAD


@pytest.mark.parametrize("position", range(len(KNOWN_BLOB)))
def test_no_byte_can_be_edited(position):
    for change in (0x01, 0x80, 0xFF):
        edited = bytearray(KNOWN_BLOB)
        edited[position] ^= change
        with pytest.raises(SealError):
            open_known(bytes(edited))


def test_edits_behind_the_header_are_named_tampering():
    for position in range(4, len(KNOWN_BLOB)):
        edited = bytearray(KNOWN_BLOB)
        edited[position] ^= 1
        with pytest.raises(Tampered):
            open_known(bytes(edited))


def test_a_blob_cut_at_any_length_is_refused():
    for length in range(len(KNOWN_BLOB)):
        with pytest.raises(UnknownFormat if length < 4 else Tampered):
            open_known(KNOWN_BLOB[:length])


def test_a_blob_with_bytes_added_is_refused():
    for longer in (KNOWN_BLOB + b"\x00", KNOWN_BLOB + bytes(16), KNOWN_BLOB * 2):
        with pytest.raises(Tampered):
            open_known(longer)


def test_another_key_of_the_ring_is_never_tried():
    replaced = KNOWN_BLOB.replace(b"k1", b"k2", 1)
    with pytest.raises(Tampered):
        open_known(replaced)


def test_a_key_id_cannot_be_replaced_even_when_it_names_the_same_key():
    replaced = KNOWN_BLOB.replace(b"k1", b"k3", 1)
    with pytest.raises(Tampered):
        blobs.open_(replaced, lambda kid: KEY, ASSOCIATED)


def test_a_key_that_is_not_there_is_named():
    with pytest.raises(KeyUnavailable, match="'k9' is not available") as caught:
        open_known(KNOWN_BLOB.replace(b"k1", b"k9", 1))
    assert caught.value.kid == "k9"


def test_other_associated_data_does_not_open_it():
    for other in (b"", ASSOCIATED + b" ", ASSOCIATED[:-1], b"\x00" + ASSOCIATED):
        with pytest.raises(Tampered):
            blobs.open_(KNOWN_BLOB, keys, other)


def test_bytes_cannot_move_between_associated_data_and_token():
    blob = blobs.seal(PAYLOAD, KEY, "k1", b"ab")
    shifted = blob[:4] + b"b" + blob[4:]
    with pytest.raises(Tampered):
        blobs.open_(shifted, keys, b"a")


@pytest.mark.parametrize(
    "stored",
    [None, b"", "", "hunter2", b"hunter2", b'{"password": "hunter2"}', b"\x80legacy", b"\x01", b"\x02\x02k1", 7],
)
def test_what_is_no_sealed_blob_is_refused_and_never_read_as_plain_text(stored):
    with pytest.raises(UnknownFormat):
        open_known(stored)
    with pytest.raises(UnknownFormat):
        blobs.key_id_of(stored)


@pytest.mark.parametrize("kid", [b"", b"K1", b"k 1", b"k\xff", b"k1\n"])
def test_a_key_id_of_another_alphabet_is_refused(kid):
    with pytest.raises(UnknownFormat):
        open_known(bytes([1, len(kid)]) + kid + KNOWN_BLOB[4:])
    with pytest.raises(ValueError, match="key id"):
        blobs.seal(PAYLOAD, KEY, kid.decode("latin-1"), ASSOCIATED)


def test_a_short_or_empty_key_is_refused_rather_than_replaced_by_one_made_from_secret_key():
    for short in (b"", KEY[:31]):
        with pytest.raises(ValueError, match="32 bytes") as caught:
            blobs.seal(PAYLOAD, short, "k1", ASSOCIATED)
        assert not leaks(caught.value, PAYLOAD)
        with pytest.raises(ValueError, match="32 bytes"):
            blobs.open_(KNOWN_BLOB, {"k1": short}.__getitem__, ASSOCIATED)


def test_sealings_of_the_same_payload_have_nothing_in_common():
    sealed = [blobs.seal(PAYLOAD, KEY, "k1", ASSOCIATED) for _ in range(2000)]
    assert len({blob[13:29] for blob in sealed}) == 2000  # IVs
    assert len({blob[29:61] for blob in sealed}) == 2000  # ciphertexts


def test_cipher_and_mac_keys_differ_from_each_other_and_from_the_key():
    assert len({KEY, reference.hkdf(KEY, b"catalog-seal-1 cipher"), reference.hkdf(KEY, b"catalog-seal-1 mac")}) == 3


def test_a_canary_is_in_the_blob_in_no_spelling():
    canary = b"canary-" + os.urandom(12).hex().encode()
    blob = blobs.seal(b'{"password":"' + canary + b'"}', KEY, "k1", ASSOCIATED)
    for shown in (blob, base64.b64encode(blob), base64.urlsafe_b64encode(blob), blob.hex().encode(), blob[::-1]):
        assert canary not in shown
        assert canary.hex().encode() not in shown
        for start in range(3):  # base64 has three alignments
            assert base64.b64encode(canary[start:])[:12] not in shown


@pytest.mark.parametrize(
    "blob", [KNOWN_BLOB[:-1] + b"\x00", KNOWN_BLOB[:40], KNOWN_BLOB.replace(b"k1", b"k9", 1), b"hunter2"]
)
def test_errors_show_neither_key_nor_plaintext_nor_ciphertext(blob):
    with pytest.raises(SealError) as caught:
        open_known(blob)
    assert not leaks(caught.value, KEY, PAYLOAD, b"hunter2", blob[4:20], blob[-32:])
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("error", [Tampered(), UnknownFormat(), KeyUnavailable("k9")])
def test_errors_pass_between_processes_whole(error):
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.code) == (type(error), str(error), error.code)


def test_no_nonce_comes_twice_in_a_million_sealings():
    """Sixteen random bytes each: from a sound generator, a million have a chance of one in 10^26 to hold a pair."""
    assert len({blobs.seal(b"x", KEY, "k1", ASSOCIATED)[13:29] for _ in range(1_000_000)}) == 1_000_000
