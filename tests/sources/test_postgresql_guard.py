"""PostgreSQL: whatever is sent, a preview changes nothing, under a role that may write."""

import pytest

from catalog_project.demo import postgres
from connections.adapters.contract import Step
from connections.adapters.errors import AdapterError, NotAQueryError, QueryError, UnsafeRoleError
from connections.adapters.limits import Deadline
from tests.sources.postgresql import adapter_of
from tests.sources.reading import read

OBJECTS = """
drop schema if exists writes cascade;
create schema writes;
create table writes.t (id int primary key, name text);
insert into writes.t select n, 'n' from generate_series(1, 10) n;
create sequence writes.s;
create function writes.add() returns int language plpgsql as $$
  begin insert into writes.t values (100, 'x'); return 1; end $$;
create procedure writes.p() language sql as $$ insert into writes.t values (101, 'x') $$;
grant all on schema writes to writer;
grant all on all tables in schema writes to writer;
grant all on all sequences in schema writes to writer;
"""
PASSWORD = "writer-password"


@pytest.fixture(scope="module")
def server(postgresql):
    with postgres.connect(postgresql) as connection:
        postgres.create_login(connection, "writer", PASSWORD)
        connection.execute(OBJECTS)
    return postgresql


@pytest.fixture
def adapter(server):
    made = adapter_of(server, user="writer", password=PASSWORD)
    yield made
    made.close()


def state(server) -> list:
    """All that a write could have changed."""
    with postgres.connect(server) as connection:
        return connection.execute(
            """select (select array_agg(t order by id) from writes.t t)::text, (select last_value from writes.s),
               (select count(*) from pg_class), (select count(*) from pg_roles), (select count(*) from pg_proc),
               (select count(*) from pg_largeobject_metadata), (select count(*) from pg_prepared_xacts)"""
        ).fetchall()


NOT_QUERIES = [
    "insert into writes.t values (11, 'x')",
    "insert into writes.t values (11, 'x') returning id",
    "update writes.t set name = 'x'",
    "delete from writes.t",
    "merge into writes.t using (values (1)) v (id) on t.id = v.id when matched then delete",
    "with x as (insert into writes.t values (11, 'x') returning 1) select * from x",
    "with x as (delete from writes.t returning *) select count(*) from x",
    "with x as (select 11 as id) insert into writes.t select id, 'x' from x",
    "select * into writes.made from writes.t",
    "select * into temp made from writes.t",
    "create table writes.made as select 1",
    "create temp table made (a int)",
    "create view writes.made as select 1",
    "truncate writes.t",
    "drop table writes.t",
    "alter table writes.t add column x int",
    "grant all on writes.t to public",
    "call writes.p()",
    "do $$ begin insert into writes.t values (11, 'x'); end $$",
    "copy writes.t to stdout",
    "copy writes.t from stdin",
    "copy writes.t to '/tmp/x'",
    "copy (select 1) to program 'id'",
    "lock table writes.t",
    "vacuum",
    "analyze writes.t",
    "reindex table writes.t",
    "refresh materialized view x",
    "comment on table writes.t is 'x'",
    "set transaction_read_only = off",
    "set session characteristics as transaction read write",
    "set role reader",
    "reset all",
    "begin",
    "begin read write",
    "start transaction",
    "commit",
    "rollback",
    "end",
    "abort",
    "savepoint a",
    "release a",
    "prepare x as select 1",
    "execute x",
    "deallocate all",
    "declare c cursor for select 1",
    "fetch from _preview",
    "move _preview",
    "close _preview",
    "listen x",
    "notify x",
    "unlisten *",
    "discard all",
    "load 'x'",
    "checkpoint",
    "explain analyze insert into writes.t values (11, 'x')",
    "explain (analyze) delete from writes.t",
    'explain ("analyze") delete from writes.t',
    "explain (verbose, analyze true) delete from writes.t",
    "explain verbose analyze select 1",
    "explain analyse select 1",
    "explain analyze verbose select 1",
    "select * from writes.t for update",
    "select nextval('writes.s')",
    "select setval('writes.s', 99)",
    "select writes.add()",
    "select lo_create(0)",
    "select set_config('transaction_read_only', 'off', false)",
]


@pytest.mark.parametrize("text", NOT_QUERIES)
def test_what_would_write_or_is_no_query_does_nothing(server, adapter, text):
    before = state(server)
    with pytest.raises(NotAQueryError) as caught:
        read(adapter, text)
    assert caught.value.field == "/query/sql"
    assert adapter.reset()
    assert state(server) == before


STACKED = [
    "select 1; insert into writes.t values (11, 'x')",
    "set transaction_read_only = off; insert into writes.t values (11, 'x')",
    "commit; begin read write; insert into writes.t values (11, 'x'); commit",
    "select 1; commit; insert into writes.t values (11, 'x')",
    "select 1;;delete from writes.t",
    "select 1 /* ; */ ; /* */ delete from writes.t",
    "select 1 -- ;\n; delete from writes.t",
    "select $$;$$; delete from writes.t",
    "select $a$ $$ ; $a$; delete from writes.t",
    r"select E'\';'; delete from writes.t",
    r"select '\'; delete from writes.t; --'",
    r"""select U&"\0061;"; delete from writes.t""",
    "select 1 \\; delete from writes.t",
    "select 1) as counted; delete from writes.t; --",
    "select 1 /* /* */ ; delete from writes.t */ ; delete from writes.t",
    "select 1 as $$a; delete from writes.t; --$$",
]


