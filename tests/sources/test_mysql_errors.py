"""What MariaDB itself answers, as errors of ours; over TLS too."""

import secrets
import ssl
from typing import Any

import pytest

from connections.adapters.contract import Environment, Step
from connections.adapters.egress import EgressPolicy
from connections.adapters.errors import (
    AdapterError,
    AuthenticationError,
    AuthorizationError,
    EgressDeniedError,
    QueryError,
    QueryForbiddenError,
    RateLimitedError,
    TLSError,
    UnreachableError,
)
from connections.adapters.limits import Deadline
from connections.sources.mysql import MySQLAdapter
from tests.servers import mariadb as mariadb_server
from tests.servers.authority import LOOPBACK, Authority
from tests.sources.mysql import adapter_of, owner
from tests.sources.reading import read

PASSWORD = secrets.token_urlsafe(12)


def failure(adapter: MySQLAdapter, text: str = "select 1") -> AdapterError:
    with pytest.raises(AdapterError) as caught:
        read(adapter, text, seconds=5)
    adapter.close()
    return caught.value


@pytest.mark.parametrize(
    ("changes", "kind", "field", "step"),
    [
        ({"password": "wrong"}, AuthenticationError, "/secrets/password", "authenticate"),
        ({"password": None}, AuthenticationError, "/secrets/password", "authenticate"),
        ({"password": "pä😀'\\"}, AuthenticationError, "/secrets/password", "authenticate"),
        ({"user": "nobody"}, AuthenticationError, "/secrets/password", "authenticate"),
        ({"database": "nowhere"}, AuthorizationError, "/config/database", "database"),
        ({"database": "mysql"}, AuthorizationError, "/config/database", "database"),
        ({"port": 1}, UnreachableError, "/config/host", "connect"),
        ({"host": "no-such-host.invalid"}, UnreachableError, "/config/host", "resolve"),
    ],
)
def test_a_login_that_fails_says_which_setting(mariadb, changes, kind, field, step):
    adapter = adapter_of(mariadb, **changes)
    error = failure(adapter)
    assert (type(error), error.field, error.step) == (kind, field, step)
    failed = [each for each in adapter.check(Deadline.after(5)) if isinstance(each, Step) and each.ok is False]
    assert [str(each.name) for each in failed] == [step]
    adapter.close()


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("select * from ordrs", QueryError, "Table 'warehouse.ordrs' doesn't exist."),
        ("select nope", QueryError, "Unknown column 'nope'"),
        ("select 1 form x y", QueryError, "You have an error in your SQL syntax"),
        ("select no_such_function(1)", QueryForbiddenError, "no_such_function"),
        ("select * from mysql.user", QueryForbiddenError, "SELECT command denied"),
        ("select * from nowhere.at_all", QueryForbiddenError, "SELECT command denied"),
        ("select (select 1 union select 2)", QueryError, "Subquery returns more than 1 row."),
    ],
)
def test_a_rejected_query_is_told_in_the_servers_words(mariadb, text, kind, message):
    error = failure(adapter_of(mariadb), text)
    assert type(error) is kind
    assert message in error.message
    assert error.field == "/query/sql"


def test_an_error_in_the_middle_of_the_rows_is_told(mariadb):
    text = "select if(seq = 4000, (select seq union select 2), 1) from seq_1_to_4000"
    adapter = adapter_of(mariadb)
    with pytest.raises(QueryError, match="more than 1 row"):
        read(adapter, text, limit=5000)
    assert read(adapter, text, limit=10).value == "1"
    adapter.close()


def test_an_account_that_is_locked_or_expired_or_full(mariadb):
    with owner(mariadb) as cursor:
        cursor.execute(f"create or replace user limited identified by '{PASSWORD}' account lock")
        cursor.execute("grant select on warehouse.* to limited")
        login: dict[str, Any] = {"user": "limited", "password": PASSWORD}
        assert failure(adapter_of(mariadb, **login)).field == "/config/user"
        cursor.execute("alter user limited account unlock")
        cursor.execute("grant usage on *.* to limited with max_user_connections 1")
        first = adapter_of(mariadb, **login)
        read(first, "select 1")
        error = failure(adapter_of(mariadb, **login))
        assert type(error) is RateLimitedError
        assert error.retry_after
        first.close()
        cursor.execute("drop user limited")


