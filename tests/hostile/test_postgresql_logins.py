"""PostgreSQL servers that lie before and in the login: each costs one preview its time, and no password."""

import hashlib
import socket
from contextlib import closing

import pytest

from connections.runner.supervisor import InlineRunner
from tests.hostile import postgresql as pg
from tests.hostile.attack import SECRET, assert_unsaid, attack
from tests.hostile.liar import Liar, Wire
from tests.hostile.postgresql import QUERY, at
from tests.servers.authority import LOOPBACK as NAMES
from tests.servers.authority import Authority
from tests.servers.http import server_context

# Before and in the login ---------------------------------------------------------------------------------------


def accept_and_silence(wire: Wire):
    wire.silence()


def drip_of_the_greeting(wire: Wire):
    pg.start(wire)
    wire.drip(pg.WELCOME)


def drip_of_an_error(wire: Wire):
    pg.start(wire)
    wire.drip(pg.error(b"28000", b"x" * 1000))


def endless_greeting(wire: Wire):
    pg.start(wire)
    wire.send(pg.authentication(0))
    wire.forever(pg.message(b"S", b"a\0" + b"x" * 1000 + b"\0") * 64)


def endless_error(wire: Wire):
    pg.start(wire)
    wire.forever(b"E" * 65536)


def endless_bytes(wire: Wire):
    wire.forever(bytes(65536))


def reset_in_the_greeting(wire: Wire):
    pg.start(wire)
    wire.send(pg.WELCOME[:40])
    wire.reset()


def half_close_in_the_greeting(wire: Wire):
    pg.start(wire)
    wire.send(pg.WELCOME[:40])
    wire.half_close()


HANDSHAKE = [
    (accept_and_silence, "deadline"),
    (drip_of_the_greeting, "deadline"),
    (drip_of_an_error, "deadline"),
    (endless_greeting, "authentication"),
    (endless_error, "authentication"),
    (endless_bytes, "protocol"),
    (reset_in_the_greeting, "authentication"),
    (half_close_in_the_greeting, "authentication"),
]


@pytest.mark.parametrize("operation", ["preview", "check"])
@pytest.mark.parametrize(("script", "code"), HANDSHAKE, ids=[script.__name__ for script, _ in HANDSHAKE])
def test_a_login_that_never_ends_ends_in_time(runner, script, code, operation):
    with Liar(script) as liar:
        settings = at(liar.port, password=SECRET)
        outcome = attack(runner, "postgresql", settings, QUERY if operation == "preview" else None, timeout=2)
    assert outcome.code == code, outcome.told
    assert_unsaid(liar.heard)


# The password --------------------------------------------------------------------------------------------------

SCRAM = pg.authentication(10, b"SCRAM-SHA-256\0\0")
REQUESTS = {
    "clear text": pg.authentication(3),
    "md5": pg.authentication(5, b"salt"),
    "kerberos": pg.authentication(2),
    "gss": pg.authentication(7),
    "sspi": pg.authentication(9),
    "unknown": pg.authentication(99),
    "oauth": pg.authentication(10, b"OAUTHBEARER\0\0"),
    "unknown mechanism": pg.authentication(10, b"PLAIN\0\0"),
    "no password at all": pg.WELCOME,
}


@pytest.mark.parametrize("mode", ["disable", "require"])
@pytest.mark.parametrize("request_", REQUESTS, ids=str)
def test_a_password_is_not_shown_to_a_server_that_was_not_verified(runner, authority: Authority, request_, mode):
    context = server_context(authority.server(*NAMES)) if mode == "require" else None
    with Liar(pg.asking(REQUESTS[request_], context=context)) as liar:
        settings = at(liar.port, password=SECRET, tls={"mode": mode})
        outcome = attack(runner, "postgresql", settings, QUERY)
    assert outcome.code == "authentication", outcome.told
    assert_unsaid(liar.heard)
    assert b"md5" + hashlib.md5(SECRET.encode() + b"u").hexdigest().encode() not in liar.heard


