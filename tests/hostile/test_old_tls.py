"""TLS 1.1 ends at our own minimum, where the libraries below have been loosened and would speak it.

A client beside ours shows each time that the loosened library does speak to the very server.
"""

import json
import os
import socket
import ssl
import subprocess
import sys
from contextlib import closing

import pytest

from connections.adapters import tls
from connections.runner.supervisor import InlineRunner
from tests.hostile import mysql as my
from tests.hostile import postgresql as pg
from tests.hostile.attack import SECRET, assert_unsaid, attack
from tests.hostile.liar import Liar, Wire
from tests.servers.authority import LOOPBACK as NAMES
from tests.servers.authority import Authority
from tests.servers.tls import LOOSE_CONFIGURATION, LooseContext, loose_ssl, old_context

MODES = ["require", "verify-ca", "verify-full"]


def settings_for(liar: Liar, mode: str, authority: Authority) -> dict[str, object]:
    settings = {"host": "127.0.0.1", "port": liar.port, "database": "d", "user": "u", "password": SECRET}
    return settings | {"tls": {"mode": mode, "ca": authority.certificate}, "retry": {"attempts": 1}}


def test_a_loose_library_speaks_it(authority: Authority):
    def script(wire: Wire) -> None:
        wire.secure(old_context(authority.server(*NAMES)))
        wire.silence()

    made = LooseContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(cadata=authority.certificate)
    with Liar(script) as liar, socket.create_connection(("127.0.0.1", liar.port), timeout=5) as plain:
        assert made.wrap_socket(plain, server_hostname="localhost").version() == "TLSv1.1"


@pytest.mark.parametrize("mode", MODES)
def test_mysql_refuses_it(authority: Authority, monkeypatch, mode):
    monkeypatch.setattr(tls, "ssl", loose_ssl)
    script = my.asking(my.switch(b"mysql_clear_password"), context=old_context(authority.server(*NAMES)))
    with Liar(script) as liar, closing(InlineRunner()) as here:
        for query in ({"sql": "select 1"}, None):
            outcome = attack(here, "mysql", settings_for(liar, mode, authority), query)
            assert outcome.code == "tls", outcome.told
    assert_unsaid(liar.heard)


CLIENT = """
import json, sys
from psycopg import OperationalError, connect
from connections.adapters.contract import Environment
from connections.adapters.egress import EgressPolicy
from connections.adapters.errors import AdapterError
from connections.adapters.limits import Deadline
from connections.sources.postgresql import PostgreSQLAdapter, PostgreSQLConfig

settings = json.load(sys.stdin)
try:
    place = {"host": "127.0.0.1", "port": settings["port"], "connect_timeout": 5}
    connect(**place, user="u", password="SAID-BY-LIBPQ-ALONE", sslmode="require")
except OperationalError:
    pass
adapter = PostgreSQLAdapter(PostgreSQLConfig(**settings), Environment(EgressPolicy(loopback=True)))
try:
    adapter.connect(Deadline.after(5))
except AdapterError as error:
    print(error.code)
"""


@pytest.mark.parametrize("mode", MODES)
def test_postgresql_refuses_it(authority: Authority, tmp_path, mode):
    """In a process whose OpenSSL and libpq are told to take it."""
    configuration = tmp_path / "openssl.cnf"
    configuration.write_text(LOOSE_CONFIGURATION)
    loose = {"OPENSSL_CONF": str(configuration), "PGSSLMINPROTOCOLVERSION": "TLSv1"}
    script = pg.asking(pg.authentication(3) + pg.error(b"28P01", b"no"), context=old_context(authority.server(*NAMES)))
    with Liar(script) as liar:
        done = subprocess.run(
            [sys.executable, "-c", CLIENT],
            input=json.dumps(settings_for(liar, mode, authority)),
            env=os.environ | loose,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    assert b"SAID-BY-LIBPQ-ALONE" in liar.heard, "libpq itself did not speak it: then this shows nothing."
    assert done.stdout.split() == ["tls"], done.stderr
    assert_unsaid(liar.heard)
