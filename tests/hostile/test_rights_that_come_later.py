"""A login may gain rights while its session is kept warm: when that is looked at, as the server hears it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from connections.adapters.contract import Environment
from connections.adapters.egress import EgressPolicy
from connections.adapters.errors import UnsafeRoleError
from connections.adapters.sql.server import RIGHTS_HOLD, ServerAdapter
from connections.sources.mysql import MySQLAdapter, MySQLConfig
from connections.sources.postgresql import PostgreSQLAdapter, PostgreSQLConfig
from tests.hostile import mysql as my
from tests.hostile import postgresql as pg
from tests.hostile.liar import Liar, Script, Wire
from tests.sources.reading import read


@dataclass
class Server:
    """A server that is honest. What it says of the login's rights is what ``answer`` gives."""

    script: Callable[["Server"], Script]
    adapter: type[ServerAdapter[Any]]
    config: type[Any]
    question: bytes
    """What stands in each question for the login's rights, and in nothing else."""
    reader: Any
    unsafe: Any
    answer: Callable[[], Any] = field(init=False)

    def __post_init__(self) -> None:
        self.answer = lambda: self.reader

    def open(self, liar: Liar, *, allow_unsafe_roles: bool = False) -> ServerAdapter[Any]:
        settings = {"host": "127.0.0.1", "port": liar.port, "database": "d", "user": "u", "tls": {"mode": "disable"}}
        environment = Environment(EgressPolicy(loopback=True), allow_unsafe_roles=allow_unsafe_roles)
        return self.adapter(self.config(**settings), environment)

    def asked(self, liar: Liar) -> int:
        return liar.heard.count(self.question)


def postgresql(server: Server) -> Script:
    def honest(wire: Wire) -> None:
        wire.send(pg.row([b"1"]) + pg.complete())

    return pg.lying(honest, rights=lambda: server.answer())


def mysql(server: Server) -> Script:
    def honest(wire: Wire) -> None:
        wire.send(my.result([my.column(b"a")], [my.row([b"1"])]))

    return my.lying(honest, grant=lambda: server.answer())


@pytest.fixture(params=["postgresql", "mysql"])
def server(request: pytest.FixtureRequest) -> Server:
    if request.param == "mysql":
        return Server(mysql, MySQLAdapter, MySQLConfig, b"show grants", my.A_READER, b"GRANT FILE ON *.* TO `u`@`%`")
    superuser = [b"t", *pg.A_READER[1:]]
    return Server(postgresql, PostgreSQLAdapter, PostgreSQLConfig, b"bool_or(rolsuper)", pg.A_READER, superuser)


def later(adapter: ServerAdapter[Any], seconds: float) -> None:
    adapter._judged_at -= seconds


def hang_up() -> None:
    raise EOFError


def test_rights_are_looked_at_again_between_jobs_and_never_before_an_answer(server):
    with Liar(server.script(server)) as liar:
        adapter = server.open(liar)
        for _ in range(5):
            read(adapter, "select 'lie'")
            assert adapter.reset()
        later(adapter, RIGHTS_HOLD - 5)
        read(adapter, "select 'lie'")
        assert adapter.reset()
        assert server.asked(liar) == 1, "Within the time that a look holds, nothing more is sent."
        later(adapter, RIGHTS_HOLD)
        assert read(adapter, "select 'lie'").rows
        assert server.asked(liar) == 1, "The answer waited for it."
        assert adapter.reset()
        assert server.asked(liar) == 2
        read(adapter, "select 'lie'")
        assert adapter.reset()
        assert (server.asked(liar), liar.accepted) == (2, 1)
        adapter.close()


def test_a_session_whose_login_became_unsafe_is_closed_and_the_next_job_is_refused(server):
    with Liar(server.script(server)) as liar:
        adapter = server.open(liar)
        read(adapter, "select 'lie'")
        server.answer = lambda: server.unsafe
        assert adapter.reset()
        later(adapter, RIGHTS_HOLD)
        assert not adapter.reset()
        with pytest.raises(UnsafeRoleError):
            read(adapter, "select 'lie'")
        assert liar.accepted == 2
        adapter.close()


def test_where_unsafe_logins_are_allowed_nothing_is_asked_again(server):
    server.answer = lambda: server.unsafe
    with Liar(server.script(server)) as liar:
        adapter = server.open(liar, allow_unsafe_roles=True)
        read(adapter, "select 'lie'")
        later(adapter, RIGHTS_HOLD)
        assert adapter.reset()
        assert server.asked(liar) == 1
        adapter.close()


def test_a_server_that_ends_at_the_second_question_costs_its_session_only(server):
    with Liar(server.script(server)) as liar:
        adapter = server.open(liar)
        read(adapter, "select 'lie'")
        later(adapter, RIGHTS_HOLD)
        server.answer = hang_up
        assert not adapter.reset()
        server.answer = lambda: server.reader
        assert read(adapter, "select 'lie'").rows
        adapter.close()
