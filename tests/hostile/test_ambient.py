"""What lies about in a deployment's environment and home folder is nobody's credential."""

import importlib
import json
import os
import sys
from contextlib import closing

import pytest

from connections.adapters.registry import discover
from connections.runner import realms
from connections.runner.supervisor import InlineRunner, LocalRunner
from tests.hostile import mysql as my
from tests.hostile import postgresql as pg
from tests.hostile.attack import attack
from tests.hostile.evil import SITE
from tests.hostile.liar import Liar, Wire
from tests.hostile.test_http import ask, whole
from tests.servers.authority import LOOPBACK as NAMES
from tests.servers.authority import Authority
from tests.servers.http import server_context

AMBIENT = b"AMBIENT-CREDENTIAL"
TEXT = AMBIENT.decode()


@pytest.fixture
def elsewhere():
    """A server that nobody was told of but by the environment."""
    with Liar(lambda wire: wire.silence()) as liar:
        yield liar


@pytest.fixture
def surroundings(monkeypatch, tmp_path, elsewhere, authority: Authority):
    """An environment and a home folder in which every driver finds a login, a proxy, a server or an authority."""
    files = {
        ".pgpass": f"*:*:*:*:{TEXT}\n",
        ".pg_service.conf": f"[{TEXT}]\nuser={TEXT}\npassword={TEXT}\nport={elsewhere.port}\n",
        ".my.cnf": f"[client]\nuser={TEXT}\npassword={TEXT}\n[mysql]\npassword={TEXT}\n",
        ".mylogin.cnf": TEXT,
        ".netrc": f"machine 127.0.0.1 login {TEXT} password {TEXT}\ndefault login {TEXT} password {TEXT}\n",
        ".postgresql/root.crt": authority.certificate,
        ".postgresql/postgresql.crt": TEXT,
        ".postgresql/postgresql.key": TEXT,
        ".aws/credentials": f"[default]\naws_access_key_id={TEXT}\naws_secret_access_key={TEXT}\n",
        ".config/gcloud/application_default_credentials.json": "{}",
        ".ssh/id_ed25519": TEXT,
        ".duckdbrc": f".open {TEXT}\n",
        ".sqliterc": f".open {TEXT}\n",
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o600)
    proxy = f"http://{TEXT}:{TEXT}@127.0.0.1:{elsewhere.port}"
    variables = {
        "HOME": str(tmp_path),
        **dict.fromkeys(("PGPASSWORD", "PGUSER", "PGOPTIONS", "PGAPPNAME", "PGSERVICE", "PGREQUIREPEER"), TEXT),
        "PGHOSTADDR": "127.0.0.1",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(elsewhere.port),
        "PGSSLMODE": "disable",
        "PGREQUIREAUTH": "password",
        "PGPASSFILE": str(tmp_path / ".pgpass"),
        "PGSERVICEFILE": str(tmp_path / ".pg_service.conf"),
        "PGSYSCONFDIR": str(tmp_path),
        "PGSSLROOTCERT": str(tmp_path / ".postgresql/root.crt"),
        **dict.fromkeys(("MYSQL_PWD", "MYSQL_HOST", "USER", "LOGNAME"), TEXT),
        "MYSQL_HOME": str(tmp_path),
        "MYSQL_TCP_PORT": str(elsewhere.port),
        "NETRC": str(tmp_path / ".netrc"),
        **dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"), proxy),
        "NO_PROXY": "",
        **dict.fromkeys(
            ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), str(tmp_path / ".postgresql/root.crt")
        ),
        "SSLKEYLOGFILE": str(tmp_path / "keys.log"),
        **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"), TEXT),
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": proxy,
        "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / ".config/gcloud/application_default_credentials.json"),
        "LD_PRELOAD_OF_NO_USE": TEXT,
        "PYTHONSTARTUP": str(tmp_path / ".sqliterc"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def worker(surroundings, monkeypatch):
    """A runner whose first process is started in these surroundings."""
    monkeypatch.setattr(sys, "path", [*sys.path, SITE])
    monkeypatch.setattr(realms, "registry", discover())
    local = LocalRunner(workers=1, share=1, spares=0)
    local.status()  # started: its start would count against the first attack's time
    yield local
    local.close()


@pytest.fixture(params=["worker", "this process"])
def surrounded(request, surroundings):
    """Drivers in a worker, which has walls of its own, and in this process, which has none: there the drivers' hold."""
    if request.param == "worker":
        yield request.getfixturevalue("worker")
        return
    for driver in ("psycopg", "pymysql", "httpx"):  # loaded: that would count as memory that the first attack takes
        importlib.import_module(driver)
    with closing(InlineRunner()) as here:
        yield here


def test_a_worker_has_neither_environment_nor_home(worker, surroundings, tmp_path):
    for source in ("evil_local", "evil_network"):
        outcome = attack(worker, source, {}, {"do": "surroundings"}, root=str(tmp_path), limit=1000, format="ndjson")
        assert outcome.code == "ok", outcome.told
        found = {row["tried"]: row["got"] for row in map(json.loads, outcome.body.splitlines())}
        told = {name.removeprefix("variable ") for name in found if name.startswith("variable ")}
        assert told & set(surroundings) == {"HOME"}
        assert found["variable HOME"] == found["home"] == found["here"] != str(tmp_path)
        assert any(name.startswith("native ") for name in found)
        assert TEXT not in "".join(found.values())


def test_postgresql_uses_none_of_it(surrounded, elsewhere):
    heard = b""
    for request in (pg.authentication(3), pg.authentication(5, b"salt"), pg.authentication(10, b"SCRAM-SHA-256\0\0")):
        with Liar(pg.asking(request)) as liar:
            settings = {"host": "127.0.0.1", "port": liar.port, "database": "d", "user": "u"}
            for mode in ("disable", "verify-full"):
                attack(surrounded, "postgresql", settings | {"tls": {"mode": mode}}, {"sql": "select 1"}, timeout=1.5)
            assert liar.accepted >= 2
            heard += bytes(liar.heard)
    assert AMBIENT not in heard
    assert b"md5" not in heard
    assert b"SCRAM" not in heard, "It had a password to prove."
    assert b"connection-catalogue" in heard
    assert elsewhere.accepted == 0


def test_mysql_uses_none_of_it(surrounded, elsewhere):
    answers = []

    def ask_twice(wire: Wire):
        number, first = my.log_in(wire)
        wire.send(my.packet(number + 1, my.switch(b"mysql_native_password")))
        answers.append((first, my.hear(wire)[1]))
        wire.silence()

    with Liar(ask_twice) as liar:
        settings = {"host": "127.0.0.1", "port": liar.port, "database": "d", "user": "u", "tls": {"mode": "disable"}}
        attack(surrounded, "mysql", settings, {"sql": "select 1"}, timeout=1.5)
        assert AMBIENT not in liar.heard
    [(first, second)] = answers
    assert b"\0u\0\0d\0" in first, "An empty answer to the challenge is all that a user without password has."
    assert second == b""
    assert elsewhere.accepted == 0


def test_http_uses_none_of_it(surrounded, elsewhere, authority: Authority):
    context = server_context(authority.server(*NAMES))

    def answer(wire: Wire):
        ask(wire)
        wire.send(whole(b"[1]"))

    def secured(wire: Wire):
        wire.secure(context)
        answer(wire)

    with Liar(answer) as liar:
        outcome = attack(surrounded, "http_api", {"base_url": f"http://127.0.0.1:{liar.port}"}, {"path": "x"})
        assert (outcome.code, outcome.body) == ("ok", b"[1]")
        assert AMBIENT not in liar.heard
        assert b"uthorization" not in liar.heard
    with Liar(secured) as liar:
        settings = {"base_url": f"https://127.0.0.1:{liar.port}"}
        assert attack(surrounded, "http_api", settings, {"path": "x"}).code == "tls"
        trusting = settings | {"tls": {"ca": authority.certificate}}
        outcome = attack(surrounded, "http_api", trusting, {"path": "x"})
        assert (outcome.code, outcome.body) == ("ok", b"[1]")
    assert elsewhere.accepted == 0
    assert not os.path.exists(os.environ["SSLKEYLOGFILE"])
