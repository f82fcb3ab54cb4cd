"""A read prepares before its source may be touched, and touches it only then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from catalog_project.demo import postgres
from connections.adapters.gate import Shut
from connections.adapters.limits import Budget, Deadline
from connections.adapters.sql.query import SQLQuery
from connections.runner.frames import End
from connections.runner.reading import read
from connections.sources.postgresql import PostgreSQLAdapter, wire
from connections.sources.postgresql.login import APPLICATION
from tests.servers.pausable import PausableServer
from tests.sources.postgresql import adapter_of

QUERY = SQLQuery(sql="select 'touched'")


@pytest.fixture
def adapter(postgresql: PausableServer) -> Iterator[PostgreSQLAdapter]:
    made = adapter_of(postgresql)
    yield made
    made.close()


def sessions(server: PausableServer) -> list[tuple[Any, ...]]:
    """The sessions of ours at the server, and when each was last asked something."""
    with postgres.connect(server) as connection:
        found = connection.execute(
            "select pid, state_change, state from pg_stat_activity where application_name = %s", (APPLICATION,)
        )
        return found.fetchall()


def test_nobody_connects_before_that(adapter: PostgreSQLAdapter, postgresql: PausableServer) -> None:
    there: list[int] = []
    before = len(sessions(postgresql))
    frames = read(adapter, QUERY, {}, Budget(), Deadline.after(10), lambda: there.append(len(sessions(postgresql))))
    assert isinstance(list(frames)[-1], End)
    assert there == [before]


@pytest.mark.parametrize("length", [0, wire.KEPT_BYTES - 300, wire.KEPT_BYTES, 8_192, 90_000])
def test_a_warm_session_is_asked_nothing_before_that(
    adapter: PostgreSQLAdapter, postgresql: PausableServer, length: int
) -> None:
    """libpq begins to send long texts by itself."""
    query = SQLQuery(sql=f"select 'touched{'.' * length}'")
    list(read(adapter, QUERY, {}, Budget(), Deadline.after(10)))
    assert adapter.reset()
    before = sessions(postgresql)
    there: list[list[tuple[Any, ...]]] = []
    list(read(adapter, query, {}, Budget(), Deadline.after(10), lambda: there.append(sessions(postgresql))))
    assert there == [before]
    assert sessions(postgresql) != before


def test_where_it_may_not_be_touched_nothing_is_asked(adapter: PostgreSQLAdapter, postgresql: PausableServer) -> None:
    """Not even when the session is closed: that would send what waits to be sent."""
    with postgres.connect(postgresql) as connection:
        connection.execute("create table untouched as select 1 as n")
        connection.execute("grant select on untouched to public")
    query = SQLQuery(sql="select n from untouched")

    def shut() -> None:
        raise Shut

    list(read(adapter, QUERY, {}, Budget(), Deadline.after(10)))
    assert adapter.reset()
    with pytest.raises(Shut):
        list(read(adapter, query, {}, Budget(), Deadline.after(10), shut))
    adapter.close()
    assert _scans(postgresql, at_least=0) == 0

    list(read(adapter, query, {}, Budget(), Deadline.after(10)))
    adapter.close()
    assert _scans(postgresql, at_least=1) == 1


def _scans(server: PausableServer, at_least: int) -> int:
    """How often the table was read, by sessions that are over: a session tells at its end."""
    ends = time.monotonic() + (10 if at_least else 1)
    while True:
        with postgres.connect(server) as connection:
            row = connection.execute("select seq_scan from pg_stat_user_tables where relname = 'untouched'").fetchone()
        found = int(row[0]) if row else 0
        if time.monotonic() > ends or (at_least and found >= at_least):
            return found
        time.sleep(0.1)


def test_waiting_for_that_is_no_time_of_the_source(adapter: PostgreSQLAdapter) -> None:
    list(read(adapter, QUERY, {}, Budget(), Deadline.after(10)))
    assert adapter.reset()
    *_, end = read(adapter, QUERY, {}, Budget(), Deadline.after(10), _slowly)
    assert isinstance(end, End)
    assert 0 <= end.fields["stats"]["execute_ms"] < 400
    assert 0 <= end.fields["stats"]["connect_ms"] < 400


def _slowly() -> None:
    time.sleep(0.5)
