"""Statements that PostgreSQL keeps prepared, on a real one."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from catalog_project.demo import postgres
from connections.services.prepared import Prepared
from tests.servers.pausable import PausableServer


@pytest.fixture
def raw(postgresql: PausableServer) -> Iterator[psycopg.Connection[Any]]:
    with postgres.connect(postgresql) as connection:
        connection.autocommit = True
        connection.execute("create temporary table kept (id uuid, at timestamptz, n int8, text text, told jsonb)")
        yield connection


def test_values_arrive_and_come_back_as_a_cursor_has_them(raw: psycopg.Connection[Any]) -> None:
    row = (uuid.uuid4(), datetime.now(UTC), 2**40, "it's %s", '{"a": [1, null]}')
    prepared = Prepared(raw)
    assert prepared.first("insert into kept values (%s, %s, %s, %s, %s)", row) is None
    found = prepared.first("select * from kept where id = %s", row[:1])
    assert found == raw.execute("select * from kept").fetchone()
    assert found is not None
    assert found[:4] == row[:4]


def test_nulls_and_other_types_at_the_same_place_are_taken(raw: psycopg.Connection[Any]) -> None:
    prepared = Prepared(raw)
    for value in (None, 1, 2**40, None, 7):
        prepared.first("insert into kept (n) values (%s)", (value,))
    assert prepared.first("select array_agg(n) from kept", ()) == ([None, 1, 2**40, None, 7],)


def test_a_statement_is_prepared_once(raw: psycopg.Connection[Any]) -> None:
    prepared = Prepared(raw)
    for _ in range(5):
        assert prepared.first("select %s::text", ("x",)) == ("x",)
    assert raw.execute("select count(*) from pg_prepared_statements where name like 'catalogue%'").fetchone() == (1,)


def test_nothing_found_is_none(raw: psycopg.Connection[Any]) -> None:
    assert Prepared(raw).first("select 1 where %s::int4 = 2", (1,)) is None


def test_a_statement_that_the_server_lost_is_prepared_anew(raw: psycopg.Connection[Any]) -> None:
    prepared = Prepared(raw)
    assert prepared.first("select %s::text", ("x",)) == ("x",)
    raw.execute("deallocate all")
    assert prepared.first("select %s::text", ("y",)) == ("y",)


def test_a_table_that_changed_meanwhile_is_read_as_it_is_now(raw: psycopg.Connection[Any]) -> None:
    prepared = Prepared(raw)
    prepared.first("insert into kept (n) values (%s)", (5,))
    assert prepared.first("select n from kept", ()) == (5,)
    raw.execute("alter table kept alter column n type text")
    assert prepared.first("select n from kept", ()) == ("5",)


def test_what_the_server_refuses_is_raised_by_its_kind(raw: psycopg.Connection[Any]) -> None:
    prepared = Prepared(raw)
    with pytest.raises(psycopg.errors.UndefinedTable):
        prepared.first("select * from no_such", ())
    with pytest.raises(psycopg.errors.DivisionByZero):
        prepared.first("select 1 / %s::int4", (0,))
    assert prepared.first("select 1 / %s::int4", (1,)) == (1,)


def test_a_connection_that_is_lost_says_so(raw: psycopg.Connection[Any], postgresql: PausableServer) -> None:
    prepared = Prepared(raw)
    assert prepared.first("select pg_backend_pid()", ()) == (raw.info.backend_pid,)
    with postgres.connect(postgresql) as other:
        other.execute("select pg_terminate_backend(%s, 5000)", (raw.info.backend_pid,))
    for _ in range(2):
        with pytest.raises(psycopg.OperationalError):
            prepared.first("select pg_backend_pid()", ())


def test_other_threads_work_while_a_statement_is_waited_for(raw: psycopg.Connection[Any]) -> None:
    waiting = threading.Thread(target=lambda: Prepared(raw).first("select pg_sleep(1)", ()))
    waiting.start()
    time.sleep(0.2)
    began = time.monotonic()
    assert waiting.is_alive()
    assert time.monotonic() - began < 0.5
    waiting.join(30)
