"""The far side at its worst. Every failure here is what the real client raised against a real socket."""

import gzip
import logging
import socket
import struct
import threading
import time
import tracemalloc
import zlib
from typing import Any

import pytest

from connections.adapters import tls
from connections.adapters.egress import EgressPolicy, Opening
from connections.adapters.errors import (
    AdapterError,
    DeadlineError,
    EgressDeniedError,
    InvalidError,
    ProtocolError,
    TLSError,
    TooLargeError,
    TransientError,
    UnreachableError,
)
from connections.adapters.limits import Deadline
from tests.adapters.http.support import Preview, check, closed_port, connect, once
from tests.servers.authority import LOOPBACK, Authority
from tests.servers.http import TOKEN, OrderAPI, RawServer, Reply, drip, read_request
from tests.servers.tls import loose_ssl, old_context

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def answering(text: bytes):
    def script(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(text)

    return script


# Time ---------------------------------------------------------------------------------------------------------------


def silent(sock: socket.socket) -> None:
    read_request(sock)
    time.sleep(20)


def dripping_head(sock: socket.socket) -> None:
    read_request(sock)
    drip(sock, HEAD * 20)


def dripping_body(sock: socket.socket) -> None:
    read_request(sock)
    sock.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
    drip(sock, b"[" * 1000)


def dripping_chunks(sock: socket.socket) -> None:
    read_request(sock)
    sock.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    drip(sock, b"1\r\n[\r\n" * 1000)


def endless_continue(sock: socket.socket) -> None:
    read_request(sock)
    while True:
        sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.01)


@pytest.mark.parametrize("script", [silent, dripping_head, dripping_body, dripping_chunks, endless_continue])
def test_one_deadline_holds_however_slowly_bytes_come(script):
    with RawServer(script) as server:
        started = time.monotonic()
        with pytest.raises(DeadlineError):
            Preview(connect(server.url), {}, seconds=0.8)
        assert time.monotonic() - started < 1.5


def test_a_handshake_that_drips_ends_at_the_connect_timeout_or_the_deadline():
    def script(sock: socket.socket) -> None:
        sock.recv(65536)
        drip(sock, b"\x16\x03\x03\x40\x00" + b"\x02" * 200)

    with RawServer(script) as server:
        secure = server.url.replace("http:", "https:")
        started = time.monotonic()
        with pytest.raises(DeadlineError):
            Preview(connect(secure), {}, seconds=0.8)
        assert time.monotonic() - started < 1.5
        with pytest.raises(UnreachableError) as caught:
            Preview(once(secure, connect_timeout=1), {}, seconds=10)
        assert caught.value.step == "tls"
        assert time.monotonic() - started < 4


