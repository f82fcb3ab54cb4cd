"""The runner with sources that ship, on real servers."""

import io
import os
import signal
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql
import pytest
from pyarrow import parquet

from catalog_project.demo import postgres
from connections.adapters.egress import EgressPolicy
from connections.adapters.errors import (
    AuthenticationError,
    CancelledError,
    DeadlineError,
    QueryError,
    WorkerCrashedError,
)
from connections.adapters.limits import Budget
from connections.runner.frames import Ready
from connections.runner.supervisor import LocalRunner
from connections.sources.postgresql.login import APPLICATION
from tests.runner.asking import Answer, Asker
from tests.servers.pausable import PausableServer

LOOPBACK = EgressPolicy(loopback=True).as_dict()


class Warehouse:
    """A PostgreSQL connection, asked through a runner."""

    def __init__(self, server: PausableServer, asker: Asker) -> None:
        self.server = server
        self.asker = asker
        asker.settings = server.login("reader") | {"tls": {"mode": "disable"}, "retry": {"attempts": 1}}

    def ask(self, sql: str, **asked) -> Answer:
        return self.asker.ask(source="postgresql", egress=LOOPBACK, query={"sql": sql}, **asked)

    def working(self) -> int:
        """How many of our sessions run something."""
        with postgres.connect(self.server) as connection:
            row = connection.execute(
                "select count(*) from pg_stat_activity where application_name = %s and state = 'active'", [APPLICATION]
            ).fetchone()
        assert row is not None
        return int(row[0])

    def works(self, expected: int, within: float = 5) -> bool:
        until = time.monotonic() + within
        while self.working() != expected:
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True


@pytest.fixture
def warehouse(postgresql: PausableServer, local: Asker) -> Warehouse:
    return Warehouse(postgresql, local)


@pytest.fixture
def orders(tmp_path: Path, local: Asker) -> Path:
    local.settings = {"path": "orders.sqlite3"}
    with closing(sqlite3.connect(tmp_path / "orders.sqlite3")) as connection:
        connection.execute("create table orders (id integer primary key, customer text)")
        connection.executemany("insert into orders values (?, ?)", [(number, f"c{number}") for number in range(1000)])
        connection.commit()
    return tmp_path


def test_sqlite_answers_from_a_worker(local: Asker, orders: Path):
    answer = local.ask(source="sqlite", root=str(orders), query={"table": ["orders"]}, limit=3, offset=2, count=True)
    assert answer.rows == [[2, "c2"], [3, "c3"], [4, "c4"]]
    assert answer.fields["page"] == {"offset": 2, "limit": 3, "returned": 3, "has_more": True, "total": 1000}
    assert local.ask("check", source="sqlite", root=str(orders)).fields["ok"] is True


def test_a_sqlite_query_without_end_ends_at_the_deadline(local: Asker, orders: Path):
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
    started = time.monotonic()
    with pytest.raises(DeadlineError):
        local.ask(source="sqlite", root=str(orders), query={"sql": endless}, timeout=1.5)
    assert time.monotonic() - started < 2.0


def test_postgresql_answers_from_a_warm_worker(warehouse: Warehouse):
    first, second = (warehouse.ask("select pg_backend_pid(), 1.50::numeric(5,2), null::int") for _ in range(2))
    assert first.rows == second.rows
    assert first.rows[0][1:] == ["1.50", None]
    assert warehouse.asker.opened == 1
    assert second.fields["stats"]["connect_ms"] < first.fields["stats"]["connect_ms"]


def test_a_session_s_traces_are_gone_before_the_next_job(warehouse: Warehouse):
    warehouse.ask("select set_config('app.who', 'first', false)")
    assert warehouse.ask("select coalesce(current_setting('app.who', true), '')").rows == [[""]]
    assert warehouse.asker.opened == 1


def test_a_rejected_query_says_why_and_keeps_the_connection(warehouse: Warehouse):
    with pytest.raises(QueryError, match="nowhere"):
        warehouse.ask("select * from nowhere")
    warehouse.ask("select 1")
    assert warehouse.asker.opened == 1


def test_a_wrong_password_is_told_and_not_repeated(warehouse: Warehouse):
    warehouse.asker.settings |= {"password": "hunter2-wrong"}
    with pytest.raises(AuthenticationError) as caught:
        warehouse.ask("select 1")
    assert "hunter2-wrong" not in repr(caught.value)
    fields = warehouse.asker.ask("check", source="postgresql", egress=LOOPBACK).fields
    assert (fields["ok"], fields["error"]["code"]) == (False, "authentication")


def test_a_check_of_postgresql_passes_every_step(warehouse: Warehouse):
    fields = warehouse.asker.ask("check", source="postgresql", egress=LOOPBACK).fields
    assert fields["ok"] is True, fields
    assert fields["server"]["product"] == "PostgreSQL"


def test_a_frozen_server_costs_the_deadline_and_no_more(warehouse: Warehouse):
    warehouse.ask("select 1")
    warehouse.server.pause()
    try:
        started = time.monotonic()
        with pytest.raises(DeadlineError):
            warehouse.ask("select 1", timeout=1)
        assert time.monotonic() - started < 1.5
        fields = warehouse.asker.ask("check", source="postgresql", egress=LOOPBACK, timeout=1).fields
        assert fields["ok"] is False
    finally:
        warehouse.server.resume()
    assert warehouse.ask("select 1").rows == [[1]]


