"""Lying MySQL servers: each costs one preview its time, and no file, password or byte of anything else."""

import hashlib
import struct
from contextlib import closing
from typing import Any

import pytest
from pymysql.connections import Connection
from pymysql.constants import CLIENT

from connections.runner.supervisor import InlineRunner
from tests.hostile import mysql as my
from tests.hostile.attack import SECRET, assert_unsaid, attack
from tests.hostile.liar import Liar, Wire
from tests.servers.authority import LOOPBACK as NAMES
from tests.servers.authority import Authority
from tests.servers.http import server_context

QUERY = {"sql": "select 'lie'"}
MIB = 2**20
COLUMN = [my.column(b"a")]
FIRST_ROW = 4  # its packet's number: after the count, the column and the end of columns


def at(port: int, **changes):
    settings = {"host": "127.0.0.1", "port": port, "database": "d", "user": "u", "retry": {"attempts": 1}}
    return settings | {"password": SECRET, "tls": {"mode": "disable"}} | changes


# After the login -----------------------------------------------------------------------------------------------


def endless_rows(wire: Wire):
    wire.send(my.head_of(COLUMN))
    number = FIRST_ROW
    while True:
        wire.send(b"".join(my.packet(number + at, my.row([b"x" * 1000])) for at in range(64)))
        number += 64


def endless_empty_rows(wire: Wire):
    wire.send(my.head_of(COLUMN))
    number = FIRST_ROW
    while True:
        wire.send(b"".join(my.packet(number + at, my.row([None])) for at in range(256)))
        number += 256


