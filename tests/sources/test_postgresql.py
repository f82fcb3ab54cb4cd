"""PostgreSQL: reading, tables, parameters and the life of a session, on a real server."""

import datetime
import decimal
import time
import uuid

import psycopg
import pytest

from catalog_project.demo import postgres
from connections.adapters.contract import Result
from connections.adapters.errors import DeadlineError, InvalidError, QueryError, QueryForbiddenError
from connections.adapters.limits import Deadline
from connections.adapters.sql.query import SQLQuery
from connections.sources.postgresql import PostgreSQLAdapter, PostgreSQLConfig, guard
from connections.sources.postgresql.login import APPLICATION
from tests.sources.postgresql import adapter_of
from tests.sources.reading import read

OBJECTS = """
drop schema if exists shop cascade;
create schema shop;
grant usage on schema shop to reader;
create table shop.orders (id int primary key, customer text not null, amount numeric(10,2), placed timestamptz);
comment on table shop.orders is 'What was bought';
comment on column shop.orders.amount is 'In euros';
insert into shop.orders select n, 'c' || n, n * 1.5, timestamptz '2024-01-01 00:00+00' + n * interval '1 day'
  from generate_series(1, 1000) n;
create view shop.large as select * from shop.orders where amount > 1000;
create materialized view shop.daily as select placed::date as day, count(*) from shop.orders group by 1;
create table shop.keyed (b int, a int, primary key (a, b));
insert into shop.keyed values (1, 2), (2, 1), (1, 1);
create table shop."we ird%:x""y" ("a b%" int);
insert into shop."we ird%:x""y" values (7);
create table shop.secret (id int);
grant select on all tables in schema shop to reader;
revoke all on shop.secret from reader;
"""


@pytest.fixture(scope="module")
def shop(postgresql):
    with postgres.connect(postgresql) as connection:
        connection.execute(OBJECTS)
    return postgresql


@pytest.fixture
def adapter(shop):
    made = adapter_of(shop)
    yield made
    made.close()


def test_a_table_comes_in_the_order_of_its_key(adapter):
    assert read(adapter, ["shop", "keyed"]).rows == [[1, 1], [2, 1], [1, 2]]


def test_a_page_neither_skips_nor_repeats(adapter):
    pages = [read(adapter, ["shop", "orders"], limit=10, offset=offset).rows[:10] for offset in range(0, 50, 10)]
    assert [row[0] for page in pages for row in page] == list(range(1, 51))
    texts = [read(adapter, "select id from shop.orders order by id", limit=10, offset=o).rows[:10] for o in (0, 10)]
    assert [row[0] for page in texts for row in page] == list(range(1, 21))


@pytest.mark.parametrize("query", [["shop", "orders"], "select * from shop.orders;", "table shop.orders -- all"])
def test_a_count_is_of_all_rows(adapter, query):
    answer = read(adapter, query, limit=2, count=True)
    assert (len(answer.rows), answer.total) == (3, 1000)


def test_one_row_over_the_limit_tells_that_there_are_more(adapter):
    assert len(read(adapter, "select generate_series(1, 5)", limit=5).rows) == 5
    assert len(read(adapter, "select generate_series(1, 6)", limit=5).rows) == 6


@pytest.mark.parametrize("limit", [0, 1, 255, 256, 257, 5000, 9999])
def test_any_limit_gives_its_rows_in_order(adapter, limit):
    rows = read(adapter, "select n from generate_series(1, 20000) n", limit=limit, offset=3).rows
    assert [row[0] for row in rows] == list(range(4, limit + 5))


def test_an_offset_past_the_end_gives_no_rows(adapter):
    assert read(adapter, "select 1 as a", offset=5).rows == []
    assert read(adapter, ["shop", "orders"], offset=5000).rows == []


@pytest.mark.parametrize("offset", [2**31 - 1, 2**31, 2**32 + 7, 2**63, 10**30])
def test_an_offset_wider_than_the_servers_integers_is_past_the_end(adapter, offset):
    answer = read(adapter, "select id from shop.orders", offset=offset, count=True)
    assert (answer.names, answer.rows, answer.total) == (["id"], [], 1000)
    assert read(adapter, "select id from shop.orders order by id", limit=500, offset=999).rows == [[1000]]


