"""Lying PostgreSQL servers: each costs one preview its time, and nothing else."""

import hashlib
import json
import socket
import struct
from contextlib import closing

import pytest

from connections.runner.supervisor import InlineRunner
from tests.hostile import postgresql as pg
from tests.hostile.attack import SECRET, assert_unsaid, attack
from tests.hostile.liar import Liar, Wire
from tests.servers.authority import LOOPBACK as NAMES
from tests.servers.authority import Authority
from tests.servers.http import server_context

QUERY = {"sql": "select a from t"}
MIB = 2**20


def at(port: int, **changes):
    """Settings without a password: the liar lets everybody in."""
    settings = {"host": "127.0.0.1", "port": port, "database": "d", "user": "u", "retry": {"attempts": 1}}
    return settings | {"tls": {"mode": "disable"}} | changes


# After the login -----------------------------------------------------------------------------------------------


def endless_rows(wire: Wire):
    wire.forever(pg.row([b"x" * 1000]) * 64)


def endless_rows_without_bytes(wire: Wire):
    wire.forever(pg.row([None]) * 4096)


def huge_cell(wire: Wire):
    size = 700 * MIB
    wire.send(b"D" + struct.pack("!iHi", size + 10, 1, size))
    wire.forever(b"x" * 65536)


def huge_cell_that_never_comes(wire: Wire):
    wire.send(b"D" + struct.pack("!iHi", 2**31 - 1, 1, 2**31 - 20))
    wire.silence()


def endless_notices(wire: Wire):
    wire.forever(pg.notice(b"x" * 1000) * 64)


def one_huge_notice(wire: Wire):
    wire.send(b"N" + struct.pack("!i", 1024 * MIB) + b"SNOTICE\0M")
    wire.forever(b"x" * 65536)


def endless_settings(wire: Wire):
    wire.forever(pg.message(b"S", b"TimeZone\0" + b"x" * 1000 + b"\0") * 64)


def negative_length_of_a_message(wire: Wire):
    wire.send(b"D" + struct.pack("!i", -5))
    wire.silence()


def negative_length_of_a_cell(wire: Wire):
    wire.send(pg.message(b"D", struct.pack("!Hi", 1, -7)))
    wire.silence()


def a_cell_longer_than_its_row(wire: Wire):
    wire.send(pg.message(b"D", struct.pack("!Hi", 1, 4000) + b"x"))
    wire.silence()


def more_cells_than_columns(wire: Wire):
    wire.send(pg.row([b"x"] * 900) + pg.complete())


def fewer_cells_than_columns(wire: Wire):
    wire.send(pg.row([]) + pg.complete())


def messages_out_of_order(wire: Wire):
    wire.send(pg.READY + pg.message(b"1") + pg.row([b"x"]) + pg.message(b"2") + pg.complete())


def a_second_welcome(wire: Wire):
    wire.send(pg.WELCOME + pg.authentication(3))


def copy_in(wire: Wire):
    wire.send(pg.message(b"G", struct.pack("!bH", 0, 0)))
    wire.silence()


def copy_out_without_end(wire: Wire):
    wire.send(pg.message(b"H", struct.pack("!bH", 0, 0)))
    wire.forever(pg.message(b"d", b"x" * 1000) * 64)


def unknown_message(wire: Wire):
    wire.send(pg.message(b"?", b"what"))
    wire.silence()


def invalid_utf8(wire: Wire):
    wire.send(pg.row([b"\xff\xfe\x80"]) + pg.complete())


def text_in_an_integer(wire: Wire):
    wire.send(pg.row([b"not a number"]) + pg.complete())


def silence_before_a_row(wire: Wire):
    wire.silence()


def drip_of_a_row(wire: Wire):
    wire.drip(pg.row([b"x" * 1000]))


def reset_in_a_row(wire: Wire):
    wire.send(pg.row([b"x" * 100])[:50])
    wire.reset()


def half_close_in_a_row(wire: Wire):
    wire.send(pg.row([b"x" * 100])[:50])
    wire.half_close()


def error_without_end(wire: Wire):
    wire.send(pg.error(b"XX000", b"x" * 3 * MIB))


def deep_array(wire: Wire):
    wire.send(pg.row([b"{" * 200_000]) + pg.complete())


def json_that_would_end_the_answer(wire: Wire):
    wire.send(pg.row([b'1]],"page":{"forged":true},"rows":[[1']) + pg.complete())


def deep_json(wire: Wire):
    wire.send(pg.row([b"[" * 500_000]) + pg.complete())


def bits_without_end(wire: Wire):
    wire.send(pg.row([b"1" * 900_000]) + pg.complete())


CONTENT = [
    (endless_rows, "deadline"),
    (endless_rows_without_bytes, "deadline"),
    (huge_cell, "too_large"),
    (huge_cell_that_never_comes, "too_large"),
    (endless_notices, "deadline"),
    (one_huge_notice, "too_large"),
    (endless_settings, "deadline"),
    (negative_length_of_a_message, "protocol"),
    (negative_length_of_a_cell, "deadline"),
    (a_cell_longer_than_its_row, "deadline"),
    (more_cells_than_columns, "protocol"),
    (fewer_cells_than_columns, "protocol"),
    (messages_out_of_order, "ok"),  # an early end is an end
    (a_second_welcome, "protocol"),
    (copy_in, "protocol"),
    (copy_out_without_end, "protocol"),
    (unknown_message, "deadline"),
    (invalid_utf8, "protocol"),
    (silence_before_a_row, "deadline"),
    (drip_of_a_row, "deadline"),
    (reset_in_a_row, "unreachable"),
    (half_close_in_a_row, "unreachable"),
    (error_without_end, "query"),
]


