"""DuckDB files: values, parameters, pages, tables, and files that are none."""

import datetime
import decimal
import os
import resource
import subprocess
import sys
import time
import uuid
from pathlib import Path

import duckdb
import pytest

from connections.adapters.contract import Environment, Step
from connections.adapters.egress import EgressPolicy
from connections.adapters.errors import (
    AdapterError,
    AuthorizationError,
    DeadlineError,
    InvalidError,
    ProtocolError,
    QueryError,
    TooLargeError,
    UnreachableError,
)
from connections.adapters.limits import Deadline
from connections.adapters.sql.query import SQLQuery
from connections.adapters.values import JSONText
from connections.sources.duckdb import DuckDBAdapter
from connections.sources.duckdb.types import interval
from tests.sources.duckdb import adapter_of, write
from tests.sources.reading import read


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    write(
        folder / "books.duckdb",
        "create table books (id integer primary key, title varchar not null)",
        "insert into books select i, 'title ' || i from range(1, 3001) t(i)",
        "comment on table books is 'All of them'",
        "comment on column books.id is 'Its number'",
        "create view short_books as select title from books",
        "create schema other",
        """create table other."odd:name "" $1" ("a b" integer, c integer, primary key (c, "a b"))""",
    )
    return folder


@pytest.fixture
def adapter(root):
    found = adapter_of(root)
    yield found
    found.close()


VALUES = [
    ("true", "boolean", True),
    ("(-128)::tinyint", "integer", -128),
    ("18446744073709551615::ubigint", "integer", 2**64 - 1),
    ("(-170141183460469231731687303715884105728)::hugeint", "integer", -(2**127)),
    ("340282366920938463463374607431768211455::uhugeint", "integer", 2**128 - 1),
    ("'123456789012345678901234567890123456789012345678901'::bignum", "integer",
     123456789012345678901234567890123456789012345678901),
    ("'1234567890123456789012345678.0123456789'::decimal(38,10)", "decimal",
     "1234567890123456789012345678.0123456789"),
    ("0::decimal(38,20)", "decimal", "0.00000000000000000000"),
    ("0.1::float", "float", 0.1),
    ("16777217::float", "float", 16777216.0),
    ("'-inf'::float", "float", "-Infinity"),
    ("0.1::double", "float", 0.1),
    ("'nan'::double", "float", "NaN"),
    ("'inf'::double", "float", "Infinity"),
    ("'it''s'", "string", "it's"),
    ("chr(0) || 'é🦆'", "string", "\0é🦆"),
    (r"'\x00\xff'::blob", "binary", b"\x00\xff"),
    ("'0101'::bit", "binary", b"\x50"),
    ("date '2024-02-29'", "date", "2024-02-29"),
    ("date '0044-03-15 (BC)'", "date", "0044-03-15 BC"),
    ("date '12024-02-29'", "date", "12024-02-29"),
    ("'infinity'::date", "date", "infinity"),
    ("date '9999-12-31'", "date", "9999-12-31"),
    ("timestamp '2024-02-29 10:11:12.000001'", "timestamp", "2024-02-29T10:11:12.000001"),
    ("timestamp '0044-03-15 (BC) 10:00:00'", "timestamp", "0044-03-15T10:00:00 BC"),
    ("'-infinity'::timestamp", "timestamp", "-infinity"),
    ("timestamp_s '2024-02-29 10:11:12'", "timestamp", "2024-02-29T10:11:12"),
    ("timestamp_ms '2024-02-29 10:11:12.123'", "timestamp", "2024-02-29T10:11:12.123"),
    ("timestamp_ns '2024-02-29 10:11:12.123456789'", "timestamp", "2024-02-29T10:11:12.123456789"),
    ("timestamptz '2024-02-29 10:11:12.5+02'", "timestamptz", "2024-02-29T08:11:12.5Z"),
    ("'infinity'::timestamptz", "timestamptz", "infinity"),
    ("time '10:11:12.5'", "time", "10:11:12.5"),
    ("time '24:00:00'", "time", "24:00:00"),
    ("timetz '10:11:12.5+05:30'", "timetz", "10:11:12.5+05:30"),
    ("timetz '10:11:12-08'", "timetz", "10:11:12-08:00"),
    ("interval '1 year 2 months 3 days 4 hours 5 minutes 6.5 seconds'", "interval", "P1Y2M3DT4H5M6.5S"),
    ("interval '-14 months 3 days -4 hours'", "interval", "P-1Y-2M3DT-4H"),
    ("interval '0 days'", "interval", "PT0S"),
    ("uuid '123E4567-E89B-12D3-A456-426655440000'", "uuid", "123e4567-e89b-12d3-a456-426655440000"),
    ("[1, null, 3]", "array", [1, None, 3]),
    ("[1, 2]::integer[2]", "array", [1, 2]),
    ("['infinity'::date, null]", "array", ["infinity", None]),
    ("[[interval '1 month']]", "array", [["P1M"]]),
    ("[0.1::float, 'nan'::float]", "array", [0.1, "NaN"]),
    ("row(1, timestamp_ns '2024-02-29 10:11:12.123456789')", "array", [1, "2024-02-29T10:11:12.123456789"]),
    ("{'a': 1, 'b \"': date '2024-02-29', 'c': 1.50::decimal(5,2)}", "struct",
     {"a": 1, 'b "': "2024-02-29", "c": "1.50"}),
    ("map {'a': 1}", "struct", {"a": 1}),
    ("map {1: [interval '1 month']}", "struct", {"1": ["P1M"]}),
    ("union_value(n := 5)", "json", '{"n":5}'),
    ("[union_value(n := 5)]", "array", ['{"n":5}']),
    ("1::variant", "json", "1"),
    ("'{\"a\": 1.50}'::json", "json", '{"a": 1.50}'),
    ("'b'::enum('a', 'b')", "string", "b"),
    ("null", "string", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "kind", "value"), VALUES)