def test_at_the_server_a_query_ends_when_its_job_does(warehouse: Warehouse):
    with pytest.raises(DeadlineError):
        warehouse.ask("select pg_sleep(60)", timeout=1)
    assert warehouse.works(0)


def test_at_the_server_a_query_ends_at_its_deadline_though_its_text_has_it_not_look(warehouse: Warehouse):
    """With no look for a client that is gone, and nobody to cancel, only its own time-out ends it."""
    with pytest.raises(DeadlineError):
        warehouse.ask("select set_config('client_connection_check_interval', '0', false), pg_sleep(60)", timeout=1)
    assert warehouse.works(0, within=2)


def test_at_the_server_the_query_of_a_killed_worker_ends(warehouse: Warehouse):
    """Who is killed sends no cancel request, and the query's own time-out is far off: the server looks by itself."""

    def kill() -> None:
        warehouse.works(1)
        assert isinstance(warehouse.asker.runner, LocalRunner)
        [ticket] = warehouse.asker.runner._pool.find("slow", warehouse.asker.organisation)
        assert ticket.worker is not None
        os.kill(ticket.worker.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(WorkerCrashedError):
        warehouse.ask("select pg_sleep(60)", job_id="slow")
    killer.join()
    assert warehouse.works(0, within=2)


def test_at_the_server_a_cancelled_query_ends(warehouse: Warehouse):
    def cancel() -> None:
        warehouse.works(1)
        warehouse.asker.runner.cancel("slow", warehouse.asker.organisation)

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(CancelledError):
        warehouse.ask("select pg_sleep(60)", job_id="slow")
    canceller.join()
    assert warehouse.works(0)


def test_at_the_server_a_cancelled_query_ends_though_its_text_has_it_not_look(warehouse: Warehouse):
    """With no look for a client that is gone, only a cancel request ends it; its own time-out is far off."""
    text = (
        "select set_config('client_connection_check_interval', '0', false), "
        "case when n > 400 then pg_sleep(60)::text end from generate_series(1, 1000) n"
    )

    def cancel() -> None:
        warehouse.works(1)
        time.sleep(0.3)
        warehouse.asker.runner.cancel("slow", warehouse.asker.organisation)

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(CancelledError):
        warehouse.ask(text, job_id="slow", limit=1000)
    canceller.join()
    assert warehouse.works(0, within=2)


def test_a_run_that_is_closed_before_it_goes_on_asks_its_warm_source_nothing(mariadb: PausableServer, local: Asker):
    """No second login ends a query that was never begun."""
    login = mariadb.login("superuser")

    def logins() -> int:
        with closing(pymysql.connect(**login)) as owner, owner.cursor() as cursor:
            cursor.execute("show global status like 'connections'")
            row = cursor.fetchone()
        assert row is not None
        return int(row[1])

    local.settings = mariadb.login("reader") | {"tls": {"mode": "disable"}, "retry": {"attempts": 1}}
    asked: dict[str, Any] = {"source": "mysql", "egress": LOOPBACK, "query": {"sql": "select 1"}}
    assert local.ask(**asked).rows == [[1]]
    before = logins()
    run = local.run(**asked)
    assert isinstance(next(run), Ready)
    time.sleep(0.2)
    run.close()
    time.sleep(1.5)
    assert logins() == before + 1
    assert local.ask(**asked).rows == [[1]]


def test_at_mariadb_a_cancelled_query_ends(mariadb: PausableServer, local: Asker):
    local.settings = mariadb.login("reader") | {"tls": {"mode": "disable"}, "retry": {"attempts": 1}}

    def sleeps(expected: int, within: float) -> bool:
        until = time.monotonic() + within
        count = "select count(*) from information_schema.processlist where state = 'User sleep'"
        with closing(pymysql.connect(**mariadb.login("superuser"))) as owner, owner.cursor() as cursor:
            while cursor.execute(count) and cursor.fetchone() != (expected,):
                if time.monotonic() > until:
                    return False
                time.sleep(0.05)
        return True

    def cancel() -> None:
        sleeps(1, within=10)
        local.runner.cancel("slow", local.organisation)

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(CancelledError):
        local.ask(source="mysql", egress=LOOPBACK, query={"sql": "select sleep(50)"}, job_id="slow")
    canceller.join()
    assert sleeps(0, within=2)


def test_a_download_of_postgresql_arrives_whole(warehouse: Warehouse):
    sql = "select n, 'word ' || n as word, n * 1.5::numeric(12,2) as amount from generate_series(1, 100000) n"
    budget = Budget(rows=1_000_000, bytes=2**28)
    answer = warehouse.ask(sql, limit=200_000, format="parquet", budget=budget)
    table = parquet.read_table(io.BytesIO(answer.body))
    assert table["n"].to_pylist() == list(range(1, 100_001))
    assert answer.fields["page"]["returned"] == 100_000