@pytest.mark.parametrize(("lie", "code"), CONTENT, ids=[lie.__name__ for lie, _ in CONTENT])
def test_a_lie_after_the_login_costs_one_preview(runner, lie, code):
    with Liar(pg.lying(lie)) as liar:
        outcome = attack(runner, "postgresql", at(liar.port), QUERY)
    assert outcome.code == code, outcome.told


def test_a_type_that_its_values_do_not_have_is_a_protocol_error(runner):
    with Liar(pg.lying(text_in_an_integer, [(b"a", pg.INT4)])) as liar:
        assert attack(runner, "postgresql", at(liar.port), QUERY).code == "protocol"


def test_ten_thousand_columns_are_too_many(runner):
    described = [(b"c%d" % number, pg.TEXT) for number in range(10_000)]

    def lie(wire: Wire):
        wire.send(pg.row([b"x"] * 10_000) + pg.complete())

    with Liar(pg.lying(lie, described)) as liar:
        outcome = attack(runner, "postgresql", at(liar.port), QUERY)
    assert outcome.code == "too_large", outcome.told


@pytest.mark.parametrize(
    ("lie", "oid", "code"),
    [
        (deep_array, pg.TEXTS, "protocol"),
        (json_that_would_end_the_answer, pg.JSON, "ok"),
        (deep_json, pg.JSON, "ok"),
        (bits_without_end, pg.BITS, "ok"),
    ],
    ids=["deep_array", "json_that_would_end_the_answer", "deep_json", "bits_without_end"],
)
@pytest.mark.parametrize("format_", ["json", "ndjson"])
def test_a_value_breaks_no_answer(runner, lie, oid, code, format_):
    with Liar(pg.lying(lie, [(b"a", oid)])) as liar:
        outcome = attack(runner, "postgresql", at(liar.port), QUERY, format=format_)
    assert outcome.code == code, outcome.told
    if code == "ok":
        rows = json.loads(b"[" + outcome.body + b"]" if format_ == "json" else outcome.body)
        assert "forged" not in rows
        assert len(rows) == 1


@pytest.mark.parametrize("rows", [[b"99999", b"me", b"b", b"99999"], [b"99999", b"me", b"d", b"99999"]], ids=str)
def test_a_type_that_is_made_of_itself_does_not_end_the_worker(runner, rows):
    oid, name, kind, other = rows
    row = pg.row([oid, name, kind, other, other, b",", b"t" if kind == b"b" else b"f", None, None])

    def lie(wire: Wire):
        wire.send(pg.row([b"{x}"]) + pg.complete())

    with Liar(pg.lying(lie, [(b"a", 99_999)], types=row)) as liar:
        outcome = attack(runner, "postgresql", at(liar.port), QUERY)
    assert outcome.code == "ok", outcome.told


def test_a_catalogue_of_types_without_end_ends_in_time(runner):
    """Each type is said to be made of another one that is not known either."""
    oids = iter(range(100_000, 2**31))

    def types() -> bytes:
        oid = next(oids)
        return pg.row([b"%d" % oid, b"t", b"d", b"0", b"%d" % (oid + 1), b",", b"f", None, None])

    with Liar(pg.lying(invalid_utf8, [(b"a", 100_000)], types=types)) as liar:
        outcome = attack(runner, "postgresql", at(liar.port), QUERY)
    assert outcome.code == "deadline", outcome.told


def test_names_without_end_are_too_large(runner):
    def lie(wire: Wire):
        wire.send(pg.row([b"x"] * 3) + pg.complete())

    with Liar(pg.lying(lie, [(b"x" * MIB, pg.TEXT)] * 3)) as liar:
        outcome = attack(runner, "postgresql", at(liar.port), QUERY)
    assert outcome.code == "too_large", outcome.told


def test_a_server_that_says_too_much_of_itself_is_not_listened_to(runner):
    welcome = pg.WELCOME.replace(
        pg.message(b"S", b"server_version\0" + b"17.2\0"),
        pg.message(b"S", b"server_version\0" + b"1" * 5 * MIB + b"\0"),
    )

    def honest(wire: Wire):
        wire.send(pg.row([b"1"]) + pg.complete())

    with Liar(pg.lying(honest, welcome=welcome)) as liar:
        outcome = attack(runner, "postgresql", at(liar.port))
        assert outcome.code == "protocol", outcome.told[:500]
        assert len(outcome.told) < 100_000


def test_an_export_of_rows_without_end_is_cut_at_its_budget(runner):
    with Liar(pg.lying(endless_rows)) as liar:
        outcome = attack(runner, "postgresql", at(liar.port), QUERY, limit=10_000, format="ndjson")
    assert outcome.code == "deadline", outcome.told


def test_the_next_preview_is_none_the_worse(runner):
    def honest(wire: Wire):
        wire.send(pg.row([b"yes"]) + pg.complete())

    with Liar(pg.lying(honest)) as liar:
        outcome = attack(runner, "postgresql", at(liar.port), QUERY)
    assert (outcome.code, outcome.size > 0) == ("ok", True)


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