@pytest.mark.parametrize("text", STACKED)
@pytest.mark.parametrize("count", [False, True])
def test_a_stack_of_statements_does_nothing(server, adapter, text, count):
    before = state(server)
    with pytest.raises(QueryError):
        read(adapter, text, count=count)
    assert adapter.reset()
    assert state(server) == before


def test_the_server_itself_takes_one_statement_at_a_time(server, adapter):
    """Not only our counting of semicolons: past it, the extended protocol refuses."""
    from connections.adapters.sql.family import Window
    from connections.adapters.sql.parameters import Statement

    adapter.connect(Deadline.after(5))
    before = state(server)
    for text in STACKED:
        with pytest.raises(AdapterError):
            adapter.execute(Statement(text, words=("select",), original=text), Window(0, 1), Deadline.after(5))
    assert state(server) == before


def test_counting_cannot_be_broken_out_of(server, adapter):
    before = state(server)
    for text in ("select 1) as x --", "select 1) as x, (select 2"):
        with pytest.raises(QueryError):
            read(adapter, text, count=True)
        adapter.reset()
    assert state(server) == before


def test_a_role_that_may_write_is_said(server, adapter):
    steps = list(adapter.check(Deadline.after(10)))
    assert all(step.ok for step in steps if isinstance(step, Step))
    assert "role_can_write" in [notice.code for notice in adapter.notices()]


def test_a_reader_is_not_said_to_write(server):
    adapter = adapter_of(server)
    list(adapter.check(Deadline.after(10)))
    assert [notice.code for notice in adapter.notices()] == ["tls_off"]
    adapter.close()


# Stand-ins of the same names and owners: the extension and the language's library are not on every server.
DBLINK = "create or replace function dblink_exec(text) returns text language sql as 'select $1'"
UNTRUSTED = """do $$ begin
  if not exists (select from pg_language where lanname = 'riskyl') then
    create language riskyl handler plpgsql_call_handler inline plpgsql_inline_handler validator plpgsql_validator;
    update pg_language set lanpltrusted = false where lanname = 'riskyl';
  end if;
end $$; create or replace function risky() returns int language riskyl as 'begin return 1; end'"""


@pytest.mark.parametrize(
    ("grant", "word"),
    [
        ("alter role unsafe superuser", "superuser"),
        ("alter role unsafe replication", "replication"),
        ("alter role unsafe bypassrls", "bypassrls"),
        ("grant pg_execute_server_program to unsafe", "pg_execute_server_program"),
        ("grant pg_read_server_files to unsafe", "pg_read_server_files"),
        ("grant pg_write_server_files to unsafe", "pg_write_server_files"),
        ("grant pg_signal_backend to unsafe", "pg_signal_backend"),
        ("grant execute on function pg_read_file(text) to unsafe", "pg_read_file"),
        (f"{DBLINK}; grant execute on function dblink_exec(text) to unsafe", "dblink_exec"),
        (f"{UNTRUSTED}; alter function risky() owner to unsafe", "untrusted language"),
        ("grant owner to unsafe", "superuser"),
        ("grant owner to unsafe with inherit false", "superuser"),
        ("grant pg_read_server_files to unsafe with inherit false", "pg_read_server_files"),
    ],
)
def test_a_role_that_cannot_be_contained_is_refused(server, grant, word):
    with postgres.connect(server) as connection:
        postgres.create_login(connection, "unsafe", PASSWORD)
        try:
            connection.execute(grant)
            adapter = adapter_of(server, user="unsafe", password=PASSWORD)
            with pytest.raises(UnsafeRoleError) as caught:
                read(adapter, "select 1")
            assert word in caught.value.message
            failed = [step for step in adapter.check(Deadline.after(5)) if isinstance(step, Step) and step.ok is False]
            assert [(str(step.name), step.code) for step in failed] == [("privileges", "unsafe_role")]
            adapter.close()
        finally:
            connection.execute("drop owned by unsafe")
            connection.execute("drop role unsafe")
            connection.execute("drop function if exists dblink_exec(text)")  # the server is other tests' too


def test_the_platform_may_allow_an_unsafe_role(server):
    adapter = adapter_of(server, "superuser", allow_unsafe_roles=True)
    assert read(adapter, "select 1").value == 1
    assert "role_is_superuser" in [notice.code for notice in adapter.notices()]
    before = state(server)
    for text in ("insert into writes.t values (11, 'x')", "copy (select 1) to program 'id'", "alter system reset all"):
        with pytest.raises(NotAQueryError):
            read(adapter, text)
    assert state(server) == before
    adapter.close()
