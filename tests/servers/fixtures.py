"""Session fixtures: one server of each kind for each test process, started when a test first asks for it."""

from collections.abc import Generator
from typing import Any

import pytest

from tests.servers import mariadb as mariadb_server
from tests.servers import openbao as openbao_server
from tests.servers import postgresql as postgresql_server
from tests.servers.authority import LOOPBACK, Authority, Certificate
from tests.servers.openbao import OpenBao
from tests.servers.pausable import PausableServer

Servers = Generator[PausableServer, None, None]


@pytest.fixture(scope="session")
def authority() -> Authority:
    """The authority that signed the servers' certificates."""
    return Authority()


@pytest.fixture(scope="session")
def postgresql() -> Servers:
    """PostgreSQL without TLS."""
    yield from _until_done(postgresql_server.start())


@pytest.fixture(scope="session")
def postgresql_tls(authority: Authority) -> Servers:
    """PostgreSQL that accepts TLS only; its certificate names localhost and 127.0.0.1."""
    yield from _until_done(_start_tls(authority.server(*LOOPBACK)))


@pytest.fixture(scope="session")
def postgresql_wrong_name(authority: Authority) -> Servers:
    """PostgreSQL whose certificate names another host."""
    yield from _until_done(_start_tls(authority.server("elsewhere.example")))


@pytest.fixture(scope="session")
def postgresql_expired(authority: Authority) -> Servers:
    """PostgreSQL whose certificate expired yesterday."""
    yield from _until_done(_start_tls(authority.server(*LOOPBACK, days=-1)))


@pytest.fixture(scope="session")
def mariadb(authority: Authority) -> Servers:
    """MariaDB that offers TLS; its certificate names localhost and 127.0.0.1."""
    if reason := mariadb_server.missing():
        pytest.skip(reason)
    yield from _until_done(mariadb_server.start(authority.server(*LOOPBACK)))


@pytest.fixture(scope="session")
def openbao() -> Generator[OpenBao, None, None]:
    """OpenBao with TLS, its key-value engines at ``secret`` (version 2) and ``old`` (version 1), and transit."""
    started = openbao_server.start()
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
def engine(openbao: OpenBao, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Generator[OpenBao, None, None]:
    """The same, as the vault that the catalogue uses; its transit engine has the key ``catalog-root``."""
    from connections.sealing import transit  # it needs settings, and this module is loaded before there are any

    openbao.ask("POST", "transit/keys/catalog-root", {"type": "aes256-gcm96"})
    settings.CATALOG_VAULT_URL, settings.CATALOG_VAULT_CA = openbao.url, str(openbao.authority)
    use = (
        'path "transit/encrypt/*" { capabilities = ["update"] } path "transit/decrypt/*" { capabilities = ["update"] }'
    )
    monkeypatch.setenv("CATALOG_VAULT_TOKEN", openbao.token(use))
    transit.unwrapped.clear()
    yield openbao
    transit.unwrapped.clear()


def _start_tls(certificate: Certificate) -> PausableServer:
    if postgresql_server.debian_programs() is None:
        pytest.skip("PostgreSQL with TLS is missing. Run: apt-get install postgresql")
    return postgresql_server.start_tls(certificate)


def _until_done(server: PausableServer) -> Servers:
    try:
        yield server
    finally:
        server.stop()
