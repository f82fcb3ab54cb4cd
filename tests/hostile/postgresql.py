"""PostgreSQL's protocol, as far as one must speak it to lie in it.

https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import ssl
import struct
from collections.abc import Callable, Sequence

from tests.hostile.liar import Script, Wire

SSL_REQUEST = 80877103
TEXT, INT4, INT8, BOOL, JSON, BITS, TEXTS, INT8S = 25, 23, 20, 16, 114, 1562, 1009, 1016

Columns = Sequence[tuple[bytes, int]]
Lie = Callable[[Wire], None]

RIGHTS: Columns = [(b"s", BOOL), (b"r", BOOL), (b"b", BOOL), (b"g", TEXTS), (b"f", TEXTS), (b"u", BOOL), (b"w", TEXTS)]
TYPES: Columns = [
    *((b"oid", INT8), (b"name", TEXT), (b"kind", TEXT), (b"element", INT8), (b"base", INT8), (b"delimiter", TEXT)),
    *((b"is_array", BOOL), (b"names", TEXTS), (b"types", INT8S)),
]
A_READER: Sequence[bytes | None] = [b"f", b"f", b"f", b"{}", b"{}", b"f", b"{}"]


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def columns(described: Columns) -> bytes:
    parts = [name + b"\0" + struct.pack("!ihihih", 0, 0, oid, -1, -1, 0) for name, oid in described]
    return message(b"T", struct.pack("!H", len(parts)) + b"".join(parts))


def row(values: Sequence[bytes | None]) -> bytes:
    cells = [struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value for value in values]
    return message(b"D", struct.pack("!H", len(cells)) + b"".join(cells))


def complete(count: int = 1) -> bytes:
    return message(b"C", b"FETCH %d\0" % count)


def notice(text: bytes) -> bytes:
    return message(b"N", b"SNOTICE\0VNOTICE\0C00000\0M" + text + b"\0\0")


def error(sqlstate: bytes, text: bytes) -> bytes:
    return message(b"E", b"SERROR\0VERROR\0C" + sqlstate + b"\0M" + text + b"\0\0")


def authentication(method: int, rest: bytes = b"") -> bytes:
    return message(b"R", struct.pack("!i", method) + rest)


READY = message(b"Z", b"I")
WELCOME = (
    authentication(0)
    + b"".join(
        message(b"S", name + b"\0" + value + b"\0")
        for name, value in ((b"server_version", b"17.2"), (b"client_encoding", b"UTF8"), (b"DateStyle", b"ISO, YMD"))
    )
    + message(b"K", struct.pack("!ii", 4242, 1))
    + READY
)


def start(wire: Wire, *, tls: bytes = b"N", context: ssl.SSLContext | None = None) -> None:
    """Hear the start-up packet; answer a request for TLS with ``tls``, and shake hands if there is a ``context``."""
    (size, code) = struct.unpack("!ii", wire.read(8))
    if code == SSL_REQUEST:
        wire.send(b"S" if context else tls)
        if context is not None:
            wire.secure(context)
        (size, code) = struct.unpack("!ii", wire.read(8))
    wire.read(size - 8)


def asking(request: bytes, *, context: ssl.SSLContext | None = None) -> Script:
    """A server that lets nobody in and asks for the password by ``request``."""

    def script(wire: Wire) -> None:
        start(wire, context=context)
        wire.send(request)
        wire.silence()

    return script


def lying(
    lie: Lie,
    described: Columns = ((b"a", TEXT),),
    types: bytes | Callable[[], bytes] = b"",
    welcome: bytes = b"",
    rights: Callable[[], Sequence[bytes | None]] = lambda: A_READER,
) -> Script:
    """A server that lets everybody in, calls them plain readers, and answers a preview's FETCH by ``lie``.

    Asked for types that a client does not know it answers the row ``types``.
    """

    def script(wire: Wire) -> None:
        start(wire)
        wire.send(welcome or WELCOME)
        text = asked = b""
        while True:
            kind, body = _next(wire)
            if kind == b"P":
                text = body.split(b"\0")[1]
                asked = text if text.startswith(b"declare") else asked
                wire.send(message(b"1"))
            elif kind == b"B":
                wire.send(message(b"2"))
            elif kind == b"D":
                ours = RIGHTS if b"rolsuper" in asked else described
                ours = TYPES if b"typelem" in text else ours
                wire.send(columns(ours) if text.startswith(b"fetch") or ours is TYPES else message(b"n"))
            elif kind == b"E":
                if b"typelem" in text:
                    wire.send((types() if callable(types) else types) + complete())
                elif not text.startswith(b"fetch"):
                    wire.send(complete(0))
                elif b"rolsuper" in asked:
                    wire.send(row(rights()) + complete())
                else:
                    lie(wire)
            elif kind == b"S":
                wire.send(READY)

    return script


def hear(wire: Wire) -> bytes:
    """The body of the next message."""
    return _next(wire)[1]


def _next(wire: Wire) -> tuple[bytes, bytes]:
    kind, size = struct.unpack("!ci", wire.read(5))
    return kind, wire.read(size - 4)


QUERY = {"sql": "select a from t"}


def at(port: int, **changes):
    """Settings without a password: the liar lets everybody in."""
    settings = {"host": "127.0.0.1", "port": port, "database": "d", "user": "u", "retry": {"attempts": 1}}
    return settings | {"tls": {"mode": "disable"}} | changes
