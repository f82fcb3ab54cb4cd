"""What the guard keeps out, with a login that may write: nothing changes, whatever the text."""

import secrets
import time
from pathlib import Path

import pytest

from connections.adapters.errors import (
    NotAQueryError,
    QueryError,
    QueryForbiddenError,
    UnsafeRoleError,
)
from connections.adapters.sql.server import RIGHTS_HOLD
from connections.runner.supervisor import LocalRunner
from connections.sources.mysql.guard import Rights
from tests.hostile.attack import attack
from tests.sources.mysql import adapter_of, owner
from tests.sources.reading import read

PASSWORD = secrets.token_urlsafe(12)
FILE = "/tmp/written-by-mariadb"

WRITES = [
    "insert into ledger values (3)",
    "insert into ledger select 3",
    "replace into ledger values (1)",
    "update ledger set id = 9",
    "delete from ledger",
    "truncate ledger",
    "drop table ledger",
    "alter table ledger add x int",
    "create table mine (id int)",
    "create temporary table mine (id int)",
    "create or replace view v as select 1",
    "rename table ledger to gone",
    "with q as (select 1) delete from ledger",
    "select 1; delete from ledger",
    "select 1; commit; delete from ledger",
    "select 1 /*! ; delete from ledger */",
    "select 1 /*!50000 into outfile '/tmp/written-by-mariadb' */",
    "select 1 /*M! into outfile '/tmp/written-by-mariadb' */",
    "select 1 into outfile '/tmp/written-by-mariadb'",
    "select 1 into dumpfile '/tmp/written-by-mariadb'",
    "select 1.5into outfile '/tmp/written-by-mariadb'",
    "select 1 into @a",
    "(select 1) into outfile '/tmp/written-by-mariadb'",
    "select 1 --\u00a0'\n' into outfile '/tmp/written-by-mariadb' -- '",
    "select 1 --\x01'\n into outfile '/tmp/written-by-mariadb' -- '",
    "select * from ledger for update",
    "select * from ledger lock in share mode",
    "select writes_ledger()",
    "select writes_plain()",
    "select nextval(numbers)",
    "select next value for numbers",
    "set statement max_statement_time=0 for select 1",
    "set session transaction read write",
    "set global max_connections = 1",
    "set @@sql_mode = 'ANSI_QUOTES'",
    "begin",
    "commit",
    "start transaction read write",
    "call writes()",
    "do writes_ledger()",
    "handler ledger open",
    "load data infile '/etc/passwd' into table ledger",
    "load data local infile '/etc/passwd' into table ledger",
    "lock tables ledger write",
    "use mysql",
    "kill 1",
    "grant select on warehouse.* to reader",
    "prepare s from 'delete from ledger'",
    "execute immediate 'delete from ledger'",
    "analyze delete from ledger",
    "explain analyze select 1",
    "explain delete from ledger",
    "flush tables",
    "optimize table ledger",
    "xa start 'a'",
    "begin not atomic delete from ledger; end",
]


@pytest.fixture(scope="module")
def ledger(mariadb):
    with owner(mariadb) as cursor:
        for statement in (
            "create or replace table ledger (id int)",
            "insert into ledger values (1), (2)",
            "create or replace table plain (id int) engine = myisam",
            "create or replace sequence numbers",
            "create or replace procedure writes() insert into ledger values (7)",
            "create or replace function writes_ledger() returns int begin insert into ledger values (8); return 1; end",
            "create or replace function writes_plain() returns int begin insert into plain values (8); return 1; end",
            "create or replace function unlocks() returns int begin set session tx_read_only = 0; return 1; end",
            f"create or replace user writer identified by '{PASSWORD}'",
            "grant all on warehouse.* to writer",
        ):
            cursor.execute(statement)
        yield cursor
        for kind in ("table ledger", "table plain", "sequence numbers", "procedure writes", "function writes_ledger"):
            cursor.execute(f"drop {kind}")
        cursor.execute("drop user writer")


@pytest.fixture
def writer(mariadb, ledger):
    Path(FILE).unlink(missing_ok=True)  # of a run whose guard was broken
    adapter = adapter_of(mariadb, user="writer", password=PASSWORD)
    yield adapter
    adapter.close()


@pytest.mark.parametrize("text", WRITES)
def test_a_login_that_may_write_changes_nothing(writer, ledger, text):
    with pytest.raises((NotAQueryError, QueryError)):
        read(writer, text)
    writer.reset()
    ledger.execute("select (select sum(id) from ledger), (select count(*) from plain), (select lastval(numbers))")
    assert ledger.fetchone() == (3, 0, None)
    ledger.execute("select count(*) from information_schema.columns where table_schema = 'warehouse'")
    assert not Path(FILE).exists()


@pytest.mark.parametrize("text", [text for text in WRITES if "into" in text and FILE in text])
def test_a_login_that_may_write_files_writes_none(mariadb, ledger, text):
    """Where such a login is allowed after all, nothing of the server's stands in the way: the look at the text does."""
    ledger.execute(f"create or replace user filer identified by '{PASSWORD}'")
    ledger.execute("grant select, file on *.* to filer")
    Path(FILE).unlink(missing_ok=True)
    adapter = adapter_of(mariadb, user="filer", password=PASSWORD, allow_unsafe_roles=True)
    try:
        with pytest.raises((NotAQueryError, QueryError)):
            read(adapter, text)
    finally:
        adapter.close()
        ledger.execute("drop user filer")
    assert not Path(FILE).exists()


