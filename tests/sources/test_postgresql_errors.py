"""PostgreSQL: what goes wrong has its code, its step and its field, taken from what the real server said."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from catalog_project.demo import postgres
from connections.adapters.contract import Environment, Step
from connections.adapters.egress import EgressPolicy
from connections.adapters.errors import AdapterError
from connections.adapters.limits import Deadline
from connections.sources.postgresql import PostgreSQLAdapter
from tests.sources.postgresql import adapter_of
from tests.sources.reading import read

Walk = list[tuple[str, bool | None]]
STEPS = ["resolve", "policy", "connect", "authenticate", "database", "privileges", "sample"]
STEPS_TLS = [*STEPS[:3], "tls", *STEPS[3:]]


def failed(adapter: PostgreSQLAdapter, text: str = "select 1", seconds: float = 10) -> AdapterError:
    with pytest.raises(AdapterError) as caught:
        read(adapter, text, seconds=seconds)
    adapter.close()
    return caught.value


def checked(adapter: PostgreSQLAdapter, seconds: float = 10) -> tuple[Walk, Any]:
    """The steps as (name, ok), and the error between them, or None."""
    found = list(adapter.check(Deadline.after(seconds)))
    adapter.close()
    errors = [item for item in found if isinstance(item, AdapterError)]
    return [(str(step.name), step.ok) for step in found if isinstance(step, Step)], errors[0] if errors else None


def walk(steps: list[str], broken: str) -> Walk:
    """All steps: those before ``broken`` passed, those after were not run."""
    at = steps.index(broken)
    return [(name, True if index < at else False if index == at else None) for index, name in enumerate(steps)]


def test_a_healthy_check_walks_its_steps_in_order(postgresql):
    steps, error = checked(adapter_of(postgresql))
    assert steps == [(name, True) for name in STEPS]
    assert error is None


@pytest.mark.parametrize(
    ("changes", "code", "field", "step"),
    [
        ({"password": "wrong"}, "authentication", "/secrets/password", "authenticate"),
        ({"password": None}, "authentication", "/secrets/password", "authenticate"),
        ({"user": "nobody-here"}, "authentication", "/secrets/password", "authenticate"),
        ({"database": "nope"}, "authorization", "/config/database", "database"),
        ({"database": "host=/tmp dbname=x"}, "authorization", "/config/database", "database"),
        ({"host": "no-such-host.invalid"}, "unreachable", "/config/host", "resolve"),
        ({"tls": {"mode": "verify-full"}}, "tls", "/config/tls/mode", "tls"),
        ({"tls": {"mode": "require"}}, "tls", "/config/tls/mode", "tls"),
    ],
)
def test_a_login_that_fails_is_told_apart(postgresql, changes, code, field, step):
    error = failed(adapter_of(postgresql, **changes))
    assert error.code == code
    steps, found = checked(adapter_of(postgresql, **changes))
    assert (found.code, found.field) == (code, field)
    assert steps == walk(STEPS_TLS if "tls" in changes else STEPS, step)


def test_a_refused_port_is_unreachable(postgresql):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert failed(adapter_of(postgresql, port=port)).code == "unreachable"
    steps, error = checked(adapter_of(postgresql, port=port))
    assert (steps, error.code) == (walk(STEPS, "connect"), "unreachable")


def test_a_closed_address_is_never_dialled(postgresql):
    made = adapter_of(postgresql)
    adapter = PostgreSQLAdapter(made.config, Environment(EgressPolicy()))
    assert failed(adapter).code == "egress_denied"
    steps, error = checked(adapter)
    assert (steps, error.code) == (walk(STEPS, "policy"), "egress_denied")


def test_a_server_that_is_frozen_ends_in_time(postgresql):
    postgresql.pause()
    try:
        error = failed(adapter_of(postgresql, connect_timeout=1))
        assert (error.code, error.field) == ("unreachable", "/config/host")
        assert failed(adapter_of(postgresql), seconds=1).code == "deadline"
        steps, found = checked(adapter_of(postgresql), seconds=1)
        assert (found.code, steps) == ("deadline", walk(STEPS, "authenticate"))
    finally:
        postgresql.resume()


def test_a_server_frozen_between_previews_ends_at_the_deadline(postgresql):
    adapter = adapter_of(postgresql)
    read(adapter, "select 1")
    assert adapter.reset()
    postgresql.pause()
    try:
        assert failed(adapter, seconds=1).code == "deadline"
    finally:
        postgresql.resume()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("select * from nope", "query"),
        ("select nope", "query"),
        ("selct 1", "query"),
        ("select 1 +", "query"),
        ("select 1/0", "query"),
        ("select 1/(n - 300) from generate_series(1, 1000) n", "query"),
        ("select 'x'::int", "query"),
        ("select * from pg_authid", "query_forbidden"),
        ("select pg_read_file('/etc/passwd')", "query_forbidden"),
        ("select 'never closed", "query"),
        ("select $1", "query"),
        ("insert into nope values (1)", "not_a_query"),
        ("explain analyze select 1", "not_a_query"),
        ("select repeat('x', 2000000000)", "too_large"),
    ],
)
def test_a_text_that_fails_says_why(postgresql, text, code):
    adapter = adapter_of(postgresql)
    with pytest.raises(AdapterError) as caught:
        read(adapter, text, limit=500)
    assert caught.value.code == code
    assert read(adapter, "select 1").value == 1  # the session is fit for the next
    adapter.close()


def test_the_servers_words_and_the_place_are_told(postgresql):
    error = failed(adapter_of(postgresql), "select *\nfrom ordrs")
    assert error.message == 'relation "ordrs" does not exist'
    assert error.field == "/query/sql"
    assert "line 2, column 6" in (error.hint or "")


def test_a_parameter_whose_type_nothing_tells_is_a_text(postgresql):
    adapter = adapter_of(postgresql)
    assert read(adapter, "select :a is null, :b is null", {"a": None, "b": "x"}).rows == [[True, False]]
    adapter.close()


def test_a_parameter_that_grouping_holds_to_one_type_is_explained(postgresql):
    """Apart, its places would be different expressions to the server; as one, they are of two types."""
    adapter = adapter_of(postgresql)
    with pytest.raises(AdapterError) as caught:
        read(adapter, "select :n, x + :n from generate_series(1, 3) x group by x + :n", {"n": "5"})
    assert caught.value.code == "query"
    assert ":name::text" in (caught.value.hint or "")
    assert read(adapter, "select :n::int, x + :n from generate_series(1, 1) x group by x + :n", {"n": "5"}).rows == [
        [5, 6]
    ]
    adapter.close()


def test_an_empty_array_without_a_type_is_told_in_the_servers_words(postgresql):
    error = failed(adapter_of(postgresql), "select array[]")
    assert "ARRAY[]::integer[]" in (error.hint or "")


def test_a_value_that_fits_no_place_is_told_by_itself(postgresql):
    adapter = adapter_of(postgresql)
    with pytest.raises(AdapterError) as caught:
        read(adapter, "select 1 from generate_series(1, 2) x where :a is null or x = :a", {"a": "AA"})
    adapter.close()
    assert (caught.value.code, caught.value.message) == ("query", 'invalid input syntax for type integer: "AA"')


def test_too_many_connections_is_transient(postgresql):
    with postgres.connect(postgresql) as connection:
        postgres.create_login(connection, "lonely", "lonely-password")
        connection.execute("alter role lonely connection limit 0")
    error = failed(adapter_of(postgresql, user="lonely", password="lonely-password"))
    assert (error.code, error.transient) == ("rate_limited", True)


def test_a_role_that_may_not_enter_is_authorization(postgresql):
    with postgres.connect(postgresql) as connection:
        postgres.create_login(connection, "outsider", "outsider-password")
        connection.execute("drop database if exists private")
        connection.execute("create database private")
        connection.execute("revoke connect on database private from public")
    adapter = adapter_of(postgresql, user="outsider", password="outsider-password", database="private")
    steps, error = checked(adapter)
    assert (error.code, error.field, steps) == ("authorization", "/config/database", walk(STEPS, "database"))


# Names and passwords that have made drivers connect elsewhere.
HOSTILE = "@ : / # ? % [ ] ; { } ' \" \\ = host=evil.example.com é 🦊"


def test_special_characters_reach_the_server_as_they_are(postgresql):
    role, password, database = f"r{HOSTILE}", f"p{HOSTILE}"[:200], f"d{HOSTILE}"[:50]
    with postgres.connect(postgresql) as connection:
        postgres.create_login(connection, role, password)
        postgres.create_database(connection, database, "owner")
    adapter = adapter_of(postgresql, user=role, password=password, database=database)
    assert read(adapter, "select current_user::text, current_database()::text").rows == [[role, database]]
    adapter.close()


def test_no_error_or_repr_holds_the_password(postgresql):
    canary = "canary-9f3b-%@:/"
    for changes in ({}, {"database": "nope"}, {"port": 1}, {"host": "no-such-host.invalid"}):
        adapter = adapter_of(postgresql, password=canary, **changes)
        error = failed(adapter)
        for text in (
            repr(adapter),
            repr(adapter.config),
            str(error),
            repr(error),
            error.hint or "",
            repr(error.as_dict()),
        ):
            assert canary not in text
        assert error.__cause__ is None


def test_ambient_settings_are_not_used(postgresql, monkeypatch, tmp_path):
    login = postgresql.login()
    passfile = tmp_path / "pgpass"
    passfile.write_text(f"*:*:*:*:{login['password']}\n")
    passfile.chmod(0o600)
    monkeypatch.setenv("PGPASSWORD", login["password"])
    monkeypatch.setenv("PGPASSFILE", str(passfile))
    monkeypatch.setenv("PGOPTIONS", "-c default_transaction_read_only=off")
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "read-write")
    assert failed(adapter_of(postgresql, password=None)).code == "authentication"
    adapter = adapter_of(postgresql)
    assert read(adapter, "select current_setting('default_transaction_read_only')").value == "on"
    adapter.close()


# Servers that lie -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def liar(*answers: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A listener that gives one of ``answers`` after each thing it hears, then ends; and what it heard."""
    heard: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = listener.accept()
                with accepted:
                    accepted.settimeout(3)
                    for answer in answers:
                        heard.append(accepted.recv(65536))
                        accepted.sendall(answer)
                    heard.append(accepted.recv(65536))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], heard
    finally:
        listener.close()


