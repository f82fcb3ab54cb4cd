"""MySQL's dialect over a real MariaDB: parameters, pages, tables, sessions."""

import threading
import time

import pytest
from pydantic import ValidationError

from connections.adapters.contract import Step
from connections.adapters.errors import DeadlineError, InvalidError, QueryError
from connections.adapters.limits import Deadline
from connections.adapters.sql.query import SQLQuery
from connections.sources.mysql import MySQLConfig
from tests.sources.mysql import adapter_of, owner
from tests.sources.reading import read


@pytest.fixture(scope="module")
def books(mariadb):
    with owner(mariadb) as cursor:
        cursor.execute("create or replace table books (id int primary key comment 'Its number', title text not null)")
        cursor.execute("insert into books select seq, concat('title ', seq) from seq_1_to_3000")
        cursor.execute("create or replace view short_books as select title from books")
        cursor.execute("create or replace table `odd:name ``?` (`a b` int, primary key (`a b`))")
        yield "books"
        cursor.execute("drop view short_books")
        cursor.execute("drop table books, `odd:name ``?`")


@pytest.fixture
def adapter(mariadb, books):
    found = adapter_of(mariadb)
    yield found
    found.close()


@pytest.mark.parametrize(
    ("text", "parameters", "rows"),
    [
        ("select 'a :b'", {}, [["a :b"]]),
        ("select 'it\\'s :b', :a", {"a": 1}, [["it's :b", 1]]),
        ('select "a "" :b", :a', {"a": 1}, [['a " :b', 1]]),
        ("select id from books where title like '%e 7' and id = :n", {"n": 7}, [[7]]),
        ("select 5 % 2, 5 %2", {}, [[1, 1]]),
        ("select /* :c */ 1 -- :d\n# :e\n", {}, [[1]]),
        ("select 5--1", {}, [[6]]),
        ("select @a := 5", {}, [[5]]),
        ("select :a, :b, :a", {"a": "x", "b": None}, [["x", None, "x"]]),
        ("select id from books where id in (:ids) order by id", {"ids": [3, 1, 2]}, [[1], [2], [3]]),
        ("select id from books order by id limit :n", {"n": 2}, [[1], [2]]),
        ("select `odd:name ``?`.`a b` from `odd:name ``?` where :a is null", {"a": None}, []),
        ("select 1 as a, 2 as a", {}, [[1, 2]]),
        ("select 1;  -- the end\n;", {}, [[1]]),
    ],
)
def test_parameters_are_bound_and_all_else_is_as_it_stands(adapter, text, parameters, rows):
    assert read(adapter, text, parameters).rows == rows


@pytest.mark.parametrize(
    ("text", "parameters", "field"),
    [
        ("select :a", {}, "/parameters/a"),
        ("select 1", {"a": 1}, "/parameters/a"),
        ("select id from books where id in (:a)", {"a": []}, "/parameters/a"),
        ("select :a", {"a": [1]}, "/parameters/a"),
        ("select :a", {"a": float("inf")}, "/parameters"),
    ],
)
def test_a_parameter_that_cannot_be_bound_is_pointed_at(adapter, text, parameters, field):
    with pytest.raises(InvalidError) as caught:
        read(adapter, text, parameters)
    assert caught.value.field == field


def test_a_question_mark_is_no_parameter(adapter):
    with pytest.raises(QueryError, match="question mark"):
        read(adapter, "select ?")
    assert read(adapter, "select '?'").value == "?"


def test_pages_follow_one_another_and_tell_the_total(adapter):
    found = read(adapter, "select id from books order by id", limit=2, offset=1500, count=True)
    assert found.rows == [[1501], [1502], [1503]]
    assert found.total == 3000
    table = read(adapter, ["warehouse", "books"], limit=1, offset=2998, count=True)
    assert ([row[0] for row in table.rows], table.total) == ([2999, 3000], 3000)
    assert read(adapter, "select id from books", offset=5000).rows == []


def test_columns_of_one_name_are_counted_too(adapter):
    assert read(adapter, "select 1 as a, 2 as a union all select 3, 4", count=True).total == 2
    assert read(adapter, "select :a, :a", {"a": 1}, count=True).total == 1
    assert read(adapter, "show tables", count=True).total is None


def test_no_rows_are_asked_for_and_the_columns_come(adapter):
    assert read(adapter, "select id, title from books", limit=0).names == ["id", "title"]


def test_tables_and_views_are_listed_without_the_servers_own(adapter):
    found = {table.path: table.kind for table in adapter.tables("", Deadline.after(10))}
    assert found[("warehouse", "books")] == "table"
    assert found[("warehouse", "short_books")] == "view"
    assert {path[0] for path in found} == {"warehouse"}


def test_a_table_with_an_odd_name_is_read_and_described(adapter):
    path = ["warehouse", "odd:name `?"]
    assert read(adapter, path).names == ["a b"]
    assert adapter.columns(tuple(path), Deadline.after(10)).primary_key == ("a b",)


def test_comments_are_told(adapter):
    assert adapter.columns(("books",), Deadline.after(10)).columns[0].comment == "Its number"


@pytest.mark.parametrize("path", [["nope"], ["warehouse", "nope"], ["a", "b", "c"]])
def test_a_table_that_is_not_there_is_pointed_at(adapter, path):
    with pytest.raises(QueryError) as caught:
        read(adapter, path)
    assert caught.value.field == "/query/table"


