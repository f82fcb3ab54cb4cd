"""NDJSON and CSV are written many rows at a time; what comes out is what each value alone would give."""

import json
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connections.adapters.contract import Column, ColumnType
from connections.adapters.values import BigInt, JSONText
from connections.runner.encoding.encoder import to_json
from connections.runner.encoding.formats import encoder_for

AWKWARD = [
    "",
    "null",
    "[null",
    ",null",
    '},{"n0":',
    '}\n{"n0":',
    "],[",
    "[",
    "]",
    "{",
    '"',
    '""',
    "\\",
    ",",
    "\r\n",
    "\t",
]
AWKWARD += [
    "=1",
    "+1",
    "-1",
    "@x",
    "＝1",
    "＋1",
    "－1",
    "＠x",
    "-infinity",
    "a\x00b",
    "\x1b",
    "\x7f",
    "\u2028",
    "é",
    "𝄞",
]
AWKWARD += ["(a,b)", "a;b", "'", "NaN", "%s %(n)s", "two words", "\ufeff"]
TEXTS = st.sampled_from(AWKWARD) | st.text(max_size=6) | st.just("plain")
JSONS = st.sampled_from(['{"a": 1.10}', "null", "5", '"x"', '[{"n0":1},{"n0":2}]', '"},{"', "[]"]).map(JSONText)
VALUES: dict[ColumnType, st.SearchStrategy[Any]] = {
    ColumnType.STRING: TEXTS,
    ColumnType.TIMESTAMP: st.sampled_from(["2024-02-29T10:11:12", "-infinity", "0044-03-15T10:00:00 BC"]),
    ColumnType.BOOLEAN: st.booleans(),
    ColumnType.INTEGER: st.integers(-(2**63), 2**63 - 1) | st.just(BigInt(2**70)),
    ColumnType.FLOAT: st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["NaN", "-Infinity", -0.0, 1e300]),
    ColumnType.DECIMAL: st.sampled_from(["1.50", "-0.01", "NaN", "9" * 1000]),
    ColumnType.BINARY: st.binary(max_size=4),
    ColumnType.JSON: JSONS,
    ColumnType.ARRAY: st.lists(st.none() | TEXTS | st.fixed_dictionaries({"n0": TEXTS}), max_size=2),
    ColumnType.STRUCT: st.fixed_dictionaries({"n0": TEXTS, "b": st.lists(st.fixed_dictionaries({"n0": st.just(1)}))}),
}
FREE = (ColumnType.STRING, ColumnType.BINARY, ColumnType.JSON, ColumnType.ARRAY, ColumnType.STRUCT)
NUMBER = re.compile(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|[Ii]nfinity)")


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Column], list[tuple[Any, ...]]]:
    types = draw(st.lists(st.sampled_from(list(VALUES)), max_size=5))
    row = st.tuples(*(st.none() | VALUES[kind] for kind in types))
    columns = [Column(f"n{at}", kind) for at, kind in enumerate(types)]
    return columns, draw(st.lists(row, max_size=8))


STRINGS = [Column("n0", ColumnType.STRING), Column("n1", ColumnType.STRING)]
PAIRS = [(one, other) for one in AWKWARD for other in ("plain", "", None)]


@settings(max_examples=300, deadline=None)
@given(tables())
@example((STRINGS, PAIRS))
@example((STRINGS[:1], [(None,), ("",), ("null",), (None,)]))
@example(([Column("n0", ColumnType.ARRAY)], [([{"n0": 1}, {"n0": 2}],), ([],)]))
@example(([Column("n0", ColumnType.JSON)], [(JSONText('[{},{"n0":1}]'),), (JSONText("[1,\n2]"),)]))
def test_each_line_of_ndjson_is_its_row_alone(table: tuple[list[Column], list[tuple[Any, ...]]]):
    columns, rows = table
    names = [column.name for column in columns]
    lines = [to_json(dict(zip(names, row, strict=True))).replace(b"\n", b" ") for row in rows]
    assert _body("ndjson", columns, rows) == b"".join(line + b"\n" for line in lines)


@settings(max_examples=300, deadline=None)
@given(tables(), st.booleans())
@example((STRINGS, PAIRS), False)
@example((STRINGS, PAIRS), True)
@example(([Column("n0", ColumnType.FLOAT)], [(float("nan"),), (None,), (float("inf"),), (0.5,)]), False)
def test_each_cell_of_csv_is_its_value_alone(table: tuple[list[Column], list[tuple[Any, ...]]], keep: bool):
    columns, rows = table
    lines = [
        ",".join(_cell(column.type, value, keep) for column, value in zip(columns, row, strict=True)) for row in rows
    ]
    body = _body("csv", columns, rows, formulas="keep" if keep else "escape")
    assert body.decode() == "".join(line + "\r\n" for line in lines)


