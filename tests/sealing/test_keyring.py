"""The key ring: what CATALOG_KEYS may hold, and what a ring shows of itself."""

import base64
import copy
import hashlib
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connections.sealing.errors import KeyRingError, KeyRingProblem, KeyUnavailable
from connections.sealing.keyring import SAMPLE_KEYS, KeyRing, KeyText, make_entry

FIRST = hashlib.sha256(b"first").digest()
SECOND = hashlib.sha256(b"second").digest()
SECRET_KEY = "an-ordinary-secret-key-of-more-than-fifty-characters-0123456789"


def entry(kid: str, key: bytes) -> str:
    return f"{kid}:{base64.urlsafe_b64encode(key).decode()}"


def refusal(text: str | None, **options) -> KeyRingError:
    with pytest.raises(KeyRingError) as caught:
        KeyRing(text or "", **options)
    return caught.value


def test_the_last_entry_is_the_newest_and_every_key_is_found_by_its_id():
    ring = KeyRing(f"{entry('k1', FIRST)},{entry('k2', SECOND)}")
    assert ring.newest == "k2"
    assert ring.ids == ("k1", "k2")
    assert (ring.get("k1"), ring.get("k2")) == (FIRST, SECOND)


def test_an_unknown_id_is_a_key_unavailable():
    with pytest.raises(KeyUnavailable) as caught:
        KeyRing(entry("k1", FIRST)).get("k2")
    assert caught.value.kid == "k2"


def test_padding_may_be_left_out_and_spaces_and_line_ends_do_not_matter():
    ring = KeyRing(f" {entry('k1', FIRST).rstrip('=')} ,\n{entry('k2', SECOND)}\n")
    assert (ring.get("k1"), ring.get("k2")) == (FIRST, SECOND)


@pytest.mark.parametrize("text", [None, "", "  \n"])
def test_a_missing_ring_is_refused_with_the_command_that_makes_one(text):
    error = refusal(text)
    assert error.problem == KeyRingProblem.MISSING
    assert "token_urlsafe(32)" in str(error)


@pytest.mark.parametrize(
    "text",
    [
        entry("k1", FIRST).partition(":")[2],
        entry("K1", FIRST),
        entry("", FIRST),
        entry("k" * 33, FIRST),
        entry("k 1", FIRST),
        entry("k1", FIRST) + ",",
        "," + entry("k1", FIRST),
        "k1:" + "a+b/" * 12,
        "k1:" + "ab=d" * 12,
        "k1:" + "A" * 45,
        "k1:" + "é" * 43,
    ],
)
def test_a_malformed_entry_is_refused(text):
    assert refusal(text).problem == KeyRingProblem.MALFORMED


@pytest.mark.parametrize("length", [0, 1, 16, 31])
def test_a_short_key_is_refused(length):
    assert refusal(entry("k1", FIRST[:length])).problem == KeyRingProblem.SHORT


def test_an_id_or_a_key_twice_is_refused():
    assert refusal(f"{entry('k1', FIRST)},{entry('k1', SECOND)}").problem == KeyRingProblem.DUPLICATE
    assert refusal(f"{entry('k1', FIRST)},{entry('k2', FIRST)}").problem == KeyRingProblem.DUPLICATE


@pytest.mark.parametrize("key", [bytes(32), b"a" * 40, b"password" * 5, b"0123456789" * 4])
def test_a_key_that_nobody_drew_at_random_is_refused(key):
    assert refusal(entry("k1", key)).problem == KeyRingProblem.NOT_RANDOM


def test_the_documented_sample_is_refused_under_any_id():
    assert refusal(SAMPLE_KEYS).problem == KeyRingProblem.NOT_RANDOM
    assert refusal(SAMPLE_KEYS.replace("k1:", "mine:")).problem == KeyRingProblem.NOT_RANDOM