def test_a_statement_is_described_without_being_run(adapter):
    started = time.monotonic()
    query = SQLQuery(sql="select sleep(5) as nap, id from books")
    columns = adapter.describe(query, {}, Deadline.after(4)).columns
    assert [column.name for column in columns] == ["nap", "id"]
    assert time.monotonic() - started < 2


def test_a_session_is_as_new_after_a_reset(adapter):
    number = read(adapter, "select connection_id()").value
    assert read(adapter, "select get_lock('mine', 0), @kept := 7").rows == [[1, 7]]
    assert adapter.reset()
    found = read(adapter, "select connection_id(), @kept, is_free_lock('mine'), @@time_zone, @@tx_read_only")
    assert found.rows == [[number, None, 1, "+00:00", 1]]


def test_an_unread_result_is_cancelled_not_drained(adapter, mariadb):
    query = SQLQuery(sql="select a.seq from seq_1_to_1000000 a, seq_1_to_1000000 b limit 1000000000000")
    result = adapter.read(query, {}, limit=10, offset=0, count=False, deadline=Deadline.after(20))
    assert len(next(result.batches)) == 11
    started = time.monotonic()
    result.batches.close()
    assert time.monotonic() - started < 1
    assert not adapter.reset()
    count = "select count(*) from information_schema.processlist where user = 'reader' and info like '%1000000 b%'"
    with owner(mariadb) as cursor:
        while cursor.execute(count) and cursor.fetchone()[0]:
            assert time.monotonic() - started < 5
            time.sleep(0.05)
    assert read(adapter, "select 1").value == 1


def test_a_limit_of_ours_ends_the_query_at_the_server_and_keeps_the_session(adapter):
    number = read(adapter, "select connection_id()").value
    read(adapter, "select seq from seq_1_to_100000000", limit=5)
    assert adapter.reset()
    assert read(adapter, "select connection_id()").value == number


def test_a_connection_that_the_server_ended_is_opened_anew(adapter, mariadb):
    number = read(adapter, "select connection_id()").value
    with owner(mariadb) as cursor:
        cursor.execute(f"kill {number}")
    time.sleep(0.2)
    assert read(adapter, "select connection_id()").value != number


def test_the_server_stops_a_query_at_its_deadline(adapter):
    started = time.monotonic()
    with pytest.raises(DeadlineError):
        read(adapter, "select sleep(20)", seconds=1)
    assert time.monotonic() - started < 1.5


def test_a_server_that_falls_silent_is_left_at_the_deadline(adapter, mariadb):
    read(adapter, "select 1")
    mariadb.pause()
    try:
        with pytest.raises(DeadlineError):
            read(adapter, "select 2", seconds=1)
    finally:
        mariadb.resume()


def test_a_cancelled_query_is_told_as_such(adapter, mariadb):
    number = read(adapter, "select connection_id()").value

    def kill() -> None:
        time.sleep(0.3)
        with owner(mariadb) as cursor:
            cursor.execute(f"kill query {number}")

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(Exception, match="cancelled at the server"):
        read(adapter, "select benchmark(100000000000, md5('a')), sum(a.seq) from seq_1_to_100000000 a")
    thread.join()


def test_a_check_passes_step_by_step(adapter):
    steps = [item for item in adapter.check(Deadline.after(10)) if isinstance(item, Step)]
    assert [str(step.name) for step in steps] == [
        "resolve", "policy", "connect", "authenticate", "database", "privileges", "sample"
    ]  # fmt: skip
    assert all(step.ok for step in steps)
    assert adapter.server().product == "MariaDB"
    assert adapter.server().version.startswith("1")
    assert [notice.code for notice in adapter.notices()] == ["tls_off"]


@pytest.mark.parametrize(
    ("url", "found"),
    [
        (
            "mysql://us%40er:p%3Aw@db.example.com/sa%2Fles",
            {"host": "db.example.com", "port": 3306, "user": "us@er", "password": "p:w", "database": "sa/les"},
        ),
        (
            "mariadb://u@h:3307/d?ssl-mode=VERIFY_IDENTITY",
            {"host": "h", "port": 3307, "user": "u", "database": "d", "tls": {"mode": "verify-full"}},
        ),
    ],
)
def test_a_url_becomes_settings(url, found):
    assert MySQLConfig.parse_url(url) == found


@pytest.mark.parametrize(
    "option", ["local_infile=1", "init_command=x", "unix_socket=/x", "read_default_file=/x", "ssl_ca=/x", "charset=gbk"]
)
def test_a_url_with_another_option_is_refused(option):
    with pytest.raises(ValueError, match="not known"):
        MySQLConfig.parse_url(f"mysql://u@h/d?{option}")


@pytest.mark.parametrize("name", ["user", "database", "password"])
def test_a_nul_character_is_in_no_setting(name):
    settings = {"host": "h", "database": "d", "user": "u", "password": "p"} | {name: "a\0b"}
    with pytest.raises(ValidationError, match="NUL"):
        MySQLConfig.model_validate(settings)


@pytest.mark.parametrize(
    "key",
    ["unix_socket", "read_default_file", "init_command", "local_infile", "ssl_ca", "client_flag", "auth_plugin_map"],
)
def test_what_the_driver_would_take_is_not_a_setting(key):
    with pytest.raises(ValidationError):
        MySQLConfig.model_validate({"host": "h", "database": "d", "user": "u", key: "x"})


def test_only_the_server_and_the_way_there_decide_where_secrets_go():
    from connections.adapters.schema import endpoint, split

    config, _ = split(MySQLConfig.model_validate({"host": "h", "database": "d", "user": "u", "password": "p"}))
    assert set(endpoint(MySQLConfig, config)) == {"host", "port", "tls"}