def test_a_value_comes_exact_and_a_null_beside_it(adapter, text, kind, value):
    found = read(adapter, f"select {text} as v union all select null")
    assert found.types == [kind]
    assert sorted(found.rows, key=lambda row: row == [None]) == [[value], [None]]


def test_all_types_that_the_engine_has_are_read(adapter):
    found = read(adapter, "from test_all_types()")
    assert len(found.columns) > 50
    assert found.rows[2] == [None] * len(found.columns)


def test_json_is_embedded(adapter):
    assert isinstance(read(adapter, "select '[1]'::json").value, JSONText)
    assert isinstance(read(adapter, "select [union_value(n := 5)]").value[0], JSONText)


def test_decimals_tell_their_digits(adapter):
    (column,) = read(adapter, "select 1::decimal(38,10)").columns
    assert (column.precision, column.scale, column.native_type) == (38, 10, "DECIMAL(38,10)")


@pytest.mark.parametrize(
    ("text", "iso"), [("-00:00:01.500000", "PT-1.5S"), ("100:00:00", "PT100H"), ("2 days -00:30:00", "P2DT-30M")]
)
def test_intervals_keep_the_sign_of_each_part(text, iso):
    assert interval(text) == iso


@pytest.mark.parametrize(
    ("text", "parameters", "rows"),
    [
        ("select 'a :b'", {}, [["a :b"]]),
        ("select 'a\\' as x, :a", {"a": 1}, [["a\\", 1]]),
        ("select e'it\\'s :b', :a", {"a": 1}, [["it's :b", 1]]),
        ("select '7'::int, :a::int", {"a": "8"}, [[7, 8]]),
        ("select id from books where title like '%e 7' and id = :n", {"n": 7}, [[7]]),
        ("select 5 % 2", {}, [[1]]),
        ("select [1,2,3][1:2], {'a':1}", {}, [[[1, 2], {"a": 1}]]),
        ("select /* :c /* :d */ */ 1 -- :e", {}, [[1]]),
        ("select $$ :d $$, $x$ $$ :e $x$", {}, [[" :d ", " $$ :e "]]),
        ("select :a, :b, :a", {"a": "x", "b": None}, [["x", None, "x"]]),
        ("select id from books where id in (:ids) order by id", {"ids": [3, 1, 2]}, [[1], [2], [3]]),
        ("select id from books where id = any(:ids) order by id", {"ids": [3, 1]}, [[1], [3]]),
        ("select :a", {"a": [1, None]}, [[[1, None]]]),
        ("select id from books where date '2024-01-01' = :d limit 1", {"d": "2024-01-01"}, [[1]]),
        ("from books select id order by id limit :n", {"n": 2}, [[1], [2]]),
        ("select 1 as a, 2 as a", {}, [[1, 2]]),
        ("select 1;  -- the end\n;", {}, [[1]]),
        ("select * from (values (1)) t(a) where a = :a --", {"a": 1}, [[1]]),
        ("select current_date = current_date --", {}, [[True]]),
        ("select date '2024-01-01' as d -- the end", {}, [["2024-01-01"]]),
    ],
)
def test_parameters_are_bound_and_all_else_is_as_it_stands(adapter, text, parameters, rows):
    assert read(adapter, text, parameters).rows == rows