@pytest.mark.parametrize("offset", [0, 3, 4, 5, 8, 9, 19, 20, 21, 50])
@pytest.mark.parametrize("limit", [1, 2, 300])
def test_an_offset_is_walked_in_steps_without_skipping_or_repeating(adapter, monkeypatch, offset, limit):
    monkeypatch.setattr(guard, "MOST_MOVED", 4)
    rows = read(adapter, "select n from generate_series(1, 20) n", limit=limit, offset=offset).rows
    assert [row[0] for row in rows] == list(range(1, 21))[offset : offset + limit + 1]


def test_a_walk_that_fails_or_takes_too_long_leaves_the_session_fit(adapter, monkeypatch):
    monkeypatch.setattr(guard, "MOST_MOVED", 4)
    with pytest.raises(QueryError) as caught:
        read(adapter, "select 1 / (n - 10) from generate_series(1, 20) n", offset=15)
    assert caught.value.message == "division by zero"
    started = time.monotonic()
    with pytest.raises(DeadlineError):
        read(adapter, "select pg_sleep(0.05) from generate_series(1, 1000) n", offset=900, seconds=1)
    assert time.monotonic() - started < 3
    adapter.reset()
    assert read(adapter, "select 1").value == 1


def test_names_are_quoted(adapter):
    answer = read(adapter, ["shop", 'we ird%:x"y'], count=True)
    assert (answer.names, answer.rows, answer.total) == (["a b%"], [[7]], 1)


@pytest.mark.parametrize("path", [["nope"], ["shop", "nope"], ["other", "shop", "orders"], ["a", "b", "c", "d"]])
def test_a_table_that_is_not_there_is_the_tables_fault(adapter, path):
    for ask in (lambda: read(adapter, path), lambda: adapter.columns(tuple(path), Deadline.after(5))):
        with pytest.raises(QueryError) as caught:
            ask()
        assert (caught.value.code, caught.value.field) == ("query", "/query/table")


def test_a_table_without_permission_is_forbidden(adapter):
    with pytest.raises(QueryForbiddenError) as caught:
        read(adapter, ["shop", "secret"])
    assert caught.value.field == "/query/table"
    with pytest.raises(QueryForbiddenError) as caught:
        read(adapter, "select * from shop.secret")
    assert caught.value.field == "/query/sql"


def test_tables_that_may_be_read_are_listed_by_path(adapter):
    found = list(adapter.tables("SHOP.", Deadline.after(5)))
    assert [(table.path[1], table.kind) for table in found] == [
        ("daily", "view"),
        ("keyed", "table"),
        ("large", "view"),
        ("orders", "table"),
        ('we ird%:x"y', "table"),
    ]
    assert found[3].comment == "What was bought"


def test_a_table_is_described_with_what_the_catalogue_knows(adapter):
    described = adapter.columns(("shop", "orders"), Deadline.after(5))
    assert described.primary_key == ("id",)
    assert [(c.name, str(c.type), c.native_type, c.nullable, c.comment) for c in described.columns] == [
        ("id", "integer", "int4", False, None),
        ("customer", "string", "text", False, None),
        ("amount", "decimal", "numeric", True, "In euros"),
        ("placed", "timestamptz", "timestamptz", True, None),
    ]
    assert adapter.columns(("shop", "keyed"), Deadline.after(5)).primary_key == ("a", "b")


def test_a_query_is_described_without_running_it(adapter):
    started = time.monotonic()
    asked = SQLQuery(sql="select pg_sleep(30), :id::int8 as id from shop.orders")
    described = adapter.describe(asked, {"id": 1}, Deadline.after(5))
    assert [(column.name, str(column.type)) for column in described.columns] == [
        ("pg_sleep", "string"),
        ("id", "integer"),
    ]
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("show datestyle", "ISO, YMD"),
        ("show timezone", "UTC"),
        ("explain select 1", "Result  (cost=0.00..0.01 rows=1 width=4)"),
        ("explain (costs off, format text) select 1", "Result"),
        ("explain verbose select 1", "Result  (cost=0.00..0.01 rows=1 width=4)"),
        ("values (1, 'a')", 1),
        ("(select 2)", 2),
        ("with x as (select 3 as a) select a from x", 3),
        ("/* first */ select 4 -- last", 4),
    ],
)
def test_what_reads_works(adapter, text, first):
    assert read(adapter, text, count=True).value == first