def test_a_request_that_is_not_taken_ends_at_the_deadline():
    def script(sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        time.sleep(20)

    query = {"method": "POST", "body": {"text": "x" * 20_000_000}}
    with RawServer(script) as server, pytest.raises(DeadlineError):
        Preview(connect(server.url, allow_post=True), query, seconds=0.8)


# Size ---------------------------------------------------------------------------------------------------------------


def endless(sock: socket.socket) -> None:
    read_request(sock)
    sock.sendall(HEAD + b"\r\n[")
    while True:
        sock.sendall(b"1," * 100_000)


def declared(sock: socket.socket) -> None:
    read_request(sock)
    sock.sendall(HEAD + b"Content-Length: 999999999999\r\n\r\n")
    while True:
        sock.sendall(b"1," * 100_000)


def packed(megabytes: int) -> bytes:
    """A gzip of so many megabytes of spaces, made without having them."""
    packer = zlib.compressobj(wbits=31)
    return b"".join(packer.compress(b" " * 1_000_000) for _ in range(megabytes)) + packer.flush()


BOMB = packed(600)


def bomb(sock: socket.socket) -> None:
    read_request(sock)
    sock.sendall(HEAD + b"Content-Encoding: gzip\r\n\r\n" + BOMB)


def endless_line(sock: socket.socket) -> None:
    read_request(sock)
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n")
    while True:
        sock.sendall(b"1" * 100_000)


@pytest.mark.parametrize("script", [endless, declared, bomb, endless_line])
def test_an_answer_ends_at_its_budget_and_not_in_memory(script):
    with RawServer(script) as server:
        adapter = connect(server.url, max_answer_mb=2)
        adapter.connect(Deadline.after(5))
        tracemalloc.start()
        try:
            with pytest.raises(TooLargeError, match="more than 2 MB"):
                Preview(adapter, {}, seconds=20)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 16 * 2**20


def test_a_bomb_inside_a_bomb_stays_packed():
    inner = gzip.compress(BOMB)
    for coding in (b"gzip, gzip", b"br", b"zstd", b"deflate"):
        reply = HEAD + b"Content-Encoding: " + coding + b"\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner
        with RawServer(answering(reply)) as server, pytest.raises(ProtocolError):
            Preview(connect(server.url), {})


@pytest.mark.parametrize("cut", [5, 30, -4])
def test_gzip_that_is_broken_or_cut_is_a_protocol_error(cut):
    body = gzip.compress(b"[1, 2, 3]" * 50)[:cut]
    for text in (body, b"no gzip at all"):
        reply = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(text) + text
        with RawServer(answering(reply)) as server, pytest.raises(ProtocolError, match="gzip"):
            Preview(connect(server.url), {})


def test_gzip_may_have_several_members():
    body = gzip.compress(b"[1,") + gzip.compress(b"2]")
    reply = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with RawServer(answering(reply)) as server:
        assert Preview(connect(server.url), {}).rows == [[1], [2]]


def test_a_head_without_end_is_a_protocol_error():
    def script(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(HEAD)
        while True:
            sock.sendall(b"X-Filler: " + b"x" * 1000 + b"\r\n")

    with RawServer(script) as server, pytest.raises(ProtocolError):
        Preview(connect(server.url), {})


# Broken conversations -----------------------------------------------------------------------------------------------


def hang_up(sock: socket.socket) -> None:
    read_request(sock)


def reset(sock: socket.socket) -> None:
    read_request(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    "script",
    [
        hang_up,
        reset,
        answering(HEAD + b"Content-Length: 100\r\n\r\n[1,"),
        answering(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n[1,2"),
    ],
)
def test_a_connection_that_ends_early_is_transient(script):
    with RawServer(script) as server:
        with pytest.raises(UnreachableError):
            Preview(connect(server.url, retry={"attempts": 2, "delay": 0}), {})
        assert server.accepted == 2


@pytest.mark.parametrize(
    "text",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"220 mail.example ESMTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
    ],
)
def test_what_is_not_http_is_a_protocol_error(text):
    with RawServer(answering(text)) as server, pytest.raises(ProtocolError, match="HTTP"):
        Preview(connect(server.url), {})


def test_a_refused_connection_and_an_unknown_name_are_unreachable():
    with pytest.raises(UnreachableError, match="refused") as caught:
        Preview(once(f"http://127.0.0.1:{closed_port()}"), {})
    assert (caught.value.field, caught.value.step) == ("/config/base_url", "connect")
    with pytest.raises(UnreachableError) as caught:
        Preview(once("http://nowhere.invalid"), {})
    assert (caught.value.field, caught.value.step) == ("/config/base_url", "resolve")


# Egress -------------------------------------------------------------------------------------------------------------


def test_an_address_that_may_not_be_reached_gets_no_packet(api):
    with pytest.raises(EgressDeniedError) as caught:
        Preview(connect(api.url, egress=EgressPolicy()), {})
    assert caught.value.field == "/config/base_url"
    assert api.seen == []


def test_every_address_of_a_name_is_judged_at_every_connection(api):
    answers = [["127.0.0.1"], ["127.0.0.1", "169.254.169.254"]]
    asked = []

    def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    adapter = once(f"http://api.example:{api.port}/v1", egress=EgressPolicy(loopback=True, resolver=resolver))
    assert Preview(adapter, {"path": "all"}, limit=1).rows
    assert api.seen[0].headers["host"] == f"api.example:{api.port}"
    adapter.close()
    with pytest.raises(EgressDeniedError):
        Preview(adapter, {"path": "all"})
    assert len(api.seen) == 1


def test_proxies_netrc_and_certificates_of_the_environment_are_not_used(secure_api, authority, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login ambient password CANARY")
    (tmp_path / "ca.pem").write_text(authority.certificate)
    proxy = f"http://127.0.0.1:{closed_port()}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, str(tmp_path / "ca.pem"))
    with pytest.raises(TLSError):
        Preview(connect(secure_api.url), {"path": "me"})
    assert Preview(connect(secure_api.url, tls={"ca": authority.certificate}), {"path": "me"}).rows == [["reader"]]
    assert "authorization" not in secure_api.seen[0].headers


def test_cookies_are_not_kept(api):
    api.routes["/v1/x"] = lambda seen: Reply.json([1], Set_Cookie="session=1; Path=/")
    adapter = connect(api.url)
    for _ in range(2):
        Preview(adapter, {"path": "x"})
        assert adapter.reset()
    assert "cookie" not in api.seen[1].headers


def test_a_connection_is_used_again_and_one_that_ended_is_not(api):
    adapter = connect(api.url)
    for _ in range(3):
        Preview(adapter, {"path": "all"})
    assert api.connections == 1
    Preview(adapter, {"path": "lines"}, limit=1)
    Preview(adapter, {"path": "all"})
    assert api.connections <= 2
    adapter.close()
    adapter.close()
    assert not adapter.reset()


# TLS ----------------------------------------------------------------------------------------------------------------


def test_a_trusted_certificate_is_accepted_and_told(secure_api, authority):
    adapter = connect(secure_api.url, tls={"ca": authority.certificate})
    assert Preview(adapter, {"path": "me"}).rows == [["reader"]]
    steps, error = check(adapter)
    assert error is None
    detail = next(step.detail for step in steps if step.name == "tls")
    assert detail is not None
    assert detail.startswith("TLSv1.3")
    assert "expires 20" in detail
    assert adapter.notices() == []


@pytest.mark.parametrize(
    ("names", "days", "trusted", "words"),
    [
        (LOOPBACK, 1, False, "unable to get local issuer|self.signed"),
        (("elsewhere.example",), 1, True, "mismatch"),
        (LOOPBACK, -1, True, "expired"),
    ],
)
def test_a_certificate_that_is_unknown_expired_or_anothers_is_refused(authority, names, days, trusted, words):
    ca = (authority if trusted else Authority("Another")).certificate
    with OrderAPI(authority.server(*names, days=days)) as api:
        for read in (lambda a: Preview(a, {"path": "me"}), lambda a: raising(check(a)[1])):
            with pytest.raises(TLSError, match=words) as caught:
                read(connect(api.url, tls={"ca": ca}, auth={"kind": "bearer", "token": TOKEN}))
            assert caught.value.step == "tls"
        assert api.seen == []


def raising(error: AdapterError | None) -> None:
    if error is not None:
        raise error


def test_without_verification_a_notice_says_so(authority):
    with OrderAPI(authority.server("elsewhere.example")) as api:
        adapter = connect(api.url, tls={"mode": "require"})
        assert Preview(adapter, {"path": "me"}).rows == [["reader"]]
        assert [notice.code for notice in adapter.notices()] == ["tls_unverified"]


def test_a_name_is_checked_though_the_address_is_pinned(authority):
    policy = EgressPolicy(loopback=True, resolver=lambda host, port: ["127.0.0.1"])
    with OrderAPI(authority.server("api.example")) as api:
        settings: dict[str, Any] = {"tls": {"ca": authority.certificate}, "egress": policy}
        good = connect(f"https://api.example:{api.port}/v1", **settings)
        assert Preview(good, {"path": "me"}).rows == [["reader"]]
        with pytest.raises(TLSError, match="mismatch"):
            Preview(connect(f"https://other.example:{api.port}/v1", **settings), {"path": "me"})


def test_a_client_certificate_is_shown_where_it_is_asked_for(authority, tmp_path):
    client = authority.client("reader")
    mine = {"certificate": client.certificate, "key": client.key}
    with OrderAPI(authority.server(*LOOPBACK), client_authority=authority.certificate) as api:
        adapter = connect(api.url, tls={"ca": authority.certificate, **mine})
        assert Preview(adapter, {"path": "me"}).rows == [["reader"]]
        with pytest.raises(TLSError, match="client certificate") as caught:
            Preview(connect(api.url, tls={"ca": authority.certificate}), {"path": "me"})
        assert caught.value.field == "/secrets/tls/certificate"
        with pytest.raises((TLSError, InvalidError)) as broken:
            Preview(connect(api.url, tls={"ca": authority.certificate, **mine, "key": "CANARY"}), {"path": "me"})
        assert "CANARY" not in str(broken.value)


def test_https_to_a_server_without_tls_is_a_tls_error(api):
    with pytest.raises(TLSError):
        Preview(connect(api.url.replace("http:", "https:")), {"path": "me"})


def test_old_tls_is_refused_though_the_library_would_speak_it(authority, monkeypatch):
    monkeypatch.setattr(tls, "ssl", loose_ssl)
    context = old_context(authority.server(*LOOPBACK))
    with RawServer(answering(b""), context) as server, pytest.raises(TLSError):
        Preview(connect(server.url, tls={"ca": authority.certificate}), {})


# Redirects ----------------------------------------------------------------------------------------------------------

LOGIN: dict[str, Any] = {
    "auth": {"kind": "header", "name": "X-API-Key", "value": "CANARY"},
    "headers": {"X-Tenant": "CANARY"},
}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed_unless_asked(api, status):
    api.routes["/v1/x"] = lambda seen: Reply(status, b"", {"Location": f"{api.url}/all"})
    with pytest.raises(ProtocolError, match="redirects") as caught:
        Preview(connect(api.url), {"path": "x"})
    assert caught.value.field == "/config/base_url"
    assert len(api.seen) == 1
    assert len(Preview(connect(api.url, follow_redirects=True), {"path": "x"}).rows) == 40


def test_a_redirect_elsewhere_takes_no_login_along(api):
    with OrderAPI() as other:  # another port is another origin
        api.routes["/v1/x"] = lambda seen: Reply(302, b"", {"Location": f"{other.url}/all", "Set-Cookie": "a=1"})
        adapter = connect(api.url, follow_redirects=True, **LOGIN)
        assert len(Preview(adapter, {"path": "x", "params": {"q": "1"}}).rows) == 40
        assert api.seen[0].headers["x-api-key"] == "CANARY"
        assert "CANARY" not in repr(other.seen)
        assert "cookie" not in other.seen[0].headers
        assert Preview(adapter, {"path": "all"}).rows
        assert api.seen[-1].headers["x-tenant"] == "CANARY"


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "//169.254.169.254/x",
        "http://2130706433/",
        "http://[::ffff:169.254.169.254]/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "http://user:pw@127.0.0.1/",
        "http://",
        "http://exa mple/",
        "",
    ],
)
def test_redirects_lead_to_judged_http_addresses_only(api, location):
    api.routes["/v1/x"] = lambda seen: Reply(302, b"", {"Location": location})
    with pytest.raises((EgressDeniedError, ProtocolError, InvalidError)):
        Preview(connect(api.url, follow_redirects=True, **LOGIN), {"path": "x"})


def test_redirects_end_do_not_lose_tls_and_do_not_repeat_a_post(api, secure_api, authority):
    api.routes["/v1/x"] = lambda seen: Reply(302, b"", {"Location": "/v1/x"})
    with pytest.raises(ProtocolError, match="five"):
        Preview(connect(api.url, follow_redirects=True), {"path": "x"})
    assert len(api.seen) == 6
    api.routes["/v1/x"] = lambda seen: Reply(307, b"", {"Location": "/v1/all"})
    with pytest.raises(ProtocolError, match="POST"):
        Preview(connect(api.url, follow_redirects=True, allow_post=True), {"path": "x", "method": "POST"})
    secure_api.routes["/v1/x"] = lambda seen: Reply(302, b"", {"Location": f"{api.url}/all"})
    with pytest.raises(ProtocolError, match="without TLS"):
        Preview(connect(secure_api.url, follow_redirects=True, tls={"ca": authority.certificate}), {"path": "x"})


# Secrets ------------------------------------------------------------------------------------------------------------


def test_no_message_or_log_line_has_a_secret_or_a_url(authority, caplog):
    caplog.set_level(logging.DEBUG)
    failures = []
    refusals = [
        lambda seen: Reply.json({"error": repr(seen)}, 401),
        lambda seen: Reply.json({"error": repr(seen)}, 500),
        lambda seen: Reply(200, repr(seen).encode()),
        lambda seen: Reply(302, b"", {"Location": f"/{seen.headers['authorization']}?key=CANARY"}),
    ]
    for auth in ({"kind": "basic", "user": "u", "password": "CANARY"}, {"kind": "bearer", "token": "CANARY"}):
        with OrderAPI() as api:
            for refusal in refusals:
                api.routes["/v1/x"] = refusal
                adapter = once(api.url, auth=auth)
                with pytest.raises(AdapterError) as caught:
                    Preview(adapter, {"path": "x", "params": {"key": "CANARY-PARAM"}})
                failures += [caught.value, repr(adapter), repr(adapter.config), repr(vars(caught.value))]
        for base in (f"http://127.0.0.1:{closed_port()}", f"https://127.0.0.1:{api.port}"):
            with pytest.raises(AdapterError) as caught:
                Preview(once(base, auth=auth), {"params": {"key": "CANARY-PARAM"}})
            failures.append(caught.value)
    shown = " ".join(map(str, failures)) + caplog.text
    for part in ("CANARY", "Q0FOQVJZ", "dTpDQU5BUlk=", "?key="):
        assert part not in shown


def test_unix_sockets_and_other_openings_are_no_way_around(api):
    client = connect(api.url).client
    with pytest.raises(TransientError):
        client.network.connect_unix_socket("/run/docker.sock")
    assert type(client._home._pool._network_backend) is type(client.network)
    own = EgressPolicy(loopback=True, own=(Opening.parse(f"127.0.0.1/32:{api.port}"),))
    with pytest.raises(EgressDeniedError):
        Preview(connect(api.url, egress=own), {})


def test_two_adapters_in_two_threads_keep_their_own_deadlines():
    with RawServer(silent) as server, OrderAPI() as api:
        ended = []

        def wait() -> None:
            started = time.monotonic()
            with pytest.raises(DeadlineError):
                Preview(connect(server.url), {}, seconds=0.5)
            ended.append(time.monotonic() - started)

        thread = threading.Thread(target=wait)
        thread.start()
        assert len(Preview(connect(api.url), {"path": "all"}).rows) == 40
        thread.join(5)
        assert ended
        assert ended[0] < 1.5
