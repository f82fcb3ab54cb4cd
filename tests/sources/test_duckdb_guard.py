"""What a query may not reach through DuckDB: other files, the network, settings, the process, the file itself."""

import hashlib
import os
import shutil
import threading
from pathlib import Path

import pytest

from connections.adapters.errors import AdapterError, NotAQueryError, QueryError, QueryForbiddenError
from connections.sources.duckdb.guard import SETTINGS
from tests.sources.duckdb import adapter_of, write
from tests.sources.reading import read

REFUSED = [
    "from read_csv('{secret}')",
    "from read_csv_auto('{secret}')",
    "from '{secret}'",
    'from "{secret}"',
    "select * from read_json('{secret}')",
    "select * from read_parquet('{secret}')",
    "select * from read_text('{secret}')",
    "select * from read_blob(['{secret}'])",
    "select * from READ_TEXT('{secret}')",
    "select * from \"read_text\"('{secret}')",
    "select (select content from read_text('{secret}'))",
    "with q as materialized (from read_text('{secret}')) from q",
    "select 1 where exists (from glob('/*'))",
    "select * from glob('{folder}/*')",
    "select * from sniff_csv('{secret}')",
    "select * from parquet_metadata('{secret}')",
    "select * from read_duckdb('{secret}')",
    "from 'http://127.0.0.1:1/x.csv'",
    "from 's3://bucket/x.parquet'",
    "from read_csv('http://127.0.0.1:1/x.csv')",
    "attach '{secret}' as other",
    "attach ':memory:' as other",
    "detach books",
    "use memory",
    "copy ledger to '{folder}/out.csv'",
    "copy ledger from '{secret}'",
    "copy (select 1) to '{folder}/out.csv'",
    "export database '{folder}/out'",
    "import database '{folder}/out'",
    "install httpfs",
    "load httpfs",
    "load '{secret}'",
    "set enable_external_access = true",
    "set global lock_configuration = false",
    "set threads = 64",
    "reset memory_limit",
    "set variable a = 1",
    "set log_query_path = '{folder}/log'",
    "pragma database_list",
    "pragma enable_profiling",
    "pragma version",
    "call pragma_version()",
    "call enable_logging()",
    "checkpoint",
    "vacuum",
    "analyze",
    "begin",
    "commit",
    "from query('select 42')",
    "from query_table('ledger')",
    "from duckdb_secrets()",
    "from duckdb_settings()",
    "from pg_settings",
    "from pg_catalog.pg_settings",
    "from duckdb_databases()",
    "from duckdb_databases",
    "from main.pragma_database_list",
    "from duckdb_extensions()",
    "from duckdb_logs",
    "from checkpoint()",
    "from seq_scan('ledger')",
    "select * from which_secret('s3://x', 's3')",
    "select current_setting('secret_directory')",
    "select json_serialize_plan('select current_setting(''secret_directory'')', optimize := true)",
    "select JSON_SERIALIZE_PLAN('select 1')",
    "select main.\"json_serialize_plan\"('select 1')",
    "select id from ledger order by json_serialize_plan('select 1')",
    "select list_transform(['select 1'], lambda x: json_serialize_plan(x))",
    "explain select json_serialize_plan('select 1')",
    "select getenv('HOME')",
    "select write_log('x')",
    "select nextval('numbers')",
    "from arrow_scan(1, 2, 3)",
    "from pandas_scan(1)",
    "from hidden",
    "insert into ledger values (3)",
    "update ledger set id = 9",
    "delete from ledger",
    "truncate ledger",
    "merge into ledger using ledger l on true when matched then delete",
    "drop table ledger",
    "alter table ledger add column x integer",
    "create table mine (id integer)",
    "create temp table mine (id integer)",
    "create macro f() as 1",
    "create secret s (type s3)",
    "comment on table ledger is 'x'",
    "with q as (select 1) insert into ledger from q",
    "select 1; select 2",
    "select 1; delete from ledger",
    "prepare s as select 1",
    "execute s",
    "explain analyze select 1",
    "explain (analyze) select 1",
    "explain (format json, analyze) select 1",
    "explain from read_text('{secret}')",
    "explain delete from ledger",
    "describe from read_csv('{secret}')",
    "summarize from '{secret}'",
    "pivot ledger on id",
    "from json_execute_serialized_sql('{{}}')",
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "secret.csv").write_text("C4n4ry\n1\n")
    write(
        tmp_path / "root" / "books.duckdb",
        "create table ledger as select unnest([1, 2]) as id",
        "create sequence numbers",
        f"create macro reads_file() as table select * from read_text('{tmp_path / 'secret.csv'}')",
    )
    return tmp_path


