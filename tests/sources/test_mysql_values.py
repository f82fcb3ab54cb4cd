"""Exact values: every type of MariaDB, with nulls, as the REST contract's table has them."""

import datetime
import decimal
import uuid

import pytest

from connections.adapters.limits import Deadline
from connections.adapters.sql.query import SQLQuery
from connections.adapters.values import JSONText
from tests.sources.mysql import adapter_of, owner
from tests.sources.reading import read

GEOMETRY = (
    "GEOMETRYCOLLECTION(POINT(1 2.5),POLYGON((0 0,1 0,1 1,0 0),(0.1 0.1,0.2 0.1,0.2 0.2,0.1 0.1)),"
    "MULTIPOINT(1 1,2 2),LINESTRING(0 0,1e100 1),"
    "MULTILINESTRING((0 0,1 1),(2 2,3 3)),MULTIPOLYGON(((0 0,1 0,1 1,0 0)),((5 5,6 5,6 6,5 5))))"
)

# Each column: its definition, what is stored, its type, its native word, and the wire value.
TYPES = [
    ("tinyint", "-128", "integer", "tinyint", -128),
    ("tinyint unsigned", "255", "integer", "tinyint unsigned", 255),
    ("boolean", "true", "integer", "tinyint", 1),
    ("smallint", "-32768", "integer", "smallint", -32768),
    ("mediumint", "-8388608", "integer", "mediumint", -8388608),
    ("mediumint unsigned", "16777215", "integer", "mediumint unsigned", 16777215),
    ("int", "-2147483648", "integer", "int", -2147483648),
    ("int unsigned", "4294967295", "integer", "int unsigned", 4294967295),
    ("int(6) zerofill", "42", "integer", "int unsigned", 42),
    ("bigint", "-9223372036854775808", "integer", "bigint", -(2**63)),
    ("bigint unsigned", "18446744073709551615", "integer", "bigint unsigned", 2**64 - 1),
    ("decimal(38,10)", "'1234567890123456789012345678.0123456789'", "decimal", "decimal",
     "1234567890123456789012345678.0123456789"),
    ("decimal(65,30)", "'-1.000000000000000000000000000001'", "decimal", "decimal",
     "-1.000000000000000000000000000001"),
    ("decimal(10,2) unsigned", "12.3", "decimal", "decimal", "12.30"),
    ("float", "0.1", "float", "float", 0.1),
    ("float", "16777215", "float", "float", 16777215.0),
    ("double", "1.7976931348623157e308", "float", "double", 1.7976931348623157e308),
    ("double", "0.1", "float", "double", 0.1),
    ("bit(10)", "b'1000000001'", "binary", "bit", b"\x02\x01"),
    ("char(5)", "'ab'", "string", "char", "ab"),
    ("varchar(20)", "'it''s \\\\ %'", "string", "varchar", "it's \\ %"),
    ("varchar(10) character set latin1", "'é'", "string", "varchar", "é"),
    ("tinytext", "'a'", "string", "text", "a"),
    ("text", "'te😀'", "string", "text", "te😀"),
    ("longtext", "''", "string", "text", ""),
    ("binary(3)", "'abc'", "binary", "binary", b"abc"),
    ("varbinary(10)", "x'00ff'", "binary", "varbinary", b"\x00\xff"),
    ("blob", "x'ff'", "binary", "blob", b"\xff"),
    ("longblob", "''", "binary", "blob", b""),
    ("enum('a','é')", "'é'", "string", "enum", "é"),
    ("set('x','y')", "'x,y'", "string", "set", "x,y"),
    ("json", """'{"a": [1, 2.50, null]}'""", "json", "json", '{"a": [1, 2.50, null]}'),
    ("date", "'2024-02-29'", "date", "date", "2024-02-29"),
    ("datetime", "'2024-02-29 10:11:12'", "timestamp", "datetime", "2024-02-29T10:11:12"),
    ("datetime(6)", "'9999-12-31 23:59:59.000001'", "timestamp", "datetime", "9999-12-31T23:59:59.000001"),
    ("timestamp(6) null", "'2024-02-29 10:11:12.5'", "timestamptz", "timestamp", "2024-02-29T08:11:12.5Z"),
    ("time", "'10:11:12'", "time", "time", "10:11:12"),
    ("time(6)", "'-34:22:33.5'", "time", "time", "PT-34H-22M-33.5S"),
    ("time", "'838:59:59'", "time", "time", "PT838H59M59S"),
    ("time(6)", "'-00:00:00.000001'", "time", "time", "PT-0.000001S"),
    ("year", "2024", "integer", "year", 2024),
    ("uuid", "'123E4567-E89B-12D3-A456-426655440000'", "uuid", "uuid", "123e4567-e89b-12d3-a456-426655440000"),
    ("inet6", "'::ffff:1.2.3.4'", "string", "inet6", "::ffff:1.2.3.4"),
    ("inet4", "'1.2.3.4'", "string", "inet4", "1.2.3.4"),
    ("geometry", f"st_geomfromtext('{GEOMETRY}', 4326)", "string", "geometry", GEOMETRY),
    ("point", "point(1, -2.5)", "string", "point", "POINT(1 -2.5)"),
]  # fmt: skip