@pytest.mark.parametrize("request_", REQUESTS, ids=str)
def test_a_certificate_that_a_public_authority_signed_for_anybody_gets_no_password(public_authority, request_):
    """With verify-ca and no authority of its own a connection does not know whom it speaks to."""
    context = server_context(public_authority.server("attacker.example"))
    with Liar(pg.asking(REQUESTS[request_], context=context)) as liar, closing(InlineRunner()) as here:
        settings = at(liar.port, password=SECRET, user="someone", tls={"mode": "verify-ca"})
        outcome = attack(here, "postgresql", settings, QUERY)
    assert outcome.code == "authentication", outcome.told
    assert "verify-full" in outcome.told or request_ not in ("clear text", "md5")
    assert b"someone" in liar.heard, "It was refused before it could ask."
    assert_unsaid(liar.heard)
    assert b"md5" + hashlib.md5(SECRET.encode() + b"someone").hexdigest().encode() not in liar.heard
    assert b"md5" not in liar.heard


@pytest.mark.parametrize(
    ("mode", "name", "own"), [("verify-ca", "elsewhere.example", True), ("verify-full", "127.0.0.1", False)]
)
def test_an_authority_of_its_own_or_a_verified_name_lets_clear_text_through(public_authority, mode, name, own):
    """The other side of the rule: TLS carries it, to the server that was meant."""
    context = server_context(public_authority.server(name))
    with Liar(pg.asking(pg.authentication(3), context=context)) as liar, closing(InlineRunner()) as here:
        tls = {"mode": mode} | ({"ca": public_authority.certificate} if own else {})
        attack(here, "postgresql", at(liar.port, password=SECRET, tls=tls), QUERY, timeout=1.5)
        assert SECRET.encode() in liar.heard


