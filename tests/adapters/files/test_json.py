"""JSON and JSON Lines, exactly and a piece at a time."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connections.adapters.errors import QueryError, TooLargeError
from connections.adapters.files.query import ReaderOptions
from connections.adapters.files.readers import documents


def test_records_are_the_outermost_array(folder):
    folder.write("a.json", ' [ {"a": 1, "b": "x"} , {"b": null, "a": 2} ] \n')
    answer = folder.read("a.json", count=True)
    assert answer.names == ["a", "b"]
    assert answer.types == ["integer", "string"]
    assert answer.rows == [(1, "x"), (2, None)]
    assert answer.total == 2


def test_records_are_found_in_an_object_or_at_a_pointer(folder):
    folder.write(
        "o.json", '{"meta": {"pages": [1, 2]}, "none": [], "items": [{"a": 1}, {"a": 2}], "other": [{"b": 1}]}'
    )
    assert folder.read("o.json").rows == [(1,), (2,)]
    assert folder.read("o.json", records="/other").rows == [(1,)]
    folder.write("deep.json", '{"x": {"a/b": [{"n": 1}], "~": 1}}')
    assert folder.read("deep.json", records="/x/a~1b").rows == [(1,)]
    for wrong in ("/y", "/x/~0", "/x/a~1b/0"):
        with pytest.raises(QueryError) as caught:
            folder.read("deep.json", records=wrong)
        assert caught.value.field == "/query/records"


def test_an_object_without_records_is_one_record(folder):
    folder.write("one.json", '{"a": 1, "b": [1, 2]}')
    assert folder.read("one.json").rows == [(1, "[1,2]")]


def test_numbers_keep_their_value(folder):
    folder.write(
        "n.jsonl",
        '{"i": 123456789012345678901234567890, "f": 1.5, "d": 0.1234567890123456789, "m": 1, '
        '"n": [1.10, 0.1234567890123456789]}\n'
        '{"i": 1, "f": 2, "d": 2, "m": 2.5, "n": null}\n',
    )
    answer = folder.read("n.jsonl")
    assert answer.types == ["integer", "float", "decimal", "float", "json"]
    assert answer.rows[0] == (
        123456789012345678901234567890, 1.5, "0.1234567890123456789", 1.0, "[1.1,0.1234567890123456789]",
    )  # fmt: skip
    assert answer.rows[1] == (1, 2.0, "2", 2.5, None)


def test_an_integer_that_a_float_would_round_makes_decimals(folder):
    folder.write("n.jsonl", '{"a": 9007199254740993}\n{"a": 0.5}\n')
    answer = folder.read("n.jsonl")
    assert (answer.types, answer.rows) == (["decimal"], [("9007199254740993",), ("0.5",)])


def test_mixed_columns_are_json(folder):
    folder.write("m.jsonl", '{"a": 1}\n{"a": "x"}\n{"a": {"k": NaN}}\n{"a": true}\n')
    answer = folder.read("m.jsonl")
    assert answer.types == ["json"]
    assert [row[0] for row in answer.rows] == ["1", '"x"', '{"k":"NaN"}', "true"]
    text = folder.read("m.jsonl", types="text")
    assert (text.types, [row[0] for row in text.rows]) == (["string"], ["1", "x", '{"k":"NaN"}', "true"])


def test_strings_stay_strings_unless_the_query_gives_a_type(folder):
    folder.write("s.jsonl", '{"d": "2024-02-29", "n": "007"}\n')
    assert folder.read("s.jsonl").types == ["string", "string"]
    answer = folder.read("s.jsonl", types={"d": "date"})
    assert answer.types == ["date", "string"]


def test_a_late_member_is_an_error_until_it_is_named(folder):
    folder.write("l.jsonl", '{"a": 1}\n' * 1500 + '{"a": 1, "late": "x"}\n')
    with pytest.raises(QueryError, match="'late'") as caught:
        folder.read("l.jsonl")
    assert '{"late": "string"}' in str(caught.value.hint)
    answer = folder.read("l.jsonl", types={"late": "string"}, count=True)
    assert (answer.names, answer.rows[-1], answer.total) == (["a", "late"], (1, "x"), 1501)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('[{"a": 1}', "ends in the middle"),
        ('[{"a": 1}, {"a"', "not JSON"),
        ('[{"a": 1} {"a": 2}]', "not JSON"),
        ('[{"a": 1}] x', "more after the end"),
        ('[{"a": 1},]', "not JSON"),
        ('[1, 2]', "Record 1 is no object"),
        ("x", "not JSON"),
        ('[{"a": ' + "[" * 100_000, "nested too deeply"),
        ('[{"a": ' + "9" * 5000 + "}]", "more digits"),
        ('[{"a": 1e999999999}]', "more digits|exponent"),
        ('[{"a": "\\ud800"}]', "surrogate"),
        ('[{"a": "\x01"}]', "not JSON"),
    ],
)  # fmt: skip
def test_what_is_no_json_is_an_error(folder, content, says):
    folder.write("w.json", content)
    with pytest.raises(QueryError, match=says):
        folder.read("w.json")


@pytest.mark.parametrize("line", ['{"a": 1} {"a": 2}', '{"a": }', "[1]", '{"a": 1', "{" * 100_000, '{"a": "\\udfff"}'])
def test_a_broken_line_is_an_error_at_its_place(folder, line):
    folder.write("w.jsonl", '{"a": 1}\n' * 3 + line + "\n")
    assert folder.read("w.jsonl", limit=1).rows == [(1,), (1,)]
    with pytest.raises(QueryError, match=r"(Line|Record) 4"):
        folder.read("w.jsonl")


def test_a_value_without_end_is_too_large(folder):
    folder.write("l.json", '[{"a": "' + "x" * 10_000_000 + '"}]')
    folder.write("a.json", '{"a": [' + "1," * 5_000_000 + '1], "b": [{"c": 1}]}')
    folder.write("l.jsonl", '{"a": "' + "x" * 10_000_000 + '"}')
    for name in ("l.json", "a.json", "l.jsonl"):
        with pytest.raises(TooLargeError):
            folder.read(name)


def test_a_broken_document_is_told_at_once_and_not_as_too_long(folder):
    folder.write("b.json", '[{"a": tru}, ' + '{"a": 1},' * 500_000 + "]")
    with pytest.raises(QueryError, match="not JSON after character 1"):
        folder.read("b.json")


def test_packed_json_is_unpacked(folder):
    folder.write("z.json.gz", gzip.compress(b'[{"a": 1}]'))
    folder.write("z.ndjson.gz", gzip.compress(b'{"a": 1}\n'))
    assert folder.read("z.json.gz").rows == folder.read("z.ndjson.gz").rows == [(1,)]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3, alphabet="abc"), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(
    st.lists(st.fixed_dictionaries({"a": json_values, "b": json_values}), min_size=1, max_size=5),
    st.integers(1, 20),
    st.sampled_from([None, 1]),
)
def test_a_document_reads_the_same_however_it_is_cut(records, piece, indent):
    document = json.dumps({"before": [1, {"x": 2}], "records": records, "after": {}}, indent=indent)
    pieces = (document[at : at + piece] for at in range(0, len(document), piece))
    reading = documents.read_document(pieces, ReaderOptions(types=None, records="/records"))
    types = {column.name: column.type for column in reading.columns}
    found = [dict(zip(types, row, strict=True)) for batch in reading.rows(0, 100) for row in batch]
    for record, row in zip(records, found, strict=True):
        for name, value in row.items():
            if value is None:
                assert record[name] is None
            else:
                assert (json.loads(value) if types[name] == "json" else _number(value, types[name])) == record[name]


def _number(value, kind):
    return json.loads(value) if kind == "decimal" else value
