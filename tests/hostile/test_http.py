"""Lying HTTP servers: each costs one preview its time, and no header goes where it does not belong."""

import base64
import gzip
import json

import pytest

from tests.hostile.attack import SECRET, assert_unsaid, attack
from tests.hostile.liar import Liar, Wire
from tests.servers.authority import LOOPBACK as NAMES
from tests.servers.authority import Authority
from tests.servers.http import server_context

MIB = 2**20
QUERY = {"path": "x"}
ITEMS = {"language": "jsonpath", "expression": "$.items[*]"}
TOKEN = base64.b64encode(SECRET.encode()).decode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def at(port: int, *, scheme: str = "http", **changes):
    """Settings whose login is a header: the one that redirects are known to take along."""
    login = {"kind": "header", "name": "X-API-Key", "value": TOKEN}
    return {"base_url": f"{scheme}://127.0.0.1:{port}/v1", "auth": login, "retry": {"attempts": 1}} | changes


def ask(wire: Wire) -> bytes:
    """Hear one request's head."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += wire.read_some()
    return head


def answering(send):
    """A server that hears each request and then calls ``send``."""

    def script(wire: Wire) -> None:
        while True:
            ask(wire)
            send(wire)

    script.__name__ = send.__name__
    return script


def whole(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Type: application/json", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def accept_and_silence(wire: Wire):
    wire.silence()


def drip_of_the_head(wire: Wire):
    wire.drip(whole(b"[]"))


def drip_of_the_body(wire: Wire):
    wire.send(HEAD + b"Content-Length: 1000\r\n\r\n")
    wire.drip(b"[" + b" " * 1000)


def drip_of_chunks(wire: Wire):
    wire.send(CHUNKED)
    wire.drip(chunk(b"[") * 100)


def continues_without_end(wire: Wire):
    wire.forever(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


def one_header_without_end(wire: Wire):
    wire.send(b"HTTP/1.1 200 OK\r\nX: ")
    wire.forever(b"x" * 65536)


def headers_without_end(wire: Wire):
    wire.send(b"HTTP/1.1 200 OK\r\n")
    wire.forever(b"X: y\r\n" * 1000)


def body_without_end(wire: Wire):
    wire.send(HEAD + b"\r\n[")
    wire.forever(b'{"a":1},' * 1000)


def one_text_without_end(wire: Wire):
    wire.send(HEAD + b'\r\n["')
    wire.forever(b"x" * 65536)


def a_length_that_is_a_lie(wire: Wire):
    wire.send(HEAD + b"Content-Length: 700000000000\r\n\r\n[")
    wire.forever(b" " * 65536)


def a_negative_length(wire: Wire):
    wire.send(HEAD + b"Content-Length: -5\r\n\r\n[]")


def two_lengths(wire: Wire):
    wire.send(HEAD + b"Content-Length: 2\r\nContent-Length: 5\r\n\r\n[]")


def a_chunk_of_a_negative_size(wire: Wire):
    wire.send(CHUNKED + b"-5\r\nxxxxx\r\n")


def a_chunk_of_a_huge_size(wire: Wire):
    wire.send(CHUNKED + b"ffffffffffff\r\n")
    wire.forever(b"x" * 65536)


def extensions_of_a_chunk_without_end(wire: Wire):
    wire.send(CHUNKED + b"1;")
    wire.forever(b"x" * 65536)


def trailers_without_end(wire: Wire):
    wire.send(CHUNKED + chunk(b"[]") + b"0\r\n")
    wire.forever(b"X: y\r\n" * 1000)


def gzip_bomb(wire: Wire):
    wire.send(whole(_bomb(), b"Content-Encoding: gzip"))


def gzip_in_gzip(wire: Wire):
    wire.send(whole(gzip.compress(_bomb()), b"Content-Encoding: gzip, gzip"))


def gzip_in_gzip_said_twice(wire: Wire):
    wire.send(whole(gzip.compress(_bomb()), b"Content-Encoding: gzip", b"Content-Encoding: gzip"))


def brotli_that_nobody_asked_for(wire: Wire):
    wire.send(whole(b"\x5b\xff\xff\x03\x00", b"Content-Encoding: br"))


def zstd_that_nobody_asked_for(wire: Wire):
    wire.send(whole(b"\x28\xb5\x2f\xfd", b"Content-Encoding: zstd"))


def deep_json(wire: Wire):
    wire.send(whole(b"[" * 1_000_000))


def deep_objects(wire: Wire):
    wire.send(whole(b'{"a":' * 500_000))


def a_long_number(wire: Wire):
    wire.send(whole(b"[" + b"9" * 3_000_000 + b"]"))


def many_keys(wire: Wire):
    wire.send(whole(b"[{" + b",".join(b'"k%d":1' % n for n in range(100_000)) + b"}]"))


def invalid_utf8(wire: Wire):
    wire.send(whole(b'["\xff\xfe\x80"]'))


def reset_in_the_body(wire: Wire):
    wire.send(HEAD + b"Content-Length: 1000\r\n\r\n[1")
    wire.reset()


def half_close_in_the_body(wire: Wire):
    wire.send(HEAD + b"Content-Length: 1000\r\n\r\n[1")
    wire.half_close()


def half_close_in_the_head(wire: Wire):
    wire.send(HEAD)
    wire.half_close()


def two_answers_to_one_request(wire: Wire):
    wire.send(whole(b"[1]") + whole(b"[2]"))


def no_http(wire: Wire):
    wire.send(b"220 mail.example.com ESMTP\r\n")


def an_error_that_repeats_what_it_heard(wire: Wire):
    wire.send(whole(json.dumps({"error": TOKEN + SECRET}).encode(), status=b"400 " + TOKEN.encode()))


def _bomb() -> bytes:
    return gzip.compress(b"[" + b" " * (300 * MIB), compresslevel=1) if not _BOMB else _BOMB[0]


_BOMB: list[bytes] = []
_BOMB.append(_bomb())

LIES = [
    (accept_and_silence, "deadline"),
    (drip_of_the_head, "deadline"),
    (drip_of_the_body, "deadline"),
    (drip_of_chunks, "deadline"),
    (continues_without_end, "deadline"),
    (one_header_without_end, "protocol"),
    (headers_without_end, "protocol"),
    (body_without_end, "too_large"),
    (one_text_without_end, "too_large"),
    (a_length_that_is_a_lie, "too_large"),
    (a_negative_length, "protocol"),
    (two_lengths, "protocol"),
    (a_chunk_of_a_negative_size, "protocol"),
    (a_chunk_of_a_huge_size, "too_large"),
    (extensions_of_a_chunk_without_end, "protocol"),
    (trailers_without_end, "protocol"),
    (gzip_bomb, "too_large"),
    (gzip_in_gzip, "protocol"),
    (gzip_in_gzip_said_twice, "protocol"),
    (brotli_that_nobody_asked_for, "protocol"),
    (zstd_that_nobody_asked_for, "protocol"),
    (deep_json, "protocol"),
    (deep_objects, "protocol"),
    (a_long_number, "ok"),
    (many_keys, "too_large"),
    (invalid_utf8, "protocol"),
    (reset_in_the_body, "unreachable"),
    (half_close_in_the_body, "unreachable"),
    (half_close_in_the_head, "unreachable"),
    (two_answers_to_one_request, "ok"),
    (no_http, "protocol"),
    (an_error_that_repeats_what_it_heard, "query"),
]


@pytest.mark.parametrize(("lie", "code"), LIES, ids=[lie.__name__ for lie, _ in LIES])
def test_a_lie_costs_one_preview(runner, lie, code):
    with Liar(answering(lie)) as liar:
        outcome = attack(runner, "http_api", at(liar.port), QUERY, timeout=2)
    assert outcome.code == code, outcome.told
    assert TOKEN not in outcome.told


@pytest.mark.parametrize(
    "lie", [accept_and_silence, drip_of_the_head, headers_without_end, body_without_end, gzip_bomb, no_http]
)
def test_a_lie_costs_one_check(runner, lie):
    with Liar(answering(lie)) as liar:
        outcome = attack(runner, "http_api", at(liar.port, status_path="x"), timeout=2)
    assert outcome.code == dict(LIES)[lie], outcome.told
    assert TOKEN not in outcome.told


def test_lines_without_end_are_cut_at_the_limit(runner):
    def lines(wire: Wire):
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n")
        wire.forever(b'{"a":1}\n' * 1000)

    with Liar(answering(lines)) as liar:
        outcome = attack(runner, "http_api", at(liar.port), QUERY, limit=100)
    assert (outcome.code, outcome.fields["page"]["has_more"]) == ("ok", True)


# Where a server would send us ---------------------------------------------------------------------------------

AWAY = {
    "http://169.254.169.254/latest/meta-data/iam/security-credentials/": "egress_denied",
    "http://[fd00:ec2::254]/latest/": "egress_denied",
    "http://100.100.100.200/latest/meta-data/": "egress_denied",
    "http://metadata.google.internal/computeMetadata/v1/": "unreachable",
    "http://10.0.0.1/": "egress_denied",
    "http://192.168.1.1/": "egress_denied",
    "http://[::ffff:169.254.169.254]/": "egress_denied",
    "http://[64:ff9b::a9fe:a9fe]/": "egress_denied",
    "http://2852039166/": "invalid",
    "http://0xa9fea9fe/": "invalid",
    "http://0251.0376.0251.0376/": "protocol",
    "http://169.254.169.254.:80/": "invalid",
    "http://user:password@169.254.169.254/": "protocol",
    "//169.254.169.254/": "egress_denied",
    "file:///etc/passwd": "protocol",
    "gopher://127.0.0.1:70/x": "protocol",
    "ftp://127.0.0.1/x": "protocol",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/info": "protocol",
    "unix:/var/run/docker.sock": "protocol",
    "data:application/json,[1]": "protocol",
    "javascript:alert(1)": "protocol",
    "http:///x": "protocol",
    "http://": "protocol",
    "": "protocol",
}
"""Where no redirect leads, and how following one there ends."""
STATUSES = [b"301 Moved", b"302 Found", b"303 Other", b"307 Temporary", b"308 Permanent"]


@pytest.mark.parametrize("status", STATUSES)
def test_a_redirect_is_not_followed_unless_that_is_set(runner, status):
    def redirect(wire: Wire):
        wire.send(whole(b"", b"Location: http://127.0.0.1:%d/v1/y" % liar.port, status=status))

    with Liar(answering(redirect)) as liar:
        outcome = attack(runner, "http_api", at(liar.port), QUERY)
        assert (outcome.code, liar.accepted) == ("protocol", 1)
        assert bytes(liar.heard).count(b"GET ") == 1


@pytest.mark.parametrize("place", AWAY)
def test_a_redirect_leads_to_judged_addresses_only(runner, place):
    statuses = iter(STATUSES * 10)

    def redirect(wire: Wire):
        headers = (b"Location: " + place.encode(), b"Refresh: 0; url=" + place.encode())
        wire.send(whole(b"", *headers, status=next(statuses)))

    with Liar(answering(redirect)) as liar:
        outcome = attack(runner, "http_api", at(liar.port, follow_redirects=True), QUERY)
    assert outcome.code == AWAY[place], outcome.told


def test_a_refresh_is_not_followed(runner):
    def refresh(wire: Wire):
        wire.send(whole(b"[1]", b"Refresh: 0; url=http://127.0.0.1:%d/v1/y" % liar.port))

    with Liar(answering(refresh)) as liar:
        assert attack(runner, "http_api", at(liar.port, follow_redirects=True), QUERY).code == "ok"
        assert bytes(liar.heard).count(b"GET ") == 1


@pytest.mark.parametrize("place", AWAY)
@pytest.mark.parametrize("how", ["header", "body"])
def test_a_next_link_leads_to_judged_addresses_only(runner, place, how):
    def link(wire: Wire):
        body = json.dumps({"items": [{"a": 1}], "next": place}).encode()
        headers = [f'Link: <{place}>; rel="next"'.encode()] if how == "header" else []
        wire.send(whole(body, *headers))

    paging = {"kind": "link", **({} if how == "header" else {"next": "$.next"})}
    query = {"path": "x", "records": ITEMS, "paging": paging}
    with Liar(answering(link)) as liar:
        outcome = attack(runner, "http_api", at(liar.port, follow_redirects=True), query, limit=10)
    assert outcome.code == ("protocol" if place else "ok"), outcome.told
    if not place:  # a link to nowhere is the end
        assert outcome.fields["page"]["returned"] == 1


@pytest.mark.parametrize("how", ["redirect", "next link", "relative next link"])
def test_no_login_goes_to_another_origin(runner, how):
    def other_answer(wire: Wire):
        wire.send(whole(b'{"items": [{"a": 2}], "next": null}'))

    def here(wire: Wire):
        there = f"http://127.0.0.1:{other.port}/v1/x"
        if how == "redirect":
            wire.send(whole(b"", b"Location: " + there.encode(), status=b"307 Temporary"))
        else:
            link = there if how == "next link" else there.removeprefix("http:")
            wire.send(whole(json.dumps({"items": [{"a": 1}], "next": link}).encode()))

    query = {"path": "x", "records": ITEMS}
    query |= {} if how == "redirect" else {"paging": {"kind": "link", "next": "$.next"}}
    with Liar(answering(other_answer)) as other, Liar(answering(here)) as liar:
        settings = at(liar.port, follow_redirects=True, headers={"X-Tenant": "ours"})
        outcome = attack(runner, "http_api", settings, query, limit=10)
        assert outcome.code == ("ok" if how == "redirect" else "protocol"), outcome.told
        assert TOKEN.encode() in liar.heard
    assert TOKEN.encode() not in other.heard
    assert b"X-Tenant" not in other.heard


def test_a_circle_of_redirects_ends(runner):
    def redirect(wire: Wire):
        wire.send(whole(b"", b"Location: /v1/x", status=b"302 Found"))

    with Liar(answering(redirect)) as liar:
        outcome = attack(runner, "http_api", at(liar.port, follow_redirects=True), QUERY)
    assert outcome.code == "protocol"
    assert bytes(liar.heard).count(b"GET ") <= 6


def test_pages_without_end_are_cut_at_the_limit(runner):
    numbers = iter(range(10**9))

    def page(wire: Wire):
        wire.send(whole(json.dumps({"items": [{"a": 1}], "next": f"/v1/x?page={next(numbers)}"}).encode()))

    paging = {"kind": "link", "next": "$.next"}
    query = {"path": "x", "records": ITEMS, "paging": paging}
    with Liar(answering(page)) as liar:
        outcome = attack(runner, "http_api", at(liar.port), query, limit=50)
        assert (outcome.code, outcome.fields["page"]["returned"]) == ("ok", 50)
        assert attack(runner, "http_api", at(liar.port), query, limit=10_000, timeout=2).code == "deadline"


# TLS ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["self-signed", "wrong name", "expired", "another authority", "no TLS", "silence"])
def test_nothing_leaves_to_a_server_that_cannot_be_verified(runner, authority: Authority, kind):
    certificate = {
        "wrong name": lambda: authority.server("elsewhere.example"),
        "expired": lambda: authority.server(*NAMES, days=-1),
    }.get(kind, lambda: Authority().server(*NAMES))()
    context = server_context(certificate)

    def script(wire: Wire):
        if kind == "no TLS":
            wire.read_some()
            wire.send(whole(b"[]"))
        elif kind == "silence":
            wire.silence()
        else:
            wire.secure(context)
            ask(wire)

    with Liar(script) as liar:
        tls = {} if kind == "self-signed" else {"ca": authority.certificate}
        settings = at(liar.port, scheme="https", tls=tls)
        for query in (QUERY, None):
            outcome = attack(runner, "http_api", settings, query, timeout=2)
            assert outcome.code in ({"tls"} if kind != "silence" else {"deadline"}), outcome.told
    assert TOKEN.encode() not in liar.heard
    assert_unsaid(liar.heard)


def test_a_redirect_does_not_lose_tls(runner, authority: Authority):
    context = server_context(authority.server(*NAMES))

    def plain(wire: Wire):
        ask(wire)
        wire.send(whole(b"[1]"))

    def secured(wire: Wire):
        wire.secure(context)
        ask(wire)
        wire.send(whole(b"", b"Location: http://127.0.0.1:%d/v1/x" % other.port, status=b"302 Found"))

    with Liar(plain) as other, Liar(secured) as liar:
        settings = at(liar.port, scheme="https", tls={"ca": authority.certificate}, follow_redirects=True)
        assert attack(runner, "http_api", settings, QUERY).code == "protocol"
        assert other.accepted == 0