def huge_cell(wire: Wire):
    """One value in packets of the largest size, each saying that another follows."""
    wire.send(my.head_of(COLUMN))
    number, chunk = FIRST_ROW, b"x" * 65536
    while True:
        wire.send(b"\xff\xff\xff" + bytes([number & 0xFF]))
        for _ in range(my.MOST // len(chunk)):
            wire.send(chunk)
        wire.send(chunk[: my.MOST % len(chunk)])
        number += 1


def huge_cell_that_never_comes(wire: Wire):
    wire.send(my.head_of(COLUMN) + b"\xff\xff\xff" + bytes([FIRST_ROW]) + b"\0\0")
    wire.silence()


def a_cell_longer_than_its_row(wire: Wire):
    wire.send(my.head_of(COLUMN) + my.packet(FIRST_ROW, b"\0\0\xfe" + struct.pack("<Q", 2**63) + b"x"))
    wire.silence()


def a_negative_length(wire: Wire):
    wire.send(my.head_of(COLUMN) + my.packet(FIRST_ROW, b"\0\0\xfe" + struct.pack("<q", -5) + b"x"))
    wire.silence()


def a_row_without_cells(wire: Wire):
    wire.send(my.head_of(COLUMN) + my.packet(FIRST_ROW, b"\0"))
    wire.silence()


def an_empty_packet(wire: Wire):
    wire.send(my.head_of(COLUMN) + my.packet(FIRST_ROW, b""))
    wire.silence()


def packets_out_of_order(wire: Wire):
    wire.send(my.head_of(COLUMN) + my.packet(99, my.row([b"x"])))
    wire.silence()


def invalid_utf8(wire: Wire):
    wire.send(my.result(COLUMN, [my.row([b"\xff\xfe\x80"])]))


def more_columns_than_described(wire: Wire):
    wire.send(my.packet(1, b"\xfc\xff\xff") + my.packet(2, my.column(b"a")) + my.packet(3, my.END))
    wire.silence()


def columns_without_end(wire: Wire):
    wire.send(my.packet(1, b"\xfe" + struct.pack("<Q", 2**62)))
    number = 2
    while True:
        wire.send(b"".join(my.packet(number + at, my.column(b"a")) for at in range(64)))
        number += 64


def no_more_than_ok(wire: Wire):
    wire.send(my.packet(1, my.OK))


def silence_before_a_row(wire: Wire):
    wire.send(my.head_of(COLUMN))
    wire.silence()


def drip_of_a_row(wire: Wire):
    wire.send(my.head_of(COLUMN))
    wire.drip(my.packet(FIRST_ROW, my.row([b"x" * 200])))


def reset_in_a_row(wire: Wire):
    wire.send(my.head_of(COLUMN) + my.packet(FIRST_ROW, my.row([b"x" * 100]))[:50])
    wire.reset()


def half_close_in_a_row(wire: Wire):
    wire.send(my.head_of(COLUMN) + my.packet(FIRST_ROW, my.row([b"x" * 100]))[:50])
    wire.half_close()


def error_that_repeats_the_password(wire: Wire):
    wire.send(my.packet(1, my.error(1105, b"the password was " + SECRET.encode())))


def error_without_end(wire: Wire):
    wire.send(my.packet(1, my.error(1105, b"x" * 3 * MIB)))


CONTENT = [
    (endless_rows, "ok"),
    (endless_empty_rows, "ok"),
    (huge_cell, "too_large"),
    (huge_cell_that_never_comes, "deadline"),
    (a_cell_longer_than_its_row, "protocol"),
    (a_negative_length, "protocol"),
    (a_row_without_cells, "protocol"),
    (an_empty_packet, "protocol"),
    (packets_out_of_order, "protocol"),
    (invalid_utf8, "ok"),
    (more_columns_than_described, "too_large"),
    (columns_without_end, "too_large"),
    (no_more_than_ok, "not_a_query"),
    (silence_before_a_row, "deadline"),
    (drip_of_a_row, "deadline"),
    (reset_in_a_row, "unreachable"),
    (half_close_in_a_row, "unreachable"),
    (error_that_repeats_the_password, "query"),
    (error_without_end, "query"),
]


@pytest.mark.parametrize(("lie", "code"), CONTENT, ids=[lie.__name__ for lie, _ in CONTENT])
def test_a_lie_after_the_login_costs_one_preview(runner, lie, code):
    with Liar(my.lying(lie)) as liar:
        # Half a gigabyte takes its time on a busy machine.
        outcome = attack(runner, "mysql", at(liar.port), QUERY, timeout=15 if lie is huge_cell else 2)
    assert outcome.code == code, outcome.told
    assert_unsaid(liar.heard)


@pytest.mark.parametrize("announced", [10_000, 65_535])
def test_ten_thousand_columns_are_too_many(runner, announced):
    def prepare(wire: Wire):
        wire.send(my.prepared([my.column(b"c")] * announced))

    def lie(wire: Wire):
        wire.send(my.result([my.column(b"c")] * announced, [my.row([b"x"] * announced)]))

    with Liar(my.lying(lie, prepare=prepare)) as liar:
        outcome = attack(runner, "mysql", at(liar.port), QUERY)
    assert outcome.code == "too_large", outcome.told


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"", "protocol"),
        (b"\0", "protocol"),
        (b"\0" + struct.pack("<IHHxH", 1, 65535, 65535, 9), "too_large"),
        (b"\0" + struct.pack("<IHHxH", 1, 9, 9, 9), "deadline"),  # sense, but not all of it
        (b"\xfb/etc/hostname", "protocol"),
    ],
    ids=repr,
)
def test_a_preparation_that_makes_no_sense_is_refused(runner, said, code):
    def prepare(wire: Wire):
        wire.send(my.packet(1, said))
        wire.silence()

    with Liar(my.lying(endless_rows, prepare=prepare)) as liar:
        outcome = attack(runner, "mysql", at(liar.port), QUERY, timeout=2)
    assert outcome.code == code, outcome.told
    assert_unsaid(liar.heard)


def test_a_server_is_told_that_no_file_is_sent(runner):
    said: list[bytes] = []

    def hear(wire: Wire):
        said.append(my.log_in(wire)[1])

    with Liar(hear) as liar:
        attack(runner, "mysql", at(liar.port), QUERY)
    assert all(not int.from_bytes(each[:4], "little") & CLIENT.LOCAL_FILES for each in said)
    assert said


