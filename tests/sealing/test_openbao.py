"""The client that asks the deployment's vault, against servers that lie: it ends in time and tells no secret."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from connections.sealing.openbao import MAX_BYTES, OpenBao, OpenBaoError
from tests.servers.http import RawServer, drip, read_request
from tests.servers.openbao import OpenBao as Server

TOKEN = "s.C4n4ry-token"
Script = Callable[[socket.socket], None]


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATALOG_VAULT_TOKEN", TOKEN)


def answer(status: str, body: bytes = b"", *more: bytes) -> Script:
    def script(sock: socket.socket) -> None:
        read_request(sock)
        head = [b"HTTP/1.1 " + status.encode(), b"Content-Length: %d" % len(body), *more]
        sock.sendall(b"\r\n".join(head) + b"\r\n\r\n" + body)

    return script


def silent(sock: socket.socket) -> None:
    read_request(sock)
    sock.recv(1)


def dripping(sock: socket.socket) -> None:
    read_request(sock)
    drip(sock, b"HTTP/1.1 200 OK\r\n" + b"X-More: 1\r\n" * 90, 0.05)


def endless(sock: socket.socket) -> None:
    read_request(sock)
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
    while True:
        sock.sendall(b"x" * 65536)


def refused(script: Script, timeout: float = 1.0) -> OpenBaoError:
    with RawServer(script) as server, pytest.raises(OpenBaoError) as caught:
        OpenBao(server.url, timeout=timeout).ask("GET", "secret/data/acme")
    assert TOKEN not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("script", "told", "transient"),
    [
        (answer("301 Moved", b"", b"Location: http://127.0.0.1:1/"), "a redirect, which is not followed", False),
        (answer("307 Moved", b"", b"Location: /v1/other"), "a redirect, which is not followed", False),
        (answer("503 Sealed", b'{"errors":[]}'), "not ready: it answered 503", True),
        (answer("429 Standby"), "not ready: it answered 429", True),
        (answer("200 OK", b"<html>"), "does not speak Vault's language", False),
        (answer("200 OK", b"[]"), "does not speak Vault's language", False),
        (answer("200 OK", b"x" * (MAX_BYTES + 1)), "answered with over 1024 KB", False),
        (lambda sock: sock.sendall(b"SSH-2.0-x\r\n\r\n"), "could not be reached", True),
        (lambda sock: sock.close(), "could not be reached", True),
        (endless, "answered with over 1024 KB", False),
    ],
)
def test_an_answer_that_is_none_is_one_error(script: Script, told: str, transient: bool) -> None:
    error = refused(script)
    assert told in error.message
    assert error.transient is transient


@pytest.mark.parametrize("script", [silent, dripping])
def test_a_server_that_takes_its_time_is_left_at_the_deadline(script: Script) -> None:
    started = time.monotonic()
    error = refused(script, timeout=0.4)
    assert time.monotonic() - started < 1.5
    assert error.transient
    until = time.monotonic() + 3
    while any(thread.name == "catalog-openbao" for thread in threading.enumerate()):
        assert time.monotonic() < until, "The thread that asked ends too."
        time.sleep(0.05)


def test_the_earlier_of_two_deadlines_counts() -> None:
    started = time.monotonic()
    with RawServer(silent) as server, pytest.raises(OpenBaoError, match="in time"):
        OpenBao(server.url, timeout=30).ask("GET", "x", until=started + 0.3)
    assert time.monotonic() - started < 1.5


def test_an_answer_under_500_is_given_with_its_status() -> None:
    for status in ("200 OK", "400 Bad Request", "403 Forbidden", "404 Not Found"):
        with RawServer(answer(status, b'{"data": 1}')) as server:
            found = OpenBao(server.url).ask("GET", "x")
        assert (found.status, found.content) == (int(status[:3]), {"data": 1})
        assert "data" not in repr(found)


def test_token_namespace_and_body_go_to_the_server_and_proxies_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    def script(sock: socket.socket) -> None:
        seen.append(read_request(sock))
        answer_ok = b"HTTP/1.1 204 No Content\r\n\r\n"
        sock.sendall(answer_ok)

    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "VAULT_ADDR", "BAO_ADDR"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with RawServer(script) as server:
        found = OpenBao(server.url, namespace="team").ask("POST", "transit/encrypt/k", {"plaintext": "AA=="})
    assert (found.status, found.content) == (204, {})
    head = seen[0].decode()
    assert head.startswith("POST /v1/transit/encrypt/k HTTP/1.1\r\n")
    assert f"X-Vault-Token: {TOKEN}" in head
    assert "X-Vault-Namespace: team" in head


@pytest.mark.parametrize("value", ["", "  ", "a\r\nX-More: 1", "é"])
def test_a_token_that_cannot_be_one_is_not_sent(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CATALOG_VAULT_TOKEN", value)
    with RawServer(answer("200 OK")) as server, pytest.raises(OpenBaoError, match="there is no token") as caught:
        OpenBao(server.url).ask("GET", "x")
    assert not caught.value.transient


def test_a_certificate_is_verified_for_its_authority(openbao: Server, tmp_path: Any) -> None:
    for authority in ("", str(tmp_path / "missing.pem")):
        with pytest.raises(OpenBaoError) as caught:
            OpenBao(openbao.url, authority=authority).ask("GET", "sys/health")
        assert not caught.value.transient
    assert OpenBao(openbao.url, authority=str(openbao.authority)).ask("GET", "sys/health").status == 200