def test_a_login_that_must_be_encrypted_is_refused_in_the_clear(mariadb, authority):
    with owner(mariadb) as cursor:
        cursor.execute(f"create or replace user strict identified by '{PASSWORD}' require ssl")
        cursor.execute("grant select on warehouse.* to strict")
        login: dict[str, Any] = {"user": "strict", "password": PASSWORD}
        assert isinstance(failure(adapter_of(mariadb, **login)), AuthenticationError)  # MariaDB tells no more
        adapter = adapter_of(mariadb, **login, tls={"ca": authority.certificate})
        assert read(adapter, "select 1").value == 1
        adapter.close()
        cursor.execute("drop user strict")


@pytest.mark.parametrize(
    "password", ["; DRIVER=/x.so;", "} ;{=", "'\\\"", " host=evil ", "@evil/", "a\nb", "é😀", "x" * 4000]
)
def test_a_password_reaches_the_server_byte_for_byte(mariadb, password):
    with owner(mariadb) as cursor:
        cursor.execute("set names utf8mb4")
        cursor.execute("create or replace user odd identified by %s", (password,))
        cursor.execute("grant select on warehouse.* to odd")
        adapter = adapter_of(mariadb, user="odd", password=password)
        assert read(adapter, "select 1").value == 1
        adapter.close()
        cursor.execute("drop user odd")


def test_an_address_that_is_closed_is_not_dialled(mariadb):
    adapter = adapter_of(mariadb)
    closed = MySQLAdapter(adapter.config, Environment(EgressPolicy()))
    assert isinstance(failure(closed), EgressDeniedError)


# TLS -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_trusted_certificate_is_accepted(mariadb, authority, host, mode):
    adapter = adapter_of(mariadb, host=host, tls={"mode": mode, "ca": authority.certificate})
    assert read(adapter, "show status like 'Ssl_version'").rows == [["Ssl_version", "TLSv1.3"]]
    steps = {str(step.name): step for step in adapter.check(Deadline.after(10)) if isinstance(step, Step)}
    assert all(step.ok for step in steps.values())
    assert "TLSv1.3" in (steps["tls"].detail or "")
    assert [notice.code for notice in adapter.notices()] == ([] if mode == "verify-full" else ["tls_unverified"])
    adapter.close()


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
@pytest.mark.parametrize("ca", [None, Authority().certificate], ids=["no authority", "another authority"])
def test_an_authority_that_is_not_trusted_is_refused(mariadb, mode, ca):
    adapter = adapter_of(mariadb, host="localhost", tls={"mode": mode, "ca": ca})
    error = failure(adapter)
    assert (type(error), error.field, error.step) == (TLSError, "/config/tls", "tls")
    failed = [each for each in adapter.check(Deadline.after(5)) if isinstance(each, Step) and each.ok is False]
    assert [str(each.name) for each in failed] == ["tls"]
    adapter.close()


@pytest.mark.parametrize(("names", "days"), [(("elsewhere.example",), 1), (LOOPBACK, -1)])
def test_a_certificate_for_another_name_or_out_of_date_is_refused(authority, names, days):
    if reason := mariadb_server.missing():
        pytest.skip(reason)
    server = mariadb_server.start(authority.server(*names, days=days))
    try:
        trusting = {"mode": "verify-full", "ca": authority.certificate}
        assert isinstance(failure(adapter_of(server, host="localhost", tls=trusting)), TLSError)
        by_authority = adapter_of(server, tls=trusting | {"mode": "verify-ca"})
        if days > 0:
            assert read(by_authority, "select 1").value == 1
            by_authority.close()
        else:
            assert isinstance(failure(by_authority), TLSError)
    finally:
        server.stop()


def test_a_client_certificate_is_shown_and_what_the_server_thinks_of_it_is_told(mariadb, authority):
    shown = authority.client("reader")  # this server trusts no authority of clients
    trusting = {"ca": authority.certificate, "certificate": shown.certificate, "key": shown.key}
    assert isinstance(failure(adapter_of(mariadb, tls=trusting)), TLSError)
    halved = trusting | {"key": authority.client("other").key}
    assert failure(adapter_of(mariadb, tls=halved)).field == "/secrets/tls/certificate"


def test_the_drivers_own_fallback_to_plain_text_is_off(mariadb):
    adapter = adapter_of(mariadb, tls={"mode": "require"})
    read(adapter, "select 1")
    assert isinstance(adapter._opened()._sock, ssl.SSLSocket)
    adapter.close()