@pytest.mark.parametrize("value", ["it's", '"', "\\", "%s", "$1", ":a", "a\nb", "é🦆", "' OR 1=1 --", "x" * 70_000])
def test_a_text_comes_back_as_it_was_bound(adapter, value):
    assert read(adapter, "select :v", {"v": value}).value == value


@pytest.mark.parametrize(
    ("value", "comes_back"),
    [
        (2**100, 2**100),
        (0.1, 0.1),
        (decimal.Decimal("1.50"), "1.50"),
        (b"\x00\xff", b"\x00\xff"),
        (datetime.date(2024, 2, 29), "2024-02-29"),
        (datetime.datetime(2024, 2, 29, 1, tzinfo=datetime.UTC), "2024-02-29T01:00:00Z"),
        (datetime.timedelta(days=1, seconds=1), "P1DT1S"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_a_value_comes_back_as_it_was_bound(adapter, value, comes_back):
    assert read(adapter, "select :v", {"v": value}).value == comes_back


@pytest.mark.parametrize("parameters", [{}, {"a": 1, "b": 1}, {"a": 2**130}])
def test_a_parameter_that_cannot_be_bound_is_pointed_at(adapter, parameters):
    with pytest.raises(InvalidError) as caught:
        read(adapter, "select :a", parameters)
    assert str(caught.value.field).startswith("/parameters")


def test_pages_follow_one_another_and_tell_the_total(adapter):
    found = read(adapter, "select id, today() from books order by id desc", limit=2, offset=1500, count=True)
    assert [row[0] for row in found.rows] == [1500, 1499, 1498]
    assert found.total == 3000
    assert read(adapter, "from books", count=True).total == 3000
    table = read(adapter, ["main", "books"], limit=1, offset=2998, count=True)
    assert ([row[0] for row in table.rows], table.total) == ([2999, 3000], 3000)
    assert read(adapter, "select 1 as a, 2 as a", count=True).total == 1


def test_a_page_of_a_huge_result_costs_a_page(adapter):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    assert read(adapter, "select i, now() from range(10000000000) t(i)", limit=10, offset=1000).value == 1000
    assert time.monotonic() - started < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB


def test_tables_and_views_are_listed_and_described(adapter):
    found = {table.path: (table.kind, table.comment) for table in adapter.tables("", Deadline.after(10))}
    assert found == {
        ("main", "books"): ("table", "All of them"),
        ("main", "short_books"): ("view", None),
        ("other", 'odd:name " $1'): ("table", None),
    }
    described = adapter.columns(("BOOKS",), Deadline.after(10))
    assert [(each.name, each.nullable, each.comment) for each in described.columns] == [
        ("id", False, "Its number"), ("title", False, None)
    ]  # fmt: skip
    assert described.primary_key == ("id",)
    assert adapter.columns(("other", 'odd:name " $1'), Deadline.after(10)).primary_key == ("c", "a b")
    assert read(adapter, ["other", 'odd:name " $1']).rows == []


@pytest.mark.parametrize("path", [["nope"], ["other", "books"], ["a", "b", "c"], ["books.duckdb"]])
def test_a_table_that_is_not_there_is_pointed_at(adapter, path):
    with pytest.raises(QueryError) as caught:
        read(adapter, path)
    assert caught.value.field == "/query/table"


def test_a_statement_is_described_without_being_run(adapter):
    query = SQLQuery(sql="select count(*) as n, max(now()) as t from range(100000000000)")
    columns = adapter.describe(query, {}, Deadline.after(5)).columns
    assert [(each.name, str(each.type)) for each in columns] == [("n", "integer"), ("t", "timestamptz")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("select nope", 'Referenced column "nope" was not found'),
        ("select * from ordrs", "Table with name ordrs does not exist!"),
        ("selct 1", 'syntax error at or near "selct"'),
        ("select today(), cast('x' as integer)", "Could not convert string 'x' to INT32"),
    ],
)
def test_a_rejected_query_is_told_without_our_own_text(adapter, text, message):
    with pytest.raises(QueryError) as caught:
        read(adapter, text)
    assert message in caught.value.message
    assert "LINE" not in caught.value.message
    assert caught.value.field == "/query/sql"


def test_a_query_is_stopped_at_its_deadline(adapter):
    started = time.monotonic()
    with pytest.raises(DeadlineError):
        read(adapter, "select count(*), max(now()) from range(1000000000000)", seconds=1)
    assert time.monotonic() - started < 3
    assert read(adapter, "select 1").value == 1


def test_a_query_that_needs_too_much_memory_says_so(adapter):
    with pytest.raises(TooLargeError):
        read(adapter, "select list(i || 'x' || i) from range(300000000) t(i)")
    assert read(adapter, "select 1").value == 1


def test_a_check_passes_step_by_step(adapter):
    steps = [item for item in adapter.check(Deadline.after(10)) if isinstance(item, Step)]
    assert [(str(step.name), step.ok) for step in steps] == [("connect", True), ("sample", True)]
    assert adapter.server().version == duckdb.__version__


# Files that are none -----------------------------------------------------------------------------------------------


def failure(adapter: DuckDBAdapter) -> AdapterError:
    with pytest.raises(AdapterError) as caught:
        read(adapter, "select 1")
    adapter.close()
    assert str(adapter.environment.root) not in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    "name", ["../books.duckdb", "/etc/passwd", "a/../books.duckdb", ":memory:", "md:", "nope.duckdb", "."]
)
def test_a_path_that_is_no_file_beneath_the_folder_is_refused(root, name):
    error = failure(adapter_of(root, name))
    assert isinstance(error, AuthorizationError | InvalidError)
    assert error.field == "/config/path"


def test_links_are_refused(tmp_path, root):
    (tmp_path / "link.duckdb").symlink_to(root / "books.duckdb")
    os.link(root / "books.duckdb", tmp_path / "hard.duckdb")
    try:
        assert isinstance(failure(adapter_of(tmp_path, "link.duckdb")), AuthorizationError)
        assert isinstance(failure(adapter_of(tmp_path, "hard.duckdb")), AuthorizationError)
    finally:
        (tmp_path / "hard.duckdb").unlink()


@pytest.mark.parametrize("content", [b"", b"hello", b"\0" * 20_000, b"SQLite format 3\0" + b"\0" * 5000])
def test_a_file_that_is_no_database_is_told(tmp_path, content):
    (tmp_path / "books.duckdb").write_bytes(content)
    assert isinstance(failure(adapter_of(tmp_path)), ProtocolError)


def test_a_damaged_file_ends_in_an_error_of_ours(tmp_path, root):
    whole = bytearray((root / "books.duckdb").read_bytes())
    whole[8192:16384] = os.urandom(8192)
    (tmp_path / "books.duckdb").write_bytes(whole)
    with pytest.raises(AdapterError):
        read(adapter_of(tmp_path), "select * from books")


def test_a_file_without_a_folder_is_refused(root):
    adapter = adapter_of(root)
    assert isinstance(failure(DuckDBAdapter(adapter.config, Environment(EgressPolicy()))), AuthorizationError)


def test_a_file_that_another_program_writes_is_worth_another_try(root, tmp_path):
    write(tmp_path / "books.duckdb", "create table t (a integer)")
    writer = f"import duckdb, sys; d = duckdb.connect({str(tmp_path / 'books.duckdb')!r}); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", writer], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        error = failure(adapter_of(tmp_path))
        process.communicate(b"\n", timeout=10)
    assert isinstance(error, UnreachableError)


def test_the_file_is_free_for_its_writers_after_a_reset(tmp_path):
    path: Path = tmp_path / "books.duckdb"
    write(path, "create table t as select 1 as a")
    adapter = adapter_of(tmp_path)
    assert read(adapter, "from t").value == 1
    assert not adapter.reset()
    write(path, "update t set a = 2")
    assert read(adapter, "from t").value == 2
    adapter.close()