@pytest.fixture
def adapter(folder):
    found = adapter_of(folder / "root")
    yield found
    found.close()


def state(folder: Path) -> tuple[str, list[str]]:
    held = hashlib.sha256((folder / "root" / "books.duckdb").read_bytes()).hexdigest()
    return held, sorted(str(path) for path in folder.rglob("*"))


@pytest.mark.parametrize("text", REFUSED)
def test_only_the_files_own_tables_are_readable(adapter, folder, text):
    hidden = [{"a": "C4n4ry"}]  # a variable that a replacement scan would find
    before = state(folder)
    with pytest.raises(AdapterError) as caught:
        read(adapter, text.format(secret=folder / "secret.csv", folder=folder))
    assert isinstance(caught.value, QueryError), caught.value
    adapter.close()
    assert state(folder) == before
    assert "C4n4ry" not in caught.value.message
    assert hidden


def test_a_macro_of_the_file_cannot_read_another(adapter):
    with pytest.raises(QueryForbiddenError):
        read(adapter, "from reads_file()")


SHOWING = "current_setting('secret_directory')"
STORED = [
    "create view shows as from duckdb_settings()",
    "create view shows as from pg_settings",
    "create view shows as from duckdb_databases()",
    "create view shows as from pragma_database_list",
    "create view shows as select a from query('select current_' || 'setting(''secret_directory'')') q(a)",
    f"create view shows as select {SHOWING} as a",
    "create view shows as select json_serialize_plan('select current_set' || 'ting(''secret_directory'')') as a",
    f"create view shows as select sum(length({SHOWING})) over () as a",
    f"create view shows as select list_transform([1], lambda x: {SHOWING}) as a",
    f"create view shows as select 1 as a from ledger order by {SHOWING} limit 1",
    f"create view shows as select count(*) filter (where {SHOWING} = 'x') as a from ledger",
    f"create view shows as with recursive n as (select 1 as a union all select a from n where {SHOWING} > 'x') from n",
    f"create view shows as select 1 as a where exists (select 1 from ledger where {SHOWING} = 'x')",
    f"create table shows (id integer, a varchar generated always as ({SHOWING}) virtual)",
]


@pytest.mark.parametrize("definition", STORED)
def test_what_is_stored_in_the_file_does_not_show_the_computer(folder, definition):
    write(folder / "root" / "books.duckdb", definition, "create view between_them as from shows")
    adapter = adapter_of(folder / "root")
    texts = (
        *("from shows", "from between_them", "with q as materialized (from shows) from q join ledger on true"),
        *("select (select count(*) from shows s where s is not null)", "explain from shows", "summarize shows"),
        *("describe SHOWS", 'from "books"."main"."Shows"', "select id from ledger semi join shows on true"),
    )
    for text in texts:
        with pytest.raises(QueryForbiddenError, match="stored in the file"):
            read(adapter, text)
    with pytest.raises(QueryForbiddenError):
        read(adapter, "select :n, * from shows", parameters={"n": 1})
    assert read(adapter, "select id from ledger where id < :n order by id", parameters={"n": 2}).rows == [[1]]
    assert read(adapter, "describe ledger").rows
    with pytest.raises(QueryError, match="nowhere"):
        read(adapter, "from nowhere")
    adapter.close()


