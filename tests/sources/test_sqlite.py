"""SQLite: real files, read through the guard."""

import hashlib
import os
import sqlite3
from pathlib import Path

import pytest

from connections.adapters.contract import Environment, Step
from connections.adapters.egress import EgressPolicy
from connections.adapters.errors import (
    AdapterError,
    AuthorizationError,
    DeadlineError,
    InvalidError,
    NotAQueryError,
    ProtocolError,
    QueryError,
    QueryForbiddenError,
)
from connections.adapters.limits import Deadline
from connections.adapters.sql.query import SQLQuery
from connections.sources.sqlite import SQLiteAdapter, SQLiteConfig
from tests.sources.reading import read

TABLES = """
create table orders (id integer primary key, customer varchar(20) not null, amount decimal(10,2), placed timestamp);
insert into orders values (1, 'Ada', 10.5, '2024-02-29 10:11:12.5'), (2, 'Bo', null, null);
insert into orders values (3, 'Ça', 3, '2024-03-01 00:00:00');
create view large as select * from orders where amount > 5;
create table "we ird%:x" ("a""b" integer);
insert into "we ird%:x" values (7);
"""


def open_file(path: Path) -> SQLiteAdapter:
    config = SQLiteConfig.model_validate({"path": path.name})
    return SQLiteAdapter(config, Environment(EgressPolicy(), root=path.parent))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "orders.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.executescript(TABLES)
    connection.close()
    return path


@pytest.fixture
def adapter(file):
    made = open_file(file)
    yield made
    made.close()


def values(tmp_path, declared: str, *literals: str):
    """The column of these values, declared so, as the adapter gives it."""
    path = tmp_path / "values.sqlite3"
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute(f"create table v (x {declared})")
        for literal in literals:
            connection.execute(f"insert into v values ({literal})")
    connection.close()
    adapter = open_file(path)
    answer = read(adapter, "select x from v")
    adapter.close()
    return answer.types[0], [row[0] for row in answer.rows]


