"""Less than full verification is asked for in so many words, seen by everybody, and on record."""

from __future__ import annotations

from typing import Any

import pytest

from connections.models import Event
from tests.catalogue import CANARY, Tenant

PLAIN = {"host": "db.example.com", "database": "sales", "user": "reader"}


def create(tenant: Tenant, source: str = "postgresql", **config: object) -> dict[str, Any]:
    body = {"name": "Warehouse", "source": source, "config": {**PLAIN, **config}, "secrets": {"password": CANARY}}
    answer = tenant.api().post("connections/", body)
    assert answer.status_code == 201, answer.content
    return answer.json()


@pytest.mark.parametrize("source", ["postgresql", "mysql"])
def test_certificate_and_name_are_verified_unless_somebody_says_otherwise(acme: Tenant, source: str) -> None:
    found = create(acme, source)
    assert found["config"].get("tls", {}).get("mode", "verify-full") == "verify-full"
    assert found["warnings"] == []


@pytest.mark.parametrize("mode", ["disable", "require", "verify-ca"])
def test_a_downgrade_is_shown_to_whoever_may_see_the_connection(acme: Tenant, mode: str) -> None:
    create(acme, tls={"mode": mode})
    for role in ("viewer", "admin"):
        found = acme.api(role).get("connections/warehouse/").json()
        assert [warning["code"] for warning in found["warnings"]] == ["tls_unverified"]


def test_a_downgrade_takes_no_stored_secret_along(acme: Tenant) -> None:
    create(acme)
    answer = acme.api().patch("connections/warehouse/", {"config": {"tls": {"mode": "disable"}}})
    assert (answer.status_code, answer.json()["code"]) == (400, "reentry_required")
    assert acme.api().get("connections/warehouse/").json()["warnings"] == []


def test_a_downgrade_is_recorded_with_what_was_and_what_is(acme: Tenant) -> None:
    create(acme)
    body = {"config": {"tls": {"mode": "require"}}, "secrets": {"password": CANARY}}
    assert acme.api().patch("connections/warehouse/", body).status_code == 200
    event = Event.objects.filter(action="connection.update").latest("id")
    before, after = event.changes["config"]
    assert before.get("tls", {}).get("mode", "verify-full") == "verify-full"
    assert after["tls"]["mode"] == "require"
    assert CANARY not in str(event.changes)


# Settings that drivers know and that nobody is to give -----------------------------------------------------------

FORBIDDEN = [
    "driver", "odbc_connect", "service", "servicefile", "passfile", "sslmode", "sslkey", "sslcert", "sslrootcert",
    "sslpassword", "options", "hostaddr", "application_name", "connect_args", "url", "dsn", "conninfo",
    "target_session_attrs", "requirepeer", "krbsrvname", "gsslib", "sslcrl", "read_default_file",
    "read_default_group", "init_command", "local_infile", "allow_local_infile", "unix_socket", "plugin_dir", "ssl_ca",
    "auth_plugin_map", "client_flag", "program_name", "named_pipe", "tlsCAFile", "connection_init", "authenticator",
    "private_key_file", "ocsp", "log_path", "TraceFile", "session_parameters", "extra", "kwargs", "engine_kwargs",
    "proxies", "verify", "cert", "trust_env", "transport", "event_hooks",
]  # fmt: skip


@pytest.mark.parametrize("name", FORBIDDEN)
@pytest.mark.parametrize("source", ["postgresql", "mysql", "http_api", "sqlite", "local_files"])
def test_no_setting_of_a_drivers_own_is_taken(acme: Tenant, source: str, name: str) -> None:
    base = {"http_api": {"base_url": "https://api.example.com"}, "sqlite": {"path": "a.db"}, "local_files": {}}
    config = base.get(source, PLAIN)
    answer = acme.api().post("connections/", {"name": "X", "source": source, "config": {**config, name: "/etc/x"}})
    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == [f"/config/{name}"]
    if source in ("postgresql", "mysql"):
        nested = {**config, "tls": {name: "/etc/x"}}
        assert acme.api().post("connections/", {"name": "X", "source": source, "config": nested}).status_code == 400


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@h/d?options=-c%20default_transaction_read_only=off",
        "postgresql://u:p@h/d?service=x",
        "postgresql://u:p@h/d?host=/tmp",
        "postgresql://u:p@h/d?hostaddr=127.0.0.1",
        "postgresql://u:p@h1,h2/d",
        "postgresql://u:p@%2Ftmp/d",
        "postgresql+psycopg2://u:p@h/d?plugin=x",
        "mysql://u:p@h/d?local_infile=1",
        "mysql://u:p@h/d?unix_socket=/x",
        "mysql+pymysql://u:p@h/d?read_default_file=/etc/x",
        "mysql://u:p@h/d?init_command=drop",
        "jdbc:postgresql://h/d",
        "sqlite:////etc/passwd",
        "http+unix://%2Fvar%2Frun%2Fdocker.sock/x",
    ],
)
def test_a_url_brings_no_option_and_no_other_host(acme: Tenant, url: str) -> None:
    source = "mysql" if url.startswith("mysql") else "postgresql"
    answer = acme.api().post("connections/", {"name": "X", "source": source, "url": url})
    assert answer.status_code == 400, answer.content
    assert "u:p" not in answer.content.decode()


@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        ({"port": 0}, "/config/port"),
        ({"port": 65536}, "/config/port"),
        ({"port": -1}, "/config/port"),
        ({"port": 10**100}, "/config/port"),
        ({"port": "5432; x"}, "/config/port"),
        ({"connect_timeout": 61}, "/config/connect_timeout"),
        ({"connect_timeout": 0}, "/config/connect_timeout"),
        ({"database": "x" * 256}, "/config/database"),
        ({"user": "x" * 256}, "/config/user"),
        ({"host": ["a", "b"]}, "/config/host"),
        ({"host": {"$ne": 1}}, "/config/host"),
        ({"tls": {"ca": "x" * 70_000}}, "/config/tls/ca"),
        ({"retry": {"attempts": 99}}, "/config/retry/attempts"),
    ],
)
def test_settings_have_bounds(acme: Tenant, config: dict[str, object], pointer: str) -> None:
    body = {"name": "X", "source": "postgresql", "config": {**PLAIN, **config}}
    answer = acme.api().post("connections/", body)
    assert answer.status_code == 400
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]


@pytest.mark.parametrize("source", ["postgresql", "mysql"])
@pytest.mark.parametrize("name", ["user", "database"])
def test_a_nul_in_a_name_is_refused(acme: Tenant, source: str, name: str) -> None:
    body = {"name": "X", "source": source, "config": {**PLAIN, name: "a\x00b"}}
    assert acme.api().post("connections/", body).status_code == 400


@pytest.mark.parametrize("source", ["connections.sources.postgresql", "os:system", "../x", "postgresql.Adapter", ""])
def test_a_source_is_one_of_the_registry(acme: Tenant, source: str) -> None:
    answer = acme.api().post("connections/", {"name": "X", "source": source, "config": PLAIN})
    assert answer.status_code == 400
