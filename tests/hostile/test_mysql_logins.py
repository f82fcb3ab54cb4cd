"""MySQL servers that lie before and in the login: each costs one preview its time, and no password."""

import hashlib
from contextlib import closing

import pytest

from connections.runner.supervisor import InlineRunner
from tests.hostile import mysql as my
from tests.hostile.attack import SECRET, assert_unsaid, attack
from tests.hostile.liar import Liar, Wire
from tests.hostile.mysql import QUERY, at
from tests.servers.authority import LOOPBACK as NAMES
from tests.servers.authority import Authority
from tests.servers.http import server_context

# Before and in the login ---------------------------------------------------------------------------------------


def accept_and_silence(wire: Wire):
    wire.silence()


def drip_of_the_greeting(wire: Wire):
    wire.drip(my.greeting())


def drip_of_the_welcome(wire: Wire):
    number, _ = my.log_in(wire)
    wire.drip(my.packet(number + 1, my.OK))
    wire.silence()


def endless_bytes(wire: Wire):
    wire.forever(b"\xff" * 65536)


def a_greeting_that_never_ends(wire: Wire):
    wire.send(b"\xff\xff\xff\0\x0a")
    wire.forever(b"8" * 65536)


def switches_without_end(wire: Wire):
    number, _ = my.log_in(wire)
    while True:
        wire.send(my.packet(number + 1, my.switch(b"mysql_native_password")))
        number, _ = my.hear(wire)


def reset_in_the_greeting(wire: Wire):
    wire.send(my.greeting()[:30])
    wire.reset()


def half_close_in_the_greeting(wire: Wire):
    wire.send(my.greeting()[:30])
    wire.half_close()


def a_greeting_of_nothing(wire: Wire):
    wire.send(my.packet(0, b""))
    wire.silence()


HANDSHAKE = [
    (accept_and_silence, "deadline"),
    (drip_of_the_greeting, "deadline"),
    (drip_of_the_welcome, "deadline"),
    (endless_bytes, "protocol"),
    (a_greeting_that_never_ends, "protocol"),
    (switches_without_end, "protocol"),
    (reset_in_the_greeting, "unreachable"),
    (half_close_in_the_greeting, "unreachable"),
    (a_greeting_of_nothing, "protocol"),
]


@pytest.mark.parametrize("operation", ["preview", "check"])
@pytest.mark.parametrize(("script", "code"), HANDSHAKE, ids=[script.__name__ for script, _ in HANDSHAKE])
def test_a_login_that_never_ends_ends_in_time(runner, script, code, operation):
    with Liar(script) as liar:
        outcome = attack(runner, "mysql", at(liar.port), QUERY if operation == "preview" else None, timeout=2)
    assert outcome.code == code, outcome.told
    assert_unsaid(liar.heard)


# The password --------------------------------------------------------------------------------------------------

METHODS = [
    b"mysql_clear_password",
    b"dialog",
    b"mysql_old_password",
    b"sha256_password",
    b"authentication_ldap_simple_client",
    b"authentication_windows_client",
    b"auth_gssapi_client",
    b"client_ed25519",
    b"",
    b"\xff\xfe",
    b"../../etc/passwd",
]


def rsa_key() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("mode", ["disable", "require"])
@pytest.mark.parametrize("when", ["greeting", "switch"])
@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_a_password_is_not_shown_to_a_server_that_was_not_verified(runner, authority: Authority, method, when, mode):
    context = server_context(authority.server(*NAMES)) if mode == "require" else None
    first = method if when == "greeting" else b"mysql_native_password"
    script = my.asking(my.switch(method), my.OK, method=first, context=context)
    with Liar(script) as liar:
        outcome = attack(runner, "mysql", at(liar.port, tls={"mode": mode}), QUERY, timeout=2)
    nameless = method == b"\xff\xfe"  # no name of a method in any alphabet
    assert outcome.code == ("protocol" if nameless else "authentication"), outcome.told
    assert_unsaid(liar.heard)


@pytest.mark.parametrize("when", ["greeting", "switch"])
@pytest.mark.parametrize("method", [method for method in METHODS if method != b"\xff\xfe"], ids=repr)
def test_a_certificate_that_a_public_authority_signed_for_anybody_gets_no_password(public_authority, method, when):
    """With verify-ca and no authority of its own a connection does not know whom it speaks to."""
    context = server_context(public_authority.server("attacker.example"))
    first = method if when == "greeting" else b"mysql_native_password"
    script = my.asking(my.switch(method), my.OK, method=first, context=context)
    with Liar(script) as liar, closing(InlineRunner()) as here:
        settings = at(liar.port, user="someone", tls={"mode": "verify-ca"})
        outcome = attack(here, "mysql", settings, QUERY, timeout=2)
    assert outcome.code == "authentication", outcome.told
    assert "verify-full" in outcome.told or method not in (b"mysql_clear_password", b"dialog", b"sha256_password")
    assert_unsaid(liar.heard)


@pytest.mark.parametrize("request_", ["full login", "public key"])
def test_a_public_authority_gets_no_password_in_the_second_stage_either(public_authority, request_):
    context = server_context(public_authority.server("attacker.example"))
    more = b"\1\4" if request_ == "full login" else b"\1" + rsa_key()
    script = my.asking(more, b"\1" + rsa_key(), my.OK, method=b"caching_sha2_password", context=context)
    with Liar(script) as liar, closing(InlineRunner()) as here:
        outcome = attack(here, "mysql", at(liar.port, tls={"mode": "verify-ca"}), QUERY, timeout=2)
    assert outcome.code == "authentication", outcome.told
    assert_unsaid(liar.heard)