def test_a_server_that_does_not_know_the_password_cannot_pretend_to(runner):
    """SCRAM: the server must prove itself, too; what it hears is of no use to it."""

    def script(wire: Wire):
        pg.start(wire)
        wire.send(SCRAM)
        first = pg.hear(wire)
        nonce = first.split(b"r=")[1]
        wire.send(pg.authentication(11, b"r=" + nonce + b"server,s=c2FsdHNhbHQ=,i=4096"))
        pg.hear(wire)
        wire.send(pg.authentication(12, b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=") + pg.WELCOME)
        wire.silence()

    with Liar(script) as liar:
        outcome = attack(runner, "postgresql", at(liar.port, password=SECRET), QUERY)
    assert outcome.code == "authentication", outcome.told
    assert_unsaid(liar.heard)


def test_a_server_that_asks_for_a_billion_rounds_ends_at_the_deadline(runner):
    def script(wire: Wire):
        pg.start(wire)
        wire.send(SCRAM)
        nonce = pg.hear(wire).split(b"r=")[1]
        wire.send(pg.authentication(11, b"r=" + nonce + b"server,s=c2FsdHNhbHQ=,i=2000000000"))
        wire.silence()

    with Liar(script) as liar:
        outcome = attack(runner, "postgresql", at(liar.port, password=SECRET), QUERY, timeout=1.5)
    assert outcome.code == "deadline", outcome.told


def test_a_server_that_repeats_the_password_is_not_quoted(runner):
    with Liar(pg.asking(pg.error(b"28P01", b"not the password: " + SECRET.encode()))) as liar:
        for query in (QUERY, None):
            outcome = attack(runner, "postgresql", at(liar.port, password=SECRET), query)
            assert outcome.code == "authentication", outcome.told


# TLS -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [b"N", b"E", b"X", b"G", b"SN", b"NS"], ids=repr)
@pytest.mark.parametrize("operation", ["preview", "check"])
def test_nothing_leaves_to_a_server_that_will_not_do_tls(runner, answer, operation):
    def script(wire: Wire):
        pg.start(wire, tls=answer)
        wire.send(pg.authentication(3))
        wire.silence()

    with Liar(script) as liar:
        settings = at(liar.port, password=SECRET, user="someone", tls={})
        outcome = attack(runner, "postgresql", settings, QUERY if operation == "preview" else None)
    # After the S of "SN" comes no handshake, and the server waits for one: so time runs out.
    assert outcome.code == {b"N": "tls", b"NS": "tls", b"SN": "deadline"}.get(answer, "protocol"), outcome.told
    assert b"someone" not in liar.heard
    assert_unsaid(liar.heard)


def test_what_came_before_the_handshake_is_not_part_of_the_session(runner, authority: Authority):
    """An answer that somebody on the way stuffs in behind the S must not be read as the server's."""
    context = server_context(authority.server(*NAMES))

    def script(wire: Wire):
        wire.read(8)
        wire.send(b"S" + pg.WELCOME)
        wire.secure(context)
        wire.silence()

    with Liar(script) as liar:
        settings = at(liar.port, password=SECRET, tls={"ca": authority.certificate})
        outcome = attack(runner, "postgresql", settings, QUERY)
    assert outcome.code == "tls", outcome.told
    assert_unsaid(liar.heard)


@pytest.mark.parametrize("kind", ["self-signed", "wrong name", "expired", "another authority"])
def test_a_certificate_that_cannot_be_verified_ends_the_login(runner, authority: Authority, kind):
    certificate = {
        "self-signed": lambda: Authority().server(*NAMES),
        "another authority": lambda: Authority().server(*NAMES),
        "wrong name": lambda: authority.server("elsewhere.example"),
        "expired": lambda: authority.server(*NAMES, days=-1),
    }[kind]()
    with Liar(pg.asking(pg.authentication(3), context=server_context(certificate))) as liar:
        tls = {} if kind == "self-signed" else {"ca": authority.certificate}
        settings = at(liar.port, password=SECRET, user="someone", tls=tls)
        for query in (QUERY, None):
            assert attack(runner, "postgresql", settings, query).code == "tls"
    assert b"someone" not in liar.heard
    assert_unsaid(liar.heard)


def test_a_handshake_that_stalls_ends_in_time(runner):
    def script(wire: Wire):
        wire.read(8)
        wire.send(b"S")
        wire.silence()

    with Liar(script) as liar:
        outcome = attack(runner, "postgresql", at(liar.port, password=SECRET, tls={}), QUERY, timeout=1.5)
    assert outcome.code == "deadline", outcome.told


def test_a_verified_name_is_checked_though_the_address_is_pinned(runner, authority: Authority):
    """The right certificate for another name at the same address is refused."""
    context = server_context(authority.server("localhost"))
    with Liar(pg.asking(pg.authentication(3), context=context)) as liar:
        tls = {"ca": authority.certificate}
        by_address = at(liar.port, password=SECRET, tls=tls)
        assert attack(runner, "postgresql", by_address, QUERY).code == "tls"
        assert_unsaid(liar.heard)
        by_name = at(liar.port, password=SECRET, host="localhost", tls=tls)
        attack(runner, "postgresql", by_name, QUERY, timeout=1.5)
        # To a verified server the password goes, also in clear text: TLS carries it.
        assert SECRET.encode() in liar.heard


def test_the_address_that_was_judged_is_the_one_that_libpq_gets(monkeypatch):
    """libpq connects in C, where no hook of ours sees it: it is told the address."""
    from connections.adapters.contract import Environment
    from connections.adapters.egress import EgressPolicy
    from connections.adapters.errors import AdapterError
    from connections.adapters.limits import Deadline
    from connections.sources.postgresql import PostgreSQLAdapter, PostgreSQLConfig

    with Liar(pg.asking(pg.authentication(3))) as liar:
        asked = []

        def resolver(host: str, port: int) -> list[str]:
            asked.append(host)
            return ["127.0.0.1"]

        # The name resolves nowhere else: only the judged address leads to the liar.
        config = PostgreSQLConfig(**at(liar.port, host="database.invalid"))
        adapter = PostgreSQLAdapter(config, Environment(EgressPolicy(loopback=True, resolver=resolver)))
        with pytest.raises(AdapterError):
            adapter.read(
                adapter.query_class(sql="select 1"), {}, limit=1, offset=0, count=False, deadline=Deadline.after(5)
            )
        adapter.close()
        assert (liar.accepted, asked) == (1, ["database.invalid"])
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("database.invalid", 5432)