# Parameters ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parameters", "rows"),
    [
        ("select 'a :b', :c", {"c": "x"}, [["a :b", "x"]]),
        ("select id::int8 from shop.orders where id = :id", {"id": 5}, [[5]]),
        ("select 1 where '%x' like '%x' and :a like '%x'", {"a": "yx"}, [[1]]),
        ("select 5 % 2, 5 % :n", {"n": 3}, [[1, 2]]),
        ("select (array[1,2,3])[1:2], (array[1,2,3])[:lo:2]", {"lo": 2}, [[[1, 2], [2]]]),
        ("select /* :c */ 1, :d", {"d": True}, [[1, True]]),
        ("select $$ :d $$, :e", {"e": 1.5}, [[" :d ", 1.5]]),
        ("select :a + :a, :a", {"a": 2}, [[4, 2]]),
        ("select id from shop.orders where (:id::int is null or id = :id) order by id limit 1", {"id": None}, [[1]]),
        ("select :a", {"a": None}, [[None]]),
        ("select id from shop.orders where id in (:ids) order by id", {"ids": [3, 1, 2000]}, [[1], [3]]),
        ("select id from shop.orders where id = any(:ids) order by id", {"ids": [3, 1]}, [[1], [3]]),
        ("select id from shop.orders where id <> all(:ids) order by id limit 1", {"ids": []}, [[1]]),
        ("select id from shop.orders where customer in (:names)", {"names": ["c7", "' or 1=1 --"]}, [[7]]),
        ("select id from shop.orders where customer = any(:names)", {"names": ["c7", 'a"b\\,{}']}, [[7]]),
        ("select id from shop.orders where placed = :day", {"day": "2024-01-02"}, [[1]]),
        ("select id from shop.orders where placed::date = :day", {"day": datetime.date(2024, 1, 2)}, [[1]]),
        ("select :day::date + 1", {"day": "2024-02-28"}, [["2024-02-29"]]),
        ("select :big", {"big": 2**62}, [[2**62]]),
        ("select :huge", {"huge": 10**30}, [[str(10**30)]]),
        ("select :exact", {"exact": decimal.Decimal("1.10")}, [["1.10"]]),
        ("select :u::uuid", {"u": uuid.UUID(int=1)}, [[str(uuid.UUID(int=1))]]),
        ("select :b", {"b": b"\x00\xff"}, [[b"\x00\xff"]]),
        ("select :s || ''", {"s": "é'\\%:x;--"}, [["é'\\%:x;--"]]),
        ("select '{\"a\":1}'::jsonb ? :key", {"key": "a"}, [[True]]),
        ("select :f::float8", {"f": float("inf")}, [["Infinity"]]),
    ],
)
def test_parameters_are_bound_right(adapter, text, parameters, rows):
    assert read(adapter, text, parameters).rows == rows


ORDERS = "select count(*)::int from shop.orders where "


