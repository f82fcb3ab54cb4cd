"""A MySQL server that lies: it asks for the password in bad ways, or for a file, and keeps what it was sent."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CAPABILITIES = 0x000F_F7FF & ~0x800  # what a server of today has, TLS left out
CHALLENGE = b"abcdefgh" + b"ijklmnopqrst"
OK = b"\0\0\0\2\0\0\0"


class LyingServer:
    """Serves one connection. ``sent`` is every packet that the client sent, the login first."""

    def __init__(self, *, greeting: str, switch_to: str | None = None, after_login: bytes | None = None) -> None:
        """``switch_to`` is the method asked for after the login; ``after_login`` answers every command."""
        self.greeting = greeting
        self.switch_to = switch_to
        self.after_login = after_login
        self.sent: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(10)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> bytes:
        """Wait for the connection's end; everything that was sent."""
        self._listener.close()
        self._thread.join(10)
        return b"".join(self.sent)

    def _serve(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        with client:
            client.settimeout(10)
            try:
                self._talk(client)
            except (OSError, EOFError):
                pass

    def _talk(self, client: socket.socket) -> None:
        _write(client, 0, _greeting(self.greeting))
        number = self._read(client)
        if self.switch_to is not None:
            _write(client, number + 1, b"\xfe" + self.switch_to.encode() + b"\0" + CHALLENGE + b"\0")
            number = self._read(client)
            while self.switch_to == "caching_sha2_password":
                # "Not in my cache": the client is to send the password itself, or to ask for a key.
                _write(client, number + 1, b"\1\4")
                number = self._read(client)
        _write(client, number + 1, OK)
        while True:
            number = self._read(client)
            _write(client, number + 1, self._answer())

    def _answer(self) -> bytes:
        command = self.sent[-1]
        harmless = command[:1] == b"\3" and not command[1:].lower().startswith((b"select", b"show"))
        return OK if harmless or self.after_login is None else self.after_login

    def _read(self, client: socket.socket) -> int:
        (head,) = struct.unpack("<I", _exactly(client, 4))
        self.sent.append(_exactly(client, head & 0xFFFFFF))
        return head >> 24


@contextmanager
def lying(greeting: str, *, switch_to: str | None = None, after_login: bytes | None = None) -> Iterator[LyingServer]:
    server = LyingServer(greeting=greeting, switch_to=switch_to, after_login=after_login)
    try:
        yield server
    finally:
        server.stop()


def _greeting(method: str) -> bytes:
    return (
        b"\x0a8.4.0\0"
        + struct.pack("<I", 7)
        + CHALLENGE[:8]
        + b"\0"
        + struct.pack("<HBHHB", CAPABILITIES & 0xFFFF, 45, 2, CAPABILITIES >> 16, 21)
        + bytes(10)
        + CHALLENGE[8:]
        + b"\0"
        + method.encode()
        + b"\0"
    )


def _write(client: socket.socket, number: int, payload: bytes) -> None:
    client.sendall(struct.pack("<I", len(payload) | (number % 256) << 24) + payload)


def _exactly(client: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        piece = client.recv(size - len(found))
        if not piece:
            raise EOFError
        found += piece
    return found
