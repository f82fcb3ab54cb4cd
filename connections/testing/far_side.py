"""Far sides that do not behave: a port where nobody listens, one that says nothing, ones that talk nonsense."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Script = Callable[[socket.socket], None]


@contextmanager
def refusing() -> Iterator[int]:
    """A port of 127.0.0.1 that refuses connections, and that nobody else gets meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextmanager
def listening(script: Script) -> Iterator[int]:
    """A port of 127.0.0.1 where ``script`` runs with each connection."""
    opened: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:  # closed
                return
            opened.append(accepted)
            threading.Thread(target=answer, args=(accepted,), daemon=True).start()

    def answer(accepted: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the client went away
            script(accepted)
            accepted.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            for sock in (listener, *opened):
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
                    sock.close()


def silent(sock: socket.socket) -> None:
    """Take everything, say nothing."""
    while sock.recv(65536):
        pass


def another_protocol(sock: socket.socket) -> None:
    """A mail server's greeting, at once and in answer to everything."""
    sock.sendall(b"220 mail.example.com ESMTP\r\n")
    while sock.recv(65536):
        sock.sendall(b"500 5.5.2 Error: command not recognized\r\n")


def closing(sock: socket.socket) -> None:
    """Hang up."""
    sock.shutdown(socket.SHUT_RDWR)


def flooding(sock: socket.socket) -> None:
    """Zeroes without end."""
    while True:
        sock.sendall(bytes(65536))


def huge_frame(sock: socket.socket) -> None:
    """The start of a message that claims to be as long as can be, then nothing."""
    sock.sendall(b"\xff" * 64)
    silent(sock)
