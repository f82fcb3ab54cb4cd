"""Every type of PostgreSQL, as the table of wire values says."""

import pytest

from catalog_project.demo import postgres
from connections.adapters.values import JSONText
from tests.sources.postgresql import adapter_of
from tests.sources.reading import read

OBJECTS = """
drop schema if exists kinds cascade;
create schema kinds;
grant usage on schema kinds to public;
create type kinds.mood as enum ('glad', 'so, so "x"');
create domain kinds.positive as int check (value > 0);
create type kinds.pair as (n int, words text[], at timestamptz);
create type kinds.nested as (p kinds.pair, mood kinds.mood, j json);
create type kinds.span as range (subtype = float8);
"""


@pytest.fixture(scope="module")
def adapter(postgresql):
    with postgres.connect(postgresql) as connection:
        connection.execute(OBJECTS)
    made = adapter_of(postgresql)
    yield made
    made.close()


DIGITS = "12345678901234567890123456789012345678.90"
NAN, INFINITY = "NaN", "Infinity"
TABLE = [
    # SQL, type, native type, wire value
    ("true", "boolean", "bool", True),
    ("false", "boolean", "bool", False),
    ("(-32768)::int2", "integer", "int2", -32768),
    ("2147483647::int4", "integer", "int4", 2147483647),
    ("9223372036854775807::int8", "integer", "int8", 9223372036854775807),
    ("(-9223372036854775808)::int8", "integer", "int8", -9223372036854775808),
    ("4294967295::oid", "integer", "oid", 4294967295),
    ("1.5::float4", "float", "float4", 1.5),
    ("0.1::float8", "float", "float8", 0.1),
    ("1.7976931348623157e308::float8", "float", "float8", 1.7976931348623157e308),
    ("'NaN'::float8", "float", "float8", NAN),
    ("'Infinity'::float8", "float", "float8", INFINITY),
    ("'-Infinity'::float4", "float", "float4", "-Infinity"),
    (
        "12345678901234567890123456789012345678.90::numeric",
        "decimal",
        "numeric",
        "12345678901234567890123456789012345678.90",
    ),
    ("0.10::numeric(10,2)", "decimal", "numeric", "0.10"),
    ("'NaN'::numeric", "decimal", "numeric", NAN),
    ("'Infinity'::numeric", "decimal", "numeric", INFINITY),
    ("'-Infinity'::numeric", "decimal", "numeric", "-Infinity"),
    ("1234.5::money", "string", "money", "$1,234.50"),
    ("'é ''x'''::text", "string", "text", "é 'x'"),
    ("'ab'::varchar(5)", "string", "varchar", "ab"),
    ("'ab'::char(4)", "string", "bpchar", "ab  "),
    ("'a'::\"char\"", "string", "char", "a"),
    ("'a'::name", "string", "name", "a"),
    ("''::text", "string", "text", ""),
    ("'\\x00ff10'::bytea", "binary", "bytea", b"\x00\xff\x10"),
    ("''::bytea", "binary", "bytea", b""),
    ("B'10100000'", "binary", "bit", b"\xa0"),
    ("B'101'::bit(3)", "binary", "bit", b"\xa0"),
    ("B'1010000011'::varbit", "binary", "varbit", b"\xa0\xc0"),
    ("''::varbit", "binary", "varbit", b""),
    ("'2024-02-29'::date", "date", "date", "2024-02-29"),
    ("'infinity'::date", "date", "date", "infinity"),
    ("'-infinity'::date", "date", "date", "-infinity"),
    ("'0044-03-15 BC'::date", "date", "date", "0044-03-15 BC"),
    ("'12024-02-29'::date", "date", "date", "12024-02-29"),
    ("'5874897-12-31'::date", "date", "date", "5874897-12-31"),
    ("'10:11:12.5'::time", "time", "time", "10:11:12.5"),
    ("'24:00:00'::time", "time", "time", "24:00:00"),
    ("'10:11:12+05:30'::timetz", "timetz", "timetz", "10:11:12+05:30"),
    ("'10:11:12.5-08'::timetz", "timetz", "timetz", "10:11:12.5-08:00"),
    ("'10:11:12+15:59:59'::timetz", "timetz", "timetz", "10:11:12+15:59:59"),
    ("'2024-02-29 10:11:12.000001'::timestamp", "timestamp", "timestamp", "2024-02-29T10:11:12.000001"),
    ("'2024-02-29 10:11:12'::timestamp", "timestamp", "timestamp", "2024-02-29T10:11:12"),
    ("'infinity'::timestamp", "timestamp", "timestamp", "infinity"),
    ("'0044-03-15 10:00 BC'::timestamp", "timestamp", "timestamp", "0044-03-15T10:00:00 BC"),
    ("'294276-12-31 23:59:59.999999'::timestamp", "timestamp", "timestamp", "294276-12-31T23:59:59.999999"),
    ("'2024-02-29 15:41:12.000001+05:30'::timestamptz", "timestamptz", "timestamptz", "2024-02-29T10:11:12.000001Z"),
    ("'-infinity'::timestamptz", "timestamptz", "timestamptz", "-infinity"),
    ("'0044-03-15 10:00+00 BC'::timestamptz", "timestamptz", "timestamptz", "0044-03-15T10:00:00Z BC"),
    ("'12024-01-01 00:00+00'::timestamptz", "timestamptz", "timestamptz", "12024-01-01T00:00:00Z"),
    ("'1 year 2 months 3 days 4:05:06.5'::interval", "interval", "interval", "P1Y2M3DT4H5M6.5S"),
    ("'-1 year -2 months 3 days -4:05:06.5'::interval", "interval", "interval", "P-1Y-2M3DT-4H-5M-6.5S"),
    ("'0'::interval", "interval", "interval", "PT0S"),
    ("'100 hours'::interval", "interval", "interval", "PT100H"),
    ("'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid", "uuid", "uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    (
        "'{\"a\": [1, 12345678901234567890.123]}'::json",
        "json",
        "json",
        JSONText('{"a": [1, 12345678901234567890.123]}'),
    ),
    ("E'{\"a\":\\n 1}'::json", "json", "json", JSONText('{"a":  1}')),
    ('\'{"b": 1, "a": null}\'::jsonb', "json", "jsonb", JSONText('{"a": null, "b": 1}')),
    ("'null'::jsonb", "json", "jsonb", JSONText("null")),
    ("array[1, null, 3]", "array", "int4[]", [1, None, 3]),
    ("array[[1, 2], [3, null]]", "array", "int4[]", [[1, 2], [3, None]]),
    ("'{}'::int[]", "array", "int4[]", []),
    ("'[0:1]={1,2}'::int[]", "array", "int4[]", [1, 2]),
    ("array['a', 'NULL', null, 'b \"c\\ {d}, e', '']", "array", "text[]", ["a", "NULL", None, 'b "c\\ {d}, e', ""]),
    ("array['NaN', '1.5', '-Infinity']::float8[]", "array", "float8[]", [NAN, 1.5, "-Infinity"]),
    ("array[1.10, 'NaN']::numeric[]", "array", "numeric[]", ["1.10", NAN]),
    ("array[true, false]", "array", "bool[]", [True, False]),
    ("array['2024-02-29 10:00', 'infinity']::timestamp[]", "array", "timestamp[]", ["2024-02-29T10:00:00", "infinity"]),
    ("array['\\x00ff'::bytea]", "array", "bytea[]", [b"\x00\xff"]),
    ('array[\'{"a": "b"}\'::jsonb]', "array", "jsonb[]", [JSONText('{"a": "b"}')]),
    ("array['((1,1),(0,0))'::box, '((3,3),(2,2))']", "array", "box[]", ["(1,1),(0,0)", "(3,3),(2,2)"]),
    ("array['glad'::kinds.mood, null, 'so, so \"x\"']", "array", "mood[]", ["glad", None, 'so, so "x"']),
    ("array[1::kinds.positive]", "array", "positive[]", [1]),
    ("5::kinds.positive", "integer", "int4", 5),
    ("'so, so \"x\"'::kinds.mood", "string", "mood", 'so, so "x"'),
    (
        "row(1, array['a b', null, 'c\"'], '2024-02-29 10:00+00')::kinds.pair",
        "struct",
        "pair",
        {"n": 1, "words": ["a b", None, 'c"'], "at": "2024-02-29T10:00:00Z"},
    ),
    ("row(null, null, null)::kinds.pair", "struct", "pair", {"n": None, "words": None, "at": None}),
    ("row(null, '{}', null)::kinds.pair", "struct", "pair", {"n": None, "words": [], "at": None}),
    (
        "row(row(7, '{x}', null)::kinds.pair, 'so, so \"x\"', '{\"a\": \"(,)\"}')::kinds.nested",
        "struct",
        "nested",
        {"p": {"n": 7, "words": ["x"], "at": None}, "mood": 'so, so "x"', "j": JSONText('{"a": "(,)"}')},
    ),
    (
        "array[row(1, null, null)::kinds.pair]",
        "array",
        "pair[]",
        [{"n": 1, "words": None, "at": None}],
    ),
    ("row(1, 'a')", "string", "record", "(1,a)"),
    ("int4range(1, 5)", "string", "int4range", "[1,5)"),
    ("kinds.span(1, 2)", "string", "span", "[1,2)"),
    ("'{[1,2), [3,4)}'::int4multirange", "string", "int4multirange", "{[1,2),[3,4)}"),
    ("'192.168.0.1/24'::inet", "string", "inet", "192.168.0.1/24"),
    ("'10.0.0.0/8'::cidr", "string", "cidr", "10.0.0.0/8"),
    ("'08:00:2b:01:02:03'::macaddr", "string", "macaddr", "08:00:2b:01:02:03"),
    ("point(1, 2)", "string", "point", "(1,2)"),
    ("'a fat cat'::tsvector", "string", "tsvector", "'a' 'cat' 'fat'"),
    ("'fat & cat'::tsquery", "string", "tsquery", "'fat' & 'cat'"),
    ("'pg_class'::regclass", "string", "regclass", "pg_class"),
    ("'0/16B3748'::pg_lsn", "string", "pg_lsn", "0/16B3748"),
    ("'1 2'::int2vector", "string", "int2vector", "1 2"),
    ("pg_sleep(0)", "string", "void", ""),
]