@pytest.mark.parametrize(
    ("declared", "literals", "expected"),
    [
        ("integer", ["9223372036854775807", "null"], ("integer", [9223372036854775807, None])),
        ("bigint", ["-1"], ("integer", [-1])),
        ("boolean", ["1", "0", "null"], ("boolean", [True, False, None])),
        ("boolean", ["2"], ("integer", [2])),
        ("double", ["1.5", "9e999", "-9e999"], ("float", [1.5, "Infinity", "-Infinity"])),
        ("decimal(10,2)", ["1.5", "2", "null"], ("decimal", ["1.5", "2", None])),
        ("numeric", ["1e-7"], ("decimal", ["0.0000001"])),
        ("date", ["'2024-02-29'"], ("date", ["2024-02-29"])),
        ("date", ["'yesterday'"], ("string", ["yesterday"])),
        ("datetime", ["'2024-02-29 10:11:12.000001'"], ("timestamp", ["2024-02-29T10:11:12.000001"])),
        ("datetime", ["'2024-02-29 10:11:12+00:00'"], ("timestamptz", ["2024-02-29T10:11:12Z"])),
        ("time", ["'10:11:12.5'"], ("time", ["10:11:12.5"])),
        ("json", ["'{\"a\": [1]}'"], ("json", ['{"a": [1]}'])),
        ("json", ["'{'"], ("string", ["{"])),
        ("uuid", ["'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"], ("uuid", ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"])),
        ("blob", ["x'00ff'"], ("binary", [b"\x00\xff"])),
        ("text", ["'é'", "''"], ("string", ["é", ""])),
        ("", ["1", "1.5"], ("float", [1.0, 1.5])),
        ("integer", ["'abc'", "1", "x'00ff'", "1.5"], ("string", ["abc", "1", "AP8=", "1.5"])),
        ("integer", ["null"], ("integer", [None])),
        ("", ["null"], ("string", [None])),
    ],
)
def test_values_come_by_declared_type_where_they_fit_it(tmp_path, declared, literals, expected):
    assert values(tmp_path, declared, *literals) == expected


def test_a_value_that_stops_fitting_after_the_first_batch_is_kept_and_said(tmp_path):
    path = tmp_path / "mixed.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.execute("create table v (x integer)")
        connection.executemany("insert into v values (?)", [(n,) for n in range(600)])
        connection.execute("insert into v values ('late')")
    connection.close()
    adapter = open_file(path)
    result = adapter.read(
        SQLQuery(sql="select x from v"), {}, limit=1000, offset=0, count=False, deadline=Deadline.after(5)
    )
    rows = [row for batch in result.batches for row in batch]
    assert rows[-1] == ["late"]
    assert [notice.code for notice in result.notices] == ["mixed_types"]
    adapter.close()


def test_a_table_comes_in_the_order_of_its_key(adapter):
    answer = read(adapter, ["orders"], limit=1, offset=1, count=True)
    assert answer.rows == [[2, "Bo", None, None], [3, "Ça", "3", "2024-03-01T00:00:00"]]
    assert answer.total == 3
    assert answer.types == ["integer", "string", "decimal", "timestamp"]
    assert answer.columns[2].native_type == "decimal(10,2)"


def test_a_text_is_limited_and_counted_without_being_edited(adapter):
    answer = read(adapter, "select id from orders order by id desc -- the last", limit=1, offset=1, count=True)
    assert answer.rows == [[2], [1]]
    assert answer.total == 3


def test_names_are_quoted(adapter):
    answer = read(adapter, ["we ird%:x"])
    assert (answer.names, answer.rows) == (['a"b'], [[7]])


def test_columns_of_one_name_stay_apart_and_empty_results_keep_theirs(adapter):
    answer = read(adapter, "select 1 as a, 2 as a where false")
    assert (answer.names, answer.rows) == (["a", "a"], [])


def test_parameters_are_bound(adapter):
    text = """select id, ':b', 5 % 2, /* :c */ [id], :a from orders
              where customer like '%a' and id in (:ids) and (:n is null) and placed >= :since and :a = :a"""
    answer = read(adapter, text, {"ids": [1, 2], "n": None, "since": "2024-01-01", "a": "' or 1=1 --"})
    assert answer.rows == [[1, ":b", 1, 1, "' or 1=1 --"]]


def test_an_integer_beyond_64_bits_is_refused_by_name(adapter):
    with pytest.raises(InvalidError) as caught:
        read(adapter, "select :a", {"a": 2**70})
    assert caught.value.field == "/parameters"


@pytest.mark.parametrize(
    "text",
    [
        "insert into orders values (9, 'x', 1, null)",
        "update orders set amount = 0",
        "delete from orders",
        "with x as (select 1) insert into orders select 9, 'x', 1, null",
        "replace into orders values (1, 'x', 1, null)",
        "drop table orders",
        "create table x (a)",
        "create temp table x (a)",
        "create temp view x as select 1",
        "attach ':memory:' as other",
        "attach 'other.sqlite3' as other",
        "detach main",
        "vacuum",
        "vacuum into 'copy.sqlite3'",
        "pragma writable_schema = on",
        "pragma table_info(orders)",
        "select * from pragma_table_info('orders')",
        "select * from pragma_database_list",
        "reindex",
        "analyze",
        "begin",
        "commit",
        "savepoint x",
        "explain delete from orders",
        "update sqlite_master set sql = ''",
        "select 1; delete from orders",
        "select 1; select 2",
        "select 1;;delete from orders",
    ],
)
def test_what_does_more_than_read_does_nothing(file, adapter, text):
    before = (hashlib.sha256(file.read_bytes()).digest(), sorted(os.listdir(file.parent)))
    with pytest.raises(NotAQueryError):
        read(adapter, text)
    assert (hashlib.sha256(file.read_bytes()).digest(), sorted(os.listdir(file.parent))) == before


@pytest.mark.parametrize(
    "text",
    ["select load_extension('x')", "select fts3_tokenizer('simple')", "select zeroblob(9e9)", "select randomblob(9e9)"],
)
def test_functions_that_do_more_than_compute_are_forbidden(adapter, text):
    with pytest.raises(QueryForbiddenError):
        read(adapter, text)


@pytest.mark.parametrize(
    "text",
    [
        "select json_extract('{\"a\":1}', '$.a')",
        "select value from json_each('[1]')",
        "explain query plan select 1",
        "values (1)",
        "with recursive n(x) as (select 1 union all select x + 1 from n where x < 5) select sum(x) from n",
        "select count(*) over (), strftime('%Y', '2024-01-01'), printf('%.2f', 1.5) from orders",
        "select * from large",
    ],
)
def test_what_reads_works(adapter, text):
    assert read(adapter, text).rows


def test_a_query_without_end_is_stopped_at_the_deadline(adapter):
    with pytest.raises(DeadlineError):
        read(
            adapter, "with recursive n(x) as (select 1 union all select x + 1 from n) select sum(x) from n", seconds=0.3
        )
    assert read(adapter, "select 1").rows == [[1]]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("select nope from orders", "/query/sql"),
        ("selct 1", "/query/sql"),
        ("select ?", "/query/sql"),
        ("select @x", "/query/sql"),
    ],
)
def test_a_wrong_text_is_the_querys_fault(adapter, text, field):
    with pytest.raises(QueryError) as caught:
        read(adapter, text)
    assert caught.value.code == "query"
    assert caught.value.field == field


