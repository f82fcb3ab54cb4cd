"""The fingerprint of an endpoint: stable for the same place, different for any other."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connections.sealing.canonical import canonical_json
from connections.sealing.fingerprint import endpoint_fingerprint

VALUES = {"host": "db.example.com", "port": 5432, "tls": {"mode": "verify-full", "server_name": None}}

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
documents = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


def test_the_known_fingerprint_stays():
    assert endpoint_fingerprint("postgresql", 1, VALUES) == (
        "92ce2c374a2852a48dc28b41ae401d8dba5d8e28af7414d5b44b6da0f919b3bb"
    )


def test_the_order_of_fields_does_not_matter():
    reordered = {"tls": {"server_name": None, "mode": "verify-full"}, "port": 5432, "host": "db.example.com"}
    assert endpoint_fingerprint("postgresql", 1, reordered) == endpoint_fingerprint("postgresql", 1, VALUES)


@pytest.mark.parametrize(
    "other",
    [
        {**VALUES, "host": "db.example.org"},
        {**VALUES, "port": 5433},
        {**VALUES, "port": "5432"},
        {**VALUES, "tls": {"mode": "require", "server_name": None}},
        {**VALUES, "tls": None},
        {**VALUES, "proxy": None},
        {"host": "db.example.com", "port": 5432},
        {},
    ],
)
def test_any_other_endpoint_has_another_fingerprint(other):
    assert endpoint_fingerprint("postgresql", 1, other) != endpoint_fingerprint("postgresql", 1, VALUES)


def test_the_source_and_the_schema_version_are_part_of_it():
    assert endpoint_fingerprint("mysql", 1, VALUES) != endpoint_fingerprint("postgresql", 1, VALUES)
    assert endpoint_fingerprint("postgresql", 2, VALUES) != endpoint_fingerprint("postgresql", 1, VALUES)


@given(documents)
def test_a_round_trip_through_a_json_column_keeps_the_canonical_form(document):
    assert canonical_json(json.loads(json.dumps(document))) == canonical_json(document)


@given(documents, documents)
def test_different_documents_have_different_canonical_forms(first, second):
    same = canonical_json(first) == canonical_json(second)
    assert same == (json.dumps(_whole(first), sort_keys=True) == json.dumps(_whole(second), sort_keys=True))


def _whole(value):
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return int(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return {key: _whole(item) for key, item in value.items()} if isinstance(value, dict) else value


def test_the_canonical_form_is_ascii_sorted_and_tight():
    assert canonical_json({"ü": 1, "a": [True, None, 2.0, 0.5]}) == b'{"a":[true,null,2,0.5],"\\u00fc":1}'


@pytest.mark.parametrize("value", [{1: "a"}, {"a": {None: 1}}, {"a": {1, 2}}, b"bytes"])
def test_what_json_cannot_hold_is_refused(value):
    with pytest.raises(TypeError):
        canonical_json(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_does_not_know_are_refused(value):
    with pytest.raises(ValueError):
        canonical_json({"timeout": value})
