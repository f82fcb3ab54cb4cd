"""The far side at its worst. Every failure here is what the real client raised against a real socket."""

import gzip
import logging
import socket
import struct
import threading
import time
import tracemalloc
import zlib

import pytest

from connections.adapters.egress import EgressPolicy, Opening
from connections.adapters.errors import (
    AdapterError,
    DeadlineError,
    EgressDeniedError,
    ProtocolError,
    TooLargeError,
    TransientError,
    UnreachableError,
)
from connections.adapters.limits import Deadline
from tests.adapters.http.support import HEAD, Preview, answering, closed_port, connect, once
from tests.servers.http import OrderAPI, RawServer, Reply, drip, read_request

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