@pytest.mark.parametrize("text", AWKWARD)
def test_one_awkward_text_leaves_the_rows_beside_it_as_they_are(text: str):
    """Whatever way the rows are written in, a neighbour does not change."""
    body = _body("csv", STRINGS, [("before", "x"), (text, "-1"), ("after", None)]).decode()
    assert body.startswith("before,x\r\n")
    assert body.endswith("\r\nafter,\r\n")


def test_ndjson_writes_fewer_rows_after_more():
    """Nothing of an earlier call comes again."""
    encoder = encoder_for("ndjson", STRINGS, {})
    assert encoder.prepare([("a", "b"), ("c", "d")]).body == b'{"n0":"a","n1":"b"}\n{"n0":"c","n1":"d"}\n'
    assert encoder.prepare([("e", None)]).body == b'{"n0":"e","n1":null}\n'
    assert encoder.prepare([]).body == b""


def test_numbers_in_ndjson_are_those_of_the_other_formats():
    """However deep they are, and however large: one encoder would write 1e20, another 1e+20."""
    columns = [Column("f", ColumnType.FLOAT), Column("a", ColumnType.ARRAY), Column("s", ColumnType.STRUCT)]
    pages: list[list[tuple[Any, ...]]] = [
        [(1e20, [], {})],
        [(0.1, [1e20], {})],
        [(None, [], {"deep": [-1e300]}), (1e-7, [5e-324], {})],
    ]
    for rows in pages:
        lines = [to_json(dict(zip("fas", row, strict=True))) + b"\n" for row in rows]
        assert _body("ndjson", columns, rows) == b"".join(lines)


@pytest.mark.parametrize("name", ["plain", 'a"b'])
def test_a_document_in_a_line_has_no_line_breaks(name: str):
    columns = [Column(name, ColumnType.JSON), Column("list", ColumnType.ARRAY)]
    document = JSONText('{\r\n "a": 1}')
    lines = _body("ndjson", columns, [(document, [document]), (None, [])]).splitlines()
    assert [list(json.loads(line).values()) for line in lines] == [[{"a": 1}, [{"a": 1}]], [None, []]]


@pytest.mark.parametrize("count", [1, 7, 8, 9, 15, 16, 17, 24, 100])
def test_ndjson_has_every_column_of_any_number(count: int):
    columns = [Column(f"n{at}", ColumnType.INTEGER) for at in range(count)]
    rows = [tuple(range(at, at + count)) for at in range(3)]
    lines = [json.loads(line) for line in _body("ndjson", columns, rows).splitlines()]
    assert [list(line.items()) for line in lines] == [[(f"n{at}", row[at]) for at in range(count)] for row in rows]


@pytest.mark.parametrize("name", ['a"b', "%s", "x\ny", "", "\\", "},{", "name_0", "é"])
def test_a_name_of_any_kind_is_a_member_of_each_line(name: str):
    columns = [Column(name, ColumnType.STRING), Column("other", ColumnType.INTEGER)]
    lines = _body("ndjson", columns, [("x", 1), (None, 2)]).decode().splitlines()
    assert [json.loads(line) for line in lines] == [{name: "x", "other": 1}, {name: None, "other": 2}]


def _body(form: str, columns: list[Column], rows: list[tuple[Any, ...]], **arguments: str) -> bytes:
    encoder = encoder_for(form, columns, arguments)
    return encoder.write(encoder.prepare(rows))


def _cell(kind: ColumnType, value: Any, keep: bool) -> str:
    """One cell, by the words of ``separated``."""
    if value is None:
        return ""
    if isinstance(value, float) and value - value != 0:
        return "NaN" if value != value else "Infinity"
    text = value if isinstance(value, str) else to_json(value).decode()
    if isinstance(value, bytes):
        text = text[1:-1]
    if isinstance(value, (bool, int, float)):
        return text
    run = text[:1] in set("=+-@\t\r\n＝＋－＠") - {""} and not keep
    if run and (kind in FREE or not NUMBER.fullmatch(text)):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"' if not text or re.search(r'[",\r\n]', text) else text