@pytest.mark.parametrize(
    "text",
    ["select sleep(60)", "select benchmark(1000000000000, md5('x'))", "select get_lock('held', 60), sleep(60)"],
)
def test_what_waits_or_burns_ends_at_the_server_with_its_time(mariadb, ledger, text):
    runner = LocalRunner(workers=1, share=1, spares=0)
    try:
        runner.status()
        settings = mariadb.login() | {"tls": {"mode": "disable"}}
        outcome = attack(runner, "mysql", settings, {"sql": text}, timeout=1)
    finally:
        runner.close()
    # MariaDB answers a BENCHMARK that it ended as if it had come to its end.
    assert outcome.code == "deadline" or ("benchmark" in text and outcome.code == "ok"), outcome.told
    until = time.monotonic() + 2
    running = "select count(*) from information_schema.processlist where info like %s and id <> connection_id()"
    ledger.execute(running, [text[:20] + "%"])
    while ledger.fetchone() != (0,):
        assert time.monotonic() < until
        time.sleep(0.05)
        ledger.execute(running, [text[:20] + "%"])
    ledger.execute("select is_used_lock('held')")
    assert ledger.fetchone() == (None,)


def test_a_function_that_lifts_the_lock_leaves_it_on_for_the_next_statement(writer, ledger):
    assert read(writer, "select unlocks()").value == 1
    with pytest.raises(NotAQueryError):
        read(writer, "select writes_ledger()")
    ledger.execute("select count(*) from ledger")
    assert ledger.fetchone() == (2,)


def test_a_login_that_may_write_is_warned_of(writer):
    read(writer, "select 1")
    assert [notice.code for notice in writer.notices()] == ["tls_off", "role_can_write"]


@pytest.mark.parametrize(
    "text",
    [
        "show tables",
        "show variables like 'version'",
        "show processlist",
        "describe ledger",
        "explain select * from ledger",
        "explain format=json select 1",
        "values (1), (2)",
        "(select 1) union (select 2)",
        "with recursive n as (select 1 as i union all select i + 1 from n where i < 3) select * from n",
        "select 'into outfile', `id` from ledger /* into outfile */",
        "select load_file('/etc/passwd')",
    ],
)
def test_what_only_reads_is_read(writer, text):
    assert read(writer, text).columns


@pytest.mark.parametrize("text", ["show grants", "SHOW /* x */ GRANTS FOR reader", "show create user current_user()"])
def test_hashes_of_passwords_are_not_shown(writer, text):
    with pytest.raises(QueryForbiddenError):
        read(writer, text)


@pytest.mark.parametrize("right", ["file", "super", "process", "insert", "create user", "reload", "shutdown"])
def test_a_login_that_cannot_be_contained_is_refused(mariadb, ledger, right):
    ledger.execute(f"create or replace user strong identified by '{PASSWORD}'")
    ledger.execute(f"grant {right}, select on *.* to strong")
    adapter = adapter_of(mariadb, user="strong", password=PASSWORD)
    with pytest.raises(UnsafeRoleError, match=right) as caught:
        read(adapter, "select 1")
    assert (caught.value.field, caught.value.step) == ("/config/user", "privileges")
    adapter.close()
    allowed = adapter_of(mariadb, user="strong", password=PASSWORD, allow_unsafe_roles=True)
    assert read(allowed, "select 1").value == 1
    allowed.close()
    ledger.execute("drop user strong")


def test_a_warm_session_is_closed_when_its_login_gained_rights(mariadb, ledger):
    ledger.execute(f"create or replace user strong identified by '{PASSWORD}'")
    ledger.execute("grant select on warehouse.* to strong")
    adapter = adapter_of(mariadb, user="strong", password=PASSWORD)
    number = read(adapter, "select connection_id(), @kept := 7").value
    adapter._judged_at -= RIGHTS_HOLD
    assert adapter.reset()
    assert read(adapter, "select connection_id(), @kept, @@tx_read_only").rows == [[number, None, 1]]
    ledger.execute("grant file on *.* to strong")
    assert adapter.reset(), "Within the time that a look holds it is not looked at again."
    adapter._judged_at -= RIGHTS_HOLD
    assert not adapter.reset()
    with pytest.raises(UnsafeRoleError, match="file"):
        read(adapter, "select 1")
    adapter.close()
    ledger.execute("drop user strong")


def test_rights_through_a_role_count(mariadb, ledger):
    for statement in (
        "create or replace role filers",
        "grant file on *.* to filers",
        f"create or replace user quiet identified by '{PASSWORD}'",
        "grant filers to quiet",
        "grant select on warehouse.* to quiet",
        "set default role filers for quiet",
    ):
        ledger.execute(statement)
    adapter = adapter_of(mariadb, user="quiet", password=PASSWORD)
    with pytest.raises(UnsafeRoleError, match="file"):
        read(adapter, "select 1")
    adapter.close()
    ledger.execute("drop user quiet")
    ledger.execute("drop role filers")


def test_grants_are_read_to_the_word():
    rights = Rights.of(
        [
            "GRANT USAGE ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*00 ON *.* FILE'",
            "GRANT SELECT (`insert`, `b, file`), REFERENCES ON `ON *.*`.`t` TO `a`@`%`",
            "GRANT `FILE`@`%` TO `a`@`%`",
            "GRANT PROXY ON ''@'%' TO 'a'@'%'",
        ]
    )
    assert rights == Rights()
    assert Rights.of(["GRANT SELECT, UPDATE (`a`) ON `d`.`t` TO `a`@`%`"]).writes
    assert Rights.of(["GRANT SELECT ON *.* TO `a`@`%` WITH GRANT OPTION"]).unsafe == ("grant option",)
    assert Rights.of(["GRANT SELECT, BACKUP_ADMIN,CONNECTION_ADMIN ON *.* TO `a`@`%`"]).unsafe == (
        "backup_admin", "connection_admin"
    )  # fmt: skip