def ask(method: int, rest: bytes = b"") -> bytes:
    """An authentication request of the server's."""
    return b"R" + (8 + len(rest)).to_bytes(4, "big") + method.to_bytes(4, "big") + rest


@pytest.mark.parametrize("request_", [ask(3), ask(5, b"salt")], ids=["cleartext", "md5"])
@pytest.mark.parametrize("mode", ["disable"])
def test_a_password_is_not_sent_in_a_readable_way(postgresql, request_, mode):
    with liar(request_) as (port, heard):
        error = failed(adapter_of(postgresql, port=port, password="canary-password", tls={"mode": mode}))
    assert error.code == "authentication"
    assert b"canary-password" not in b"".join(heard)
    assert b"md5" not in b"".join(heard[1:])


def test_no_password_leaves_when_the_server_refuses_tls(postgresql):
    with liar(b"N") as (port, heard):
        error = failed(adapter_of(postgresql, port=port, password="canary-password", tls={"mode": "verify-full"}))
    assert error.code == "tls"
    assert b"reader" not in b"".join(heard)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 64, b"220 mail ready\r\n"])
@pytest.mark.parametrize("mode", ["disable", "verify-full"])
def test_another_protocol_is_a_protocol_error(postgresql, answer, mode):
    with liar(answer) as (port, _):
        assert failed(adapter_of(postgresql, port=port, tls={"mode": mode}), seconds=5).code == "protocol"
        _, error = checked(adapter_of(postgresql, port=port, tls={"mode": mode}), seconds=5)
    assert error.code == "protocol"


def test_a_server_that_hangs_up_is_unreachable(postgresql):
    with liar() as (port, _):
        assert failed(adapter_of(postgresql, port=port), seconds=5).code == "unreachable"