@pytest.fixture(scope="module")
def kinds(mariadb):
    """A table of every type: row 1 has a value in each column, row 2 null."""
    columns = ", ".join(f"c{at} {kind}" for at, (kind, *_) in enumerate(TYPES))
    values = ", ".join(stored for _, stored, *_ in TYPES)
    with owner(mariadb) as cursor:
        cursor.execute("set time_zone = '+02:00'")
        cursor.execute(f"create or replace table kinds (n int primary key, {columns})")
        cursor.execute(f"insert into kinds values (1, {values})")
        cursor.execute("insert into kinds (n) values (2)")
        yield "kinds"
        cursor.execute("drop table kinds")


@pytest.fixture(scope="module")
def adapter(mariadb, kinds):
    found = adapter_of(mariadb)
    yield found
    found.close()


def test_every_type_comes_exact_with_a_null_beside_it(adapter, kinds):
    found = read(adapter, "select * from kinds order by n")
    told = [(str(column.type), column.native_type) for column in found.columns[1:]]
    assert told == [(kind, native) for _, _, kind, native, _ in TYPES]
    assert found.rows[0][1:] == [value for *_, value in TYPES]
    assert found.rows[1][1:] == [None] * len(TYPES)


def test_a_table_is_described_with_the_types_that_a_preview_shows(adapter, kinds):
    described = adapter.columns(("kinds",), Deadline.after(10))
    previewed = read(adapter, ["warehouse", "kinds"]).columns
    assert [(each.name, each.type, each.native_type) for each in described.columns] == [
        (each.name, each.type, each.native_type) for each in previewed
    ]
    assert described.primary_key == ("n",)
    assert [each.nullable for each in described.columns[:2]] == [False, True]


def test_decimals_tell_their_digits(adapter, kinds):
    digits = {(each.precision, each.scale) for each in read(adapter, ["kinds"]).columns if each.type == "decimal"}
    assert digits == {(38, 10), (65, 30), (10, 2)}


def test_geometries_read_as_the_server_writes_them(adapter, kinds, mariadb):
    column = f"c{[kind for kind, *_ in TYPES].index('geometry')}"
    mine, theirs = read(adapter, f"select {column}, st_astext({column}) from kinds where n = 1").rows[0]
    assert mine == theirs


def test_json_is_embedded_and_what_is_no_json_is_a_string(adapter):
    found = read(adapter, """select json_object('a', 1) as a, json_extract('{"b": [1, 2]}', '$.b') as b""").rows[0]
    assert found == ['{"a": 1}', "[1, 2]"]
    assert all(isinstance(value, JSONText) for value in found)


@pytest.mark.parametrize(
    ("kind", "stored"),
    [("date", "0000-00-00"), ("date", "2024-02-00"), ("datetime", "0000-00-00"), ("timestamp", "0000-00-00")],
)
def test_a_zero_date_is_null_and_told(mariadb, adapter, kind, stored):
    with owner(mariadb) as cursor:
        cursor.execute(f"create or replace table zeros (d {kind} not null)")
        cursor.execute("insert into zeros values (%s)", (stored,))
        query = SQLQuery(sql="select * from zeros")
        result = adapter.read(query, {}, limit=1, offset=0, count=False, deadline=Deadline.after(10))
        assert [row for batch in result.batches for row in batch] == [[None]]
        assert [notice.code for notice in result.notices] == ["zero_date"]
        adapter.reset()  # its transaction holds the table
        cursor.execute("drop table zeros")


NASTY = [
    "it's",
    '"',
    "\\",
    "\\'",
    "%s %d %%",
    "?",
    ":a",
    "a\nb\r\t\x1a",
    "é😀",
    "-- x",
    "/*! 1 */",
    "' OR 1=1 --",
    "x" * 70_000,
]


@pytest.mark.parametrize("value", NASTY)
def test_a_text_comes_back_as_it_was_bound(adapter, value):
    assert read(adapter, "select :v as v, 'a :b \\' :c' as w, 5 % 2", {"v": value}).rows == [[value, "a :b ' :c", 1]]


@pytest.mark.parametrize(
    ("value", "comes_back"),
    [
        (None, None),
        (True, 1),
        (0, 0),
        (-(2**63), -(2**63)),
        (2**64 - 1, 2**64 - 1),
        (10**30, str(10**30)),
        (0.1, 0.1),
        (decimal.Decimal("1.50"), "1.50"),
        (b"\x00\xff'", b"\x00\xff'"),
        (datetime.date(2024, 2, 29), "2024-02-29"),
        (datetime.datetime(2024, 2, 29, 10, 11, 12, 1, tzinfo=datetime.UTC), "2024-02-29 10:11:12.000001"),
        (datetime.timedelta(hours=-30, microseconds=-1), "-30:00:00.000001"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_a_value_comes_back_as_it_was_bound(adapter, value, comes_back):
    assert read(adapter, "select :v", {"v": value}).value == comes_back


def test_moments_compare_as_moments(adapter, kinds):
    where = "date(:d) = date '2024-02-29' and timestamp '2024-02-29 00:00:01' > :d and :d in (date '2024-02-29')"
    assert read(adapter, f"select {where}", {"d": datetime.date(2024, 2, 29)}).value == 1
    column = f"c{[kind for kind, *_ in TYPES].index('timestamp(6) null')}"
    moment = datetime.datetime(2024, 2, 29, 9, 11, 12, 500000, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
    assert read(adapter, f"select n from kinds where {column} = :m", {"m": moment}).rows == [[1]]
