"""Servers that lie. Each connection runs a script in a thread of its own; all that clients send is kept."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from typing import Self

KEPT = 1024 * 1024
"""Bytes that are kept of what clients send."""

Script = Callable[["Wire"], None]
Said = list[tuple[int, bytes]]


class Wire:
    """One connection, as the liar sees it. Reading past the client's end raises ``EOFError``."""

    def __init__(self, sock: socket.socket, heard: bytearray, said: Said | None = None) -> None:
        self.sock = sock
        self._heard = heard
        self._said = said

    def read(self, size: int) -> bytes:
        """Exactly ``size`` bytes."""
        found = b""
        while len(found) < size:
            piece = self.sock.recv(size - len(found))
            if not piece:
                raise EOFError
            found += piece
        if len(self._heard) < KEPT:
            self._heard += found
        return found

    def read_some(self) -> bytes:
        """Whatever comes next."""
        return self.read(1) + self._ready()

    def send(self, content: bytes) -> None:
        if self._said is not None:
            self._said.append((len(self._heard), content))
        self.sock.sendall(content)

    def forever(self, content: bytes) -> None:
        """``content`` again and again, until the client is gone."""
        while True:
            self.sock.sendall(content)

    def drip(self, content: bytes, seconds: float = 0.5) -> None:
        """``content``, one byte every ``seconds``."""
        for byte in content:
            self.sock.sendall(bytes([byte]))
            time.sleep(seconds)

    def silence(self) -> None:
        """Read until the client is gone, and say nothing."""
        while True:
            self.read_some()

    def half_close(self) -> None:
        """Send no more, and go on reading."""
        self.sock.shutdown(socket.SHUT_WR)
        self.silence()

    def reset(self) -> None:
        """End the connection with an RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def secure(self, context: ssl.SSLContext) -> None:
        """The server's side of a TLS handshake."""
        self.sock = context.wrap_socket(self.sock, server_side=True)

    def _ready(self) -> bytes:
        self.sock.setblocking(False)
        try:
            found = self.sock.recv(65536)
        except (BlockingIOError, ssl.SSLWantReadError):
            return b""
        finally:
            self.sock.setblocking(True)
        if len(self._heard) < KEPT:
            self._heard += found
        return found


class Liar:
    """A port of 127.0.0.1 where ``script`` runs with each connection. Use it in a ``with`` block.

    ``said``, where that is to be kept, is each thing that was sent, after how many bytes that were heard.
    """

    def __init__(self, script: Script, *, keep_said: bool = False) -> None:
        self.heard = bytearray()
        self.said: Said = []
        self._keep_said = keep_said
        self.accepted = 0
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[Wire] = []

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        for sock in (self._listener, *(wire.sock for wire in self._open)):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                sock.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:  # closed
                return
            self.accepted += 1
            wire = Wire(sock, self.heard, self.said if self._keep_said else None)
            self._open.append(wire)
            threading.Thread(target=self._run, args=(wire,), daemon=True).start()

    def _run(self, wire: Wire) -> None:
        with contextlib.suppress(OSError, EOFError, ValueError):  # the client went away
            self._script(wire)
        with contextlib.suppress(OSError):
            wire.sock.close()