@pytest.mark.parametrize(
    ("text", "value", "rows"),
    [
        ("select :a is null", None, [[True]]),
        ("select :a is null", "x", [[False]]),
        ("select :a is null", 1, [[False]]),
        ("select :a is null", ["x"], [[False]]),
        ("select :a is null, :a", None, [[True, None]]),
        ("select :a is null, :a", "x", [[False, "x"]]),
        ("select :a is null, :a", 1.5, [[False, 1.5]]),
        ("select :a, :a::date", None, [[None, None]]),
        ("select :a, :a::date", "2024-01-02", [["2024-01-02", "2024-01-02"]]),
        ("select :a::date + 1, :a", "2024-01-02", [["2024-01-03", "2024-01-02"]]),
        ("select :a, :a::int", "5", [["5", 5]]),
        (ORDERS + "(:a is null or customer = :a)", None, [[1000]]),
        (ORDERS + "(:a is null or customer = :a)", "c7", [[1]]),
        (ORDERS + "(customer = :a or :a is null)", None, [[1000]]),
        (ORDERS + "(:a is null or id = :a)", None, [[1000]]),
        (ORDERS + "(:a is null or id = :a)", "7", [[1]]),
        (ORDERS + "(:a is null or id = :a)", 7, [[1]]),
        (ORDERS + "(:a is null or amount > :a)", 1498.5, [[1]]),
        (ORDERS + "(:a is null or (id > 500) = :a)", True, [[500]]),
        (ORDERS + "(:a is null or placed < :a)", "2024-01-03", [[1]]),
        (ORDERS + "(:a is null or placed < :a or :a::date is null)", "2024-01-03", [[1]]),
        (ORDERS + "(placed::date = :a or customer = :a)", "2024-01-03", [[1]]),
        (ORDERS + "(customer = :a or placed::date = :a)", "2024-01-03", [[1]]),
        (ORDERS + "(:a = 'all' or id = :a)", "7", [[1]]),
        (ORDERS + "(id = :a or :a = 'all')", "7", [[1]]),
        (ORDERS + "(:a is null or id in (:a))", [7, 8], [[2]]),
        (ORDERS + "(id in (:a) or customer in (:a))", ["7", "8"], [[2]]),
        (ORDERS + "(:a is null or id in (:a))", None, [[1000]]),
        (ORDERS + "(:a is null or id = any(:a))", None, [[1000]]),
        (ORDERS + "(:a is null or id = any(:a))", [7, 8], [[2]]),
        (ORDERS + "(:a is null or id = any(:a))", ["7", None], [[1]]),
        (ORDERS + "(:a is null or customer = any(:a))", ["c7", "c8"], [[2]]),
        (ORDERS + "(:a is null or customer = any(:a))", [], [[0]]),
        (ORDERS + "id = coalesce(:a, id)", None, [[1000]]),
        (ORDERS + "id = coalesce(:a, id) and :a is not null", "7", [[1]]),
        (ORDERS + "customer = coalesce(:a, customer) or :a is null", None, [[1000]]),
        ("select :a is null, id from shop.orders order by id limit :a", "1", [[False, 1]]),
        ("select :a is null, id from shop.orders order by id limit :a", 1, [[False, 1]]),
        ("select :a is null, n from generate_series(1, 2) n limit :a", None, [[True, 1], [True, 2]]),
        ("select ':a', $$:a$$, :a is null, :a /* :a */", "$1", [[":a", ":a", False, "$1"]]),
        ("select date_trunc(:a, placed)::date from shop.orders group by date_trunc(:a, placed) order by 1 limit 1",
         "year", [["2024-01-01"]]),
        ("select :a is null, date_trunc(:a, placed)::date from shop.orders group by date_trunc(:a, placed) order by 2 "
         "limit 1", "year", [[False, "2024-01-01"]]),
        ("explain (costs off) select :a is null or 'x' = :a", "y", [["Result"]]),
    ],
)  # fmt: skip
def test_a_name_used_twice_is_of_the_type_that_each_place_asks(adapter, text, value, rows):
    answer = read(adapter, text, {"a": value}, count=True)
    assert answer.rows == rows
    assert text.startswith("explain") or answer.total == len(rows)


def test_names_that_only_nulls_are_asked_of_leave_the_others_their_types(adapter):
    text = ORDERS + "(:a is null or :a2 is null) and placed::date = :day and (:day is null or :b is null)"
    assert read(adapter, text, {"a": None, "a2": "x", "day": "2024-01-02", "b": None}).rows == [[1]]


def test_an_error_in_a_text_with_a_name_used_twice_points_into_it(adapter):
    with pytest.raises(QueryError) as caught:
        read(adapter, "select :a is null, :a,\n  nope", {"a": "x"})
    assert caught.value.message == 'column "nope" does not exist'
    assert "line 2, column 3" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("query", "parameters", "field"),
    [
        ("select :a", {}, "/parameters/a"),
        ("select 1", {"a": 1}, "/parameters/a"),
        (["shop", "orders"], {"a": 1}, "/parameters/a"),
        ("select :a", {"a": {"x": 1}}, "/parameters/a"),
    ],
)
def test_a_missing_or_undeclared_parameter_is_named(adapter, query, parameters, field):
    with pytest.raises(InvalidError) as caught:
        read(adapter, query, parameters)
    assert caught.value.field == field


def test_an_error_points_into_the_text_that_was_sent(adapter):
    with pytest.raises(QueryError) as caught:
        read(adapter, "select :first,\n  :second, nope", {"first": 1, "second": 2})
    assert caught.value.message == 'column "nope" does not exist'
    assert "line 2, column 12" in (caught.value.hint or "")


# Sessions ------------------------------------------------------------------------------------------------------


def test_nothing_of_one_preview_is_left_for_the_next(adapter):
    """Settings, advisory locks, prepared statements and cursors; the session itself stays warm."""
    backend = read(adapter, "select pg_backend_pid()").value
    read(adapter, "select set_config('DateStyle', 'German', false), set_config('my.own', 'kept', false)")
    assert adapter.reset()
    read(adapter, "select pg_advisory_lock(42)")
    assert adapter.reset()
    answer = read(
        adapter,
        """select current_setting('DateStyle'), current_setting('my.own', true),
           (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),
           (select count(*) from pg_prepared_statements), pg_backend_pid()""",
    )
    assert answer.rows == [["ISO, YMD", "", 0, 0, backend]]  # a name once set stays known, its value does not