@pytest.mark.parametrize(
    "made",
    [
        SECRET_KEY.encode(),
        SECRET_KEY.encode()[:32],
        SECRET_KEY.encode() + b"\x00\x01",
        hashlib.sha256(SECRET_KEY.encode()).digest(),
        hashlib.sha256(SECRET_KEY.encode()).hexdigest().encode(),
        hashlib.sha512(SECRET_KEY.encode()).digest(),
        hashlib.sha512(SECRET_KEY.encode()).digest()[:32],
        hashlib.blake2b(SECRET_KEY.encode()).digest(),
        hashlib.md5(SECRET_KEY.encode()).hexdigest().encode() + hashlib.md5(SECRET_KEY.encode()).digest(),
    ],
)
def test_a_key_made_from_secret_key_is_refused(made):
    error = refusal(f"{entry('k1', FIRST)},{entry('k2', made)}", secret_keys=[SECRET_KEY])
    assert error.problem == KeyRingProblem.NOT_INDEPENDENT
    assert "Entry 2" in str(error)


def test_the_same_text_as_secret_key_is_refused():
    text = base64.urlsafe_b64encode(FIRST).decode()
    for secret in (text, text.encode(), text.rstrip("="), FIRST, FIRST.hex()):
        assert refusal(f"k1:{text}", secret_keys=[secret]).problem == KeyRingProblem.NOT_INDEPENDENT


def test_the_fallbacks_of_secret_key_count_too(settings):
    settings.CATALOG_KEYS = entry("k1", hashlib.sha256(b"an old secret key").digest())
    settings.SECRET_KEY_FALLBACKS = ["an old secret key"]
    with pytest.raises(KeyRingError):
        KeyRing.from_settings()


def test_the_ring_of_the_settings_is_parsed_once_and_anew_when_they_change(settings):
    settings.CATALOG_KEYS = entry("k1", FIRST)
    ring = KeyRing.from_settings()
    assert KeyRing.from_settings() is ring
    settings.CATALOG_KEYS += "," + entry("k2", SECOND)
    assert KeyRing.from_settings().newest == "k2"


def test_a_made_entry_is_accepted_and_never_the_same():
    assert make_entry("k7") != make_entry("k7")
    assert KeyRing(make_entry("k7"), secret_keys=[SECRET_KEY]).newest == "k7"
    with pytest.raises(ValueError, match="key id"):
        make_entry("Key 7")


@given(st.lists(st.binary(min_size=32, max_size=64), min_size=1, max_size=4, unique=True))
def test_every_key_comes_back_as_given(keys):
    keys = [hashlib.sha512(key).digest() for key in keys]
    ring = KeyRing(",".join(entry(f"k{number}", key) for number, key in enumerate(keys)))
    assert [ring.get(kid) for kid in ring.ids] == keys


@pytest.mark.parametrize("show", [repr, str, "{}".format, lambda ring: repr([ring]), lambda ring: f"{ring!a}"])
def test_a_ring_shows_ids_only(show):
    shown = show(KeyRing(f"{entry('k1', FIRST)},{entry('k2', SECOND)}"))
    assert "k1, k2" in shown
    for key in (FIRST, SECOND):
        assert base64.urlsafe_b64encode(key).decode().rstrip("=") not in shown
        assert repr(key)[2:-1] not in shown


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_ring_cannot_be_pickled_or_copied(duplicate):
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        duplicate(KeyRing(entry("k1", FIRST)))


@pytest.mark.parametrize(
    ("text", "canary"),
    [
        ("hunter2hunter2hunter2hunter2:k1", "hunter2"),
        ("k1:hunter2", "hunter2"),
        ("hunter2", "hunter2"),
        ("k1:hunter2+/" + "a" * 40, "hunter2"),
        (f"{entry('k1', FIRST)},{entry('k2', FIRST)}", entry("k1", FIRST)[3:20]),
    ],
)
def test_a_refusal_never_quotes_the_setting(text, canary):
    error = refusal(text)
    for shown in (str(error), repr(error), repr(error.args), repr(error.__context__), repr(error.__cause__)):
        assert canary not in shown


def test_key_text_is_the_text_but_its_repr_shows_ids_only():
    text = f"{entry('k1', FIRST)},{entry('k2', SECOND)}"
    hidden = KeyText(text)
    assert hidden == text
    assert KeyRing(hidden).ids == ("k1", "k2")
    assert repr(hidden) == "<KeyText k1, k2>"
    assert repr(KeyText("abcdef0123456789abcdef0123456789:k1,no-colon")) == "<KeyText ?, ?>"