@pytest.mark.parametrize(("text", "kind", "native", "value"), TABLE, ids=[row[0] for row in TABLE])
def test_a_value_comes_exactly_as_the_table_says(adapter, text, kind, native, value):
    answer = read(adapter, f"select {text} as value")
    assert (answer.types, answer.columns[0].native_type) == ([kind], native)
    assert answer.value == value
    assert type(answer.value) is type(value)


def test_every_type_has_nulls(adapter):
    kinds = sorted({native for _, _, native, _ in TABLE if native not in ("record", "void")})
    named = {"char": '"char"'} | {kind: f"kinds.{kind}" for kind in ("mood", "pair", "nested", "span")}
    named |= {f"{kind}[]": f"kinds.{kind}[]" for kind in ("mood", "pair", "positive")}
    answer = read(adapter, "select " + ", ".join(f"null::{named.get(kind, kind)}" for kind in kinds))
    assert answer.rows == [[None] * len(kinds)]


def test_nulls_and_values_share_a_column(adapter):
    answer = read(adapter, "select * from (values (9007199254740993::int8), (null), (1)) v (x)")
    assert answer.rows == [[9007199254740993], [None], [1]]


def test_decimals_tell_their_precision_where_they_have_one(adapter):
    answer = read(adapter, "select 1::numeric(10,2), 1::numeric, 1200::numeric(3,-2)")
    assert [(column.precision, column.scale) for column in answer.columns] == [(10, 2), (None, None), (3, -2)]
    assert answer.rows == [["1.00", "1", "1200"]]


def test_columns_of_one_name_stay_apart(adapter):
    answer = read(adapter, 'select 1 as a, 2 as a, 3 as "A ""b"')
    assert (answer.names, answer.rows) == (["a", "a", 'A "b'], [[1, 2, 3]])


def test_an_empty_result_keeps_its_columns(adapter):
    answer = read(adapter, "select 1 as a, null::kinds.pair as p where false")
    assert (answer.types, answer.rows) == (["integer", "struct"], [])


def test_a_type_that_changes_shape_does_not_break_a_warm_session(postgresql, adapter):
    read(adapter, "select row(1, null, null)::kinds.pair")
    adapter.reset()
    with postgres.connect(postgresql) as connection:
        connection.execute("alter type kinds.pair add attribute extra int")
    try:
        assert read(adapter, "select row(1, null, null, 5)::kinds.pair").value["extra"] == 5
    finally:
        with postgres.connect(postgresql) as connection:
            connection.execute("alter type kinds.pair drop attribute extra")