def test_a_reader_that_stops_early_leaves_the_session_fit(adapter):
    next(iter(begun(adapter, limit=50_000).batches))
    assert adapter.reset()
    assert read(adapter, "select count(*) from pg_cursors where name not in ('', '_preview')").value == 0


def test_results_that_are_never_read_leave_the_session_fit(adapter):
    for _ in range(3):
        begun(adapter, limit=5000)
    assert read(adapter, "select 1").value == 1
    assert adapter.reset()


def test_a_session_is_pinned_and_named(shop, adapter):
    names = [
        "IntervalStyle",
        "bytea_output",
        "extra_float_digits",
        "synchronize_seqscans",
        "client_encoding",
        "application_name",
    ]
    answer = read(adapter, "select " + ", ".join(f"current_setting('{name}')" for name in names))
    assert answer.rows == [["iso_8601", "hex", "1", "off", "UTF8", APPLICATION]]


def test_a_query_past_its_deadline_ends_at_the_server(shop, adapter):
    with pytest.raises(DeadlineError):
        read(adapter, "select pg_sleep(60)", seconds=0.5)
    with postgres.connect(shop) as connection:
        wait_until(lambda: running(connection) == 0)


@pytest.mark.parametrize("offset", [0, 60])
def test_no_text_lifts_the_servers_time_out(shop, adapter, offset):
    """``set_config`` holds from the next command on: from the second fetch, and from the fetch after a move."""
    off = "set_config('statement_timeout', '0', false), set_config('client_connection_check_interval', '0', false)"
    text = f"select {off}, case when n > {offset or 600} then pg_sleep(60)::text end from generate_series(1, 1000) n"
    with pytest.raises(DeadlineError):
        read(adapter, text, seconds=1, limit=900, offset=offset)
    with postgres.connect(shop) as connection:
        wait_until(lambda: running(connection) == 0)


def test_a_closed_connection_ends_its_query_at_the_server(shop):
    """What a killed worker leaves: the statement's own time-out is far off."""
    adapter = adapter_of(shop)
    adapter.connect(Deadline.after(5))
    session = adapter._session
    assert session is not None
    session._wire.send([(b"select pg_sleep(60)", None, None)], Deadline.after(5))
    with postgres.connect(shop) as connection:
        wait_until(lambda: running(connection) == 1)
        adapter.close()
        wait_until(lambda: running(connection) == 0)


def test_a_session_that_the_server_ended_is_replaced(shop, adapter):
    backend = read(adapter, "select pg_backend_pid()").value
    with postgres.connect(shop) as connection:
        connection.execute("select pg_terminate_backend(%s)", [backend])
    with postgres.connect(shop) as connection:
        wait_until(lambda: connection.execute("select from pg_stat_activity where pid = %s", [backend]).rowcount == 0)
    assert read(adapter, "select pg_backend_pid()").value != backend


def begun(adapter: PostgreSQLAdapter, *, limit: int) -> Result:
    """A result of many rows, none of them read."""
    asked = SQLQuery(sql="select generate_series(1, 100000)")
    return adapter.read(asked, {}, limit=limit, offset=0, count=False, deadline=Deadline.after(5))


def running(connection: psycopg.Connection) -> int:
    row = connection.execute(
        "select count(*) from pg_stat_activity where application_name = %s and state = 'active'", [APPLICATION]
    ).fetchone()
    return row[0] if row else 0


def wait_until(holds, seconds: float = 3) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "It did not happen in time."
        time.sleep(0.02)


# Settings ------------------------------------------------------------------------------------------------------


def test_a_url_is_parsed_into_settings():
    found = PostgreSQLConfig.parse_url("postgres://reader:p%40ss@db.example.com:5433/sales?sslmode=require")
    assert found == {
        "host": "db.example.com",
        "port": 5433,
        "user": "reader",
        "password": "p@ss",
        "database": "sales",
        "tls": {"mode": "require"},
    }
    with pytest.raises(ValueError):
        PostgreSQLConfig.parse_url("postgresql://db/sales?host=evil.example.com")