@pytest.mark.parametrize(
    ("mode", "name", "own"), [("verify-ca", "elsewhere.example", True), ("verify-full", "127.0.0.1", False)]
)
def test_an_authority_of_its_own_or_a_verified_name_lets_clear_text_through(public_authority, mode, name, own):
    context = server_context(public_authority.server(name))
    with Liar(my.asking(my.switch(b"mysql_clear_password"), context=context)) as liar, closing(InlineRunner()) as here:
        tls = {"mode": mode} | ({"ca": public_authority.certificate} if own else {})
        attack(here, "mysql", at(liar.port, tls=tls), QUERY, timeout=2)
        assert SECRET.encode() in liar.heard


@pytest.mark.parametrize("request_", ["full login", "public key"])
@pytest.mark.parametrize("mode", ["disable", "require"])
def test_the_servers_own_rsa_key_gets_no_password(runner, authority: Authority, request_, mode):
    """caching_sha2_password's second stage: the password, encrypted to whichever key the server names."""
    context = server_context(authority.server(*NAMES)) if mode == "require" else None
    more = b"\1\4" if request_ == "full login" else b"\1" + rsa_key()
    script = my.asking(more, b"\1" + rsa_key(), my.OK, method=b"caching_sha2_password", context=context)
    with Liar(script) as liar:
        outcome = attack(runner, "mysql", at(liar.port, tls={"mode": mode}), QUERY, timeout=2)
    assert outcome.code == "authentication", outcome.told
    assert_unsaid(liar.heard)
    assert bytes([2]) not in bytes(liar.heard[-1:]), "It asked for the key."


def test_an_old_password_scramble_is_not_made(runner):
    """A bare 0xFE asks for the hash of MySQL before 4.1, which is as good as the password."""
    with Liar(my.asking(b"\xfe")) as liar:
        outcome = attack(runner, "mysql", at(liar.port), QUERY, timeout=2)
    assert outcome.code == "protocol", outcome.told
    assert_unsaid(liar.heard)


def test_the_hash_of_the_password_is_not_what_is_sent(runner):
    with Liar(my.asking(my.error(1045, SECRET.encode()))) as liar:
        assert attack(runner, "mysql", at(liar.port), QUERY).code == "authentication"
    once = hashlib.sha1(SECRET.encode()).digest()
    assert once not in liar.heard
    assert hashlib.sha1(once).digest() not in liar.heard


# TLS -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
@pytest.mark.parametrize("operation", ["preview", "check"])
def test_nothing_leaves_to_a_server_that_offers_no_tls(runner, mode, operation):
    with Liar(my.asking(my.switch(b"mysql_clear_password"))) as liar:
        settings = at(liar.port, user="someone", tls={"mode": mode})
        outcome = attack(runner, "mysql", settings, QUERY if operation == "preview" else None)
    assert outcome.code == "tls", outcome.told
    assert b"someone" not in liar.heard
    assert_unsaid(liar.heard)


@pytest.mark.parametrize("kind", ["self-signed", "wrong name", "expired", "another authority"])
def test_a_certificate_that_cannot_be_verified_ends_the_login(runner, authority: Authority, kind):
    certificate = {
        "self-signed": lambda: Authority().server(*NAMES),
        "another authority": lambda: Authority().server(*NAMES),
        "wrong name": lambda: authority.server("elsewhere.example"),
        "expired": lambda: authority.server(*NAMES, days=-1),
    }[kind]()
    with Liar(my.asking(my.switch(b"mysql_clear_password"), context=server_context(certificate))) as liar:
        tls = {} if kind == "self-signed" else {"ca": authority.certificate}
        settings = at(liar.port, user="someone", tls=tls)
        for query in (QUERY, None):
            outcome = attack(runner, "mysql", settings, query)
            assert outcome.code == "tls", outcome.told
    assert b"someone" not in liar.heard
    assert_unsaid(liar.heard)


@pytest.mark.parametrize("operation", ["preview", "check"])
def test_a_handshake_that_stalls_ends_in_time(runner, operation):
    def script(wire: Wire):
        wire.send(my.greeting(tls=True))
        my.hear(wire)
        wire.silence()

    with Liar(script) as liar:
        settings = at(liar.port, user="someone", tls={})
        outcome = attack(runner, "mysql", settings, QUERY if operation == "preview" else None, timeout=1.5)
    assert outcome.code == "deadline", outcome.told
    assert b"someone" not in liar.heard
    assert_unsaid(liar.heard)


def test_what_came_before_the_handshake_is_not_part_of_the_session(runner, authority: Authority):
    context = server_context(authority.server(*NAMES))

    def script(wire: Wire):
        wire.send(my.greeting(tls=True) + my.packet(2, my.switch(b"mysql_clear_password")))
        my.hear(wire)
        wire.secure(context)
        wire.silence()

    with Liar(script) as liar:
        settings = at(liar.port, tls={"ca": authority.certificate})
        outcome = attack(runner, "mysql", settings, QUERY, timeout=2)
    assert outcome.code == "deadline", outcome.told
    assert_unsaid(liar.heard)


def test_to_a_verified_server_the_password_goes_in_clear_text(runner, authority: Authority):
    """The other side of the rule: TLS carries it, to the server that was meant."""
    context = server_context(authority.server(*NAMES))
    with Liar(my.asking(my.switch(b"mysql_clear_password"), context=context)) as liar:
        attack(runner, "mysql", at(liar.port, tls={"ca": authority.certificate}), QUERY, timeout=2)
        assert SECRET.encode() in liar.heard