@pytest.mark.parametrize("macro", [SHOWING, "(select list(value) from duckdb_settings())"])
def test_a_macro_of_the_file_does_not_show_the_computer(folder, macro):
    write(folder / "root" / "books.duckdb", f"create macro shows() as {macro}", "create macro two() as shows()")
    adapter = adapter_of(folder / "root")
    for text in ("select shows()", "select two()", "select id from ledger where two() is not null"):
        with pytest.raises(QueryForbiddenError, match="stored in the file"):
            read(adapter, text)
    adapter.close()


def test_a_definition_that_is_added_later_is_seen(folder):
    for name in ("first", "second"):
        write(folder / "root" / "books.duckdb", f"create view {name} as from duckdb_settings()")
        adapter = adapter_of(folder / "root")
        with pytest.raises(QueryForbiddenError):
            read(adapter, f"from {name}")
        adapter.close()


def test_a_statement_that_writes_is_told_as_such(adapter):
    for text in ("insert into ledger values (3)", "drop table ledger", "copy ledger to 'x'", "set threads = 2"):
        with pytest.raises(NotAQueryError):
            read(adapter, text)


@pytest.mark.parametrize(
    "text",
    [
        "from ledger",
        "show tables",
        "describe ledger",
        "summarize ledger",
        "explain select * from ledger",
        "explain (format json) select 1",
        "values (1)",
        "table ledger",
        "select unnest(range(3))",
        "from duckdb_tables()",
        "from information_schema.columns",
        "select * from json_each('[1]')",
        "select 'read_text(''x'')', \"id\" from ledger -- from glob('*')",
    ],
)
def test_what_only_reads_is_read(adapter, text):
    assert read(adapter, text).rows


def test_the_settings_are_as_they_were_set_and_locked(adapter):
    read(adapter, "select 1")
    database = adapter._opened()
    for name, value in (SETTINGS | {"lock_configuration": True}).items():
        assert database.execute("select current_setting($1)", [name]).fetchone() == (value,)
    with pytest.raises(Exception, match="locked"):
        database.execute("set global enable_external_access = true")


def test_a_file_that_is_swapped_while_it_is_opened_shows_nothing_from_outside(folder):
    """A thread turns the name into a link to a file outside and back, as fast as it can."""
    name, root = folder / "root" / "books.duckdb", folder / "root"
    write(folder / "outside.duckdb", "create table ledger as select 'C4n4ry' as id")
    kept, link = root / "kept", root / "link"
    shutil.copy(name, kept)
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            link.symlink_to(folder / "outside.duckdb")
            os.replace(link, name)
            shutil.copy(kept, link)
            os.replace(link, name)

    thread = threading.Thread(target=swap)
    thread.start()
    seen = []
    try:
        for _ in range(60):
            adapter = adapter_of(root)
            try:
                seen.append(read(adapter, "select id from ledger order by id").rows)
            except AdapterError:
                continue
            finally:
                adapter.close()
    finally:
        over.set()
        thread.join()
    assert all(rows == [[1], [2]] for rows in seen)


@pytest.mark.parametrize(
    "macro",
    [
        f"create macro shows(a := {SHOWING}) as a",
        f"create macro shows(x, a := {SHOWING}) as concat(x, a)",
        f"create macro shows(a := {SHOWING}) as table select a",
        f"create macro shows(x, y, z) as x, (x, a := {SHOWING}) as a",
    ],
)
def test_what_a_macro_takes_for_arguments_that_are_left_out_does_not_show_the_computer(folder, macro):
    of_tables = "as table" in macro
    view = (
        "create view through as select * from shows()" if of_tables else "create view through as select shows(1) as a"
    )
    if "macro shows(a :=" in macro and not of_tables:
        view = "create view through as select shows() as a"
    write(folder / "root" / "books.duckdb", macro, view, "create macro plain(a, b) as a + b")
    adapter = adapter_of(folder / "root")
    for text in ("from through", "from shows()" if of_tables else "select shows(1)"):
        with pytest.raises(QueryForbiddenError, match=r"stored in the file|may not be called"):
            read(adapter, text)
    assert read(adapter, "select plain(1, 1)").rows == [[2]]
    adapter.close()