def test_no_byte_of_a_file_that_could_be_read_leaves_though_files_were_offered(tmp_path, monkeypatch):
    """In this process, which may read it, with a driver that is set to send it: nobody here does as the server asks."""
    connect = Connection.__init__

    def offering(session: Connection, **settings: Any) -> None:
        connect(session, **settings | {"local_infile": True})

    monkeypatch.setattr(Connection, "__init__", offering)
    wanted = tmp_path / "wanted"
    wanted.write_text("CONTENT-OF-A-FILE")

    def ask(wire: Wire):
        wire.send(my.packet(1, b"\xfb" + str(wanted).encode()))
        wire.silence()

    for script, said in ((my.lying(ask), "asked for a file"), (my.lying(ask, prepare=ask), "")):
        with Liar(script) as liar, closing(InlineRunner()) as here:
            outcome = attack(here, "mysql", at(liar.port), QUERY, timeout=1)
        assert outcome.code == "protocol", outcome.told
        assert said in outcome.told
        assert b"CONTENT-OF-A-FILE" not in liar.heard


@pytest.mark.parametrize("where", ["execute", "prepare", "login", "first command"])
def test_no_byte_of_a_file_leaves_when_the_server_asks_for_one(runner, where, tmp_path):
    """The answer to any query may be a request for a file (LOCAL INFILE)."""
    wanted = tmp_path / "wanted"
    wanted.write_text("CONTENT-OF-A-FILE")
    request = b"\xfb" + str(wanted).encode()

    def ask(wire: Wire):
        wire.send(my.packet(1, request))
        wire.silence()

    def in_login(wire: Wire):
        number, _ = my.log_in(wire)
        wire.send(my.packet(number + 1, request))
        wire.silence()

    def in_first_command(wire: Wire):
        number, _ = my.log_in(wire)
        wire.send(my.packet(number + 1, my.OK))
        my.hear(wire)
        ask(wire)

    scripts = {
        "execute": my.lying(ask),
        "prepare": my.lying(ask, prepare=ask),
        "login": in_login,
        "first command": in_first_command,
    }
    with Liar(scripts[where]) as liar:
        outcome = attack(runner, "mysql", at(liar.port), QUERY)
    # PyMySQL does not look at the answer to its first command, and sends nothing: then it is the server's turn.
    assert outcome.code == ("deadline" if where == "first command" else "protocol"), outcome.told
    assert b"CONTENT-OF-A-FILE" not in liar.heard
    assert_unsaid(liar.heard)


def test_a_server_that_says_too_much_of_itself_is_not_listened_to(runner):
    def honest(wire: Wire):
        wire.send(my.result(COLUMN, [my.row([b"1"])]))

    with Liar(my.lying(honest, hello=my.greeting(version=b"8" * 5 * MIB))) as liar:
        outcome = attack(runner, "mysql", at(liar.port))
        assert outcome.code == "protocol", outcome.told[:500]
        assert len(outcome.told) < 100_000


def test_a_server_that_names_another_is_not_followed(runner):
    """MariaDB's redirects: in the welcome, in an error, as a variable of the session."""
    with Liar(lambda wire: wire.silence()) as other:
        place = b"mysql://127.0.0.1:%d/?user=u&ttl=0" % other.port
        tracked = b"\x01" + my.sized(my.sized(b"redirect_url") + my.sized(place))

        def welcoming(wire: Wire):
            number, _ = my.log_in(wire)
            wire.send(my.packet(number + 1, b"\0\0\0\2\x40\0\0" + my.sized(b"Location: " + place) + my.sized(tracked)))
            wire.silence()

        for script in (welcoming, my.asking(my.error(4178, b"Server is redirected to: " + place))):
            with Liar(script) as liar:
                assert attack(runner, "mysql", at(liar.port), QUERY, timeout=1.5).code != "ok"
        assert other.accepted == 0


def test_json_is_not_taken_on_the_servers_word(runner):
    forged = b'1]],"page":{"forged":true},"rows":[[1'

    def lie(wire: Wire):
        wire.send(my.result([my.column(b"a", my.JSON)], [my.row([forged])]))

    with Liar(my.lying(lie, [my.column(b"a", my.JSON)])) as liar:
        outcome = attack(runner, "mysql", at(liar.port), QUERY)
    assert outcome.code == "ok", outcome.told
    assert b'"page":{"forged"' not in outcome.body


def test_the_next_preview_is_none_the_worse(runner):
    def honest(wire: Wire):
        wire.send(my.result(COLUMN, [my.row([b"yes"])]))

    with Liar(my.lying(honest)) as liar:
        outcome = attack(runner, "mysql", at(liar.port), QUERY)
    assert (outcome.code, outcome.body) == ("ok", b'["yes"]'), outcome.told


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
