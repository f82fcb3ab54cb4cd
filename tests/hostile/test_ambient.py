"""What lies about in a deployment's environment and home folder is nobody's credential."""

import os

import pytest

from connections.runner.supervisor import LocalRunner
from tests.hostile import mysql as my
from tests.hostile import postgresql as pg
from tests.hostile.attack import attack
from tests.hostile.liar import Liar, Wire
from tests.hostile.test_http import ask, whole

AMBIENT = b"AMBIENT-CREDENTIAL"
TEXT = AMBIENT.decode()


@pytest.fixture
def elsewhere():
    """A server that nobody was told of but by the environment."""
    with Liar(lambda wire: wire.silence()) as liar:
        yield liar


@pytest.fixture
def surrounded(monkeypatch, tmp_path, elsewhere):
    """Workers of a process in whose environment and home folder every driver finds a login, a proxy or a server."""
    files = {
        ".pgpass": f"*:*:*:*:{TEXT}\n",
        ".pg_service.conf": f"[default]\nuser={TEXT}\npassword={TEXT}\n",
        ".my.cnf": f"[client]\nuser={TEXT}\npassword={TEXT}\n[mysql]\npassword={TEXT}\n",
        ".mylogin.cnf": TEXT,
        ".netrc": f"machine 127.0.0.1 login {TEXT} password {TEXT}\ndefault login {TEXT} password {TEXT}\n",
        ".postgresql/root.crt": TEXT,
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
    local = LocalRunner(workers=1, share=1, spares=0)
    local.status()  # started: its start would count against the first attack's time
    yield local
    local.close()


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
    assert b"connection-catalogue" in heard
    assert elsewhere.accepted == 0


def test_mysql_uses_none_of_it(surrounded, elsewhere):
    with Liar(my.asking(my.switch(b"mysql_clear_password"))) as liar:
        settings = {"host": "127.0.0.1", "port": liar.port, "database": "d", "user": "u", "tls": {"mode": "disable"}}
        attack(surrounded, "mysql", settings, {"sql": "select 1"}, timeout=1.5)
        assert liar.accepted >= 1
        assert AMBIENT not in liar.heard
    assert elsewhere.accepted == 0


def test_http_uses_none_of_it(surrounded, elsewhere):
    def answer(wire: Wire):
        ask(wire)
        wire.send(whole(b"[1]"))

    with Liar(answer) as liar:
        outcome = attack(surrounded, "http_api", {"base_url": f"http://127.0.0.1:{liar.port}"}, {"path": "x"})
        assert (outcome.code, outcome.body) == ("ok", b"[1]")
        assert AMBIENT not in liar.heard
        assert b"uthorization" not in liar.heard
        https = {"base_url": f"https://127.0.0.1:{liar.port}"}
        assert attack(surrounded, "http_api", https, {"path": "x"}, timeout=1.5).code != "ok"
    assert elsewhere.accepted == 0
    assert not os.path.exists(os.environ["SSLKEYLOGFILE"])