def test_a_table_that_is_not_there_is_the_tables_fault(adapter):
    with pytest.raises(QueryError) as caught:
        read(adapter, ["nope"])
    assert caught.value.field == "/query/table"


def test_text_that_is_not_utf8_is_an_error_that_says_what_to_do(tmp_path):
    path = tmp_path / "latin.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.execute("create table v (x text)")
        connection.execute("insert into v values (cast(x'ff' as text))")
    connection.close()
    adapter = open_file(path)
    with pytest.raises(QueryError) as caught:
        read(adapter, "select x from v")
    assert "hex" in (caught.value.hint or "")
    adapter.close()


def refused(root: Path, path: str) -> AdapterError:
    adapter = SQLiteAdapter(SQLiteConfig.model_validate({"path": path}), Environment(EgressPolicy(), root=root))
    with pytest.raises(AdapterError) as caught:
        read(adapter, "select 1")
    return caught.value


@pytest.mark.parametrize(
    "path",
    ["../orders.sqlite3", "/etc/passwd", "a//b", "~/x", "orders.sqlite3?mode=rwc", "file:orders.sqlite3", "link"],
)
def test_only_files_beneath_the_folder_are_opened(tmp_path, file, path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(file)
    assert refused(tmp_path / "root", path).field == "/config/path"
    assert sorted(os.listdir(tmp_path / "root")) == ["link"]


def test_a_file_that_is_no_database_is_a_protocol_error(tmp_path):
    (tmp_path / "notes.txt").write_text("not a database, " * 100)
    found = refused(tmp_path, "notes.txt")
    assert (type(found), found.field) == (ProtocolError, "/config/path")


def test_a_missing_file_and_a_missing_folder_are_said(tmp_path):
    assert isinstance(refused(tmp_path, "none.sqlite3"), AuthorizationError)
    adapter = SQLiteAdapter(SQLiteConfig.model_validate({"path": "x"}), Environment(EgressPolicy()))
    with pytest.raises(AuthorizationError):
        read(adapter, "select 1")


def test_a_check_walks_its_steps(adapter):
    steps = list(adapter.check(Deadline.after(5)))
    assert [(str(step.name), step.ok) for step in steps if isinstance(step, Step)] == [
        ("connect", True),
        ("sample", True),
    ]
    assert adapter.server().product == "SQLite"


def test_a_change_of_the_file_is_seen_after_a_reset(file, adapter):
    assert read(adapter, "select count(*) from orders").value == 3
    with sqlite3.connect(file) as connection:
        connection.execute("insert into orders values (4, 'Dee', 1, null)")
    connection.close()
    adapter.reset()
    assert read(adapter, "select count(*) from orders").value == 4


def test_tables_and_columns_are_listed(adapter):
    tables = list(adapter.tables("", Deadline.after(5)))
    assert [(table.path, table.kind) for table in tables] == [
        (("large",), "view"),
        (("orders",), "table"),
        (("we ird%:x",), "table"),
    ]
    described = adapter.columns(("orders",), Deadline.after(5))
    assert described.primary_key == ("id",)
    assert [(column.name, column.nullable) for column in described.columns][1] == ("customer", False)
    text = adapter.describe(
        SQLQuery(sql="select amount, 1 + 1 as two from orders where id = :id"), {"id": 1}, Deadline.after(5)
    )
    assert [(column.name, str(column.type), column.native_type) for column in text.columns] == [
        ("amount", "decimal", "decimal(10,2)"),
        ("two", "string", None),
    ]


def test_closing_twice_is_fine(adapter):
    read(adapter, "select 1")
    adapter.close()
    adapter.close()


def test_no_descriptor_stays_open(adapter):
    read(adapter, ["orders"])
    adapter.reset()
    before = len(os.listdir("/dev/fd"))
    for _ in range(5):
        read(adapter, ["orders"])
        adapter.reset()
    assert len(os.listdir("/dev/fd")) == before
