"""MySQL's protocol, as far as one must speak it to lie in it.

https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html
"""

from __future__ import annotations

import ssl
import struct
from collections.abc import Callable, Sequence

from tests.hostile.attack import SECRET
from tests.hostile.liar import Script, Wire

SSL, PLUGIN_AUTH = 0x800, 0x80000
CAPABILITIES = 0x1 | 0x4 | 0x8 | 0x200 | 0x2000 | 0x8000 | PLUGIN_AUTH
LONG, VARCHAR, JSON = 3, 253, 245
MOST = 0xFFFFFF

Lie = Callable[[Wire], None]
OK = b"\0\0\0\2\0\0\0"
END = b"\xfe\0\0\2\0"
A_READER = b"GRANT SELECT ON `d`.* TO `u`@`%`"


def packet(number: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number & 0xFF]) + body


def packets(number: int, *bodies: bytes) -> bytes:
    return b"".join(packet(number + at, body) for at, body in enumerate(bodies))


def sized(text: bytes) -> bytes:
    if len(text) < 251:
        return bytes([len(text)]) + text
    return b"\xfe" + struct.pack("<Q", len(text)) + text


def greeting(method: bytes = b"mysql_native_password", *, tls: bool = False, version: bytes = b"8.4.1") -> bytes:
    flags = CAPABILITIES | (SSL if tls else 0)
    return packet(
        0,
        b"\x0a" + version + b"\0" + struct.pack("<I", 7) + b"saltsalt\0" + struct.pack("<H", flags & 0xFFFF)
        + b"\x2d\2\0" + struct.pack("<H", flags >> 16) + b"\x15" + bytes(10) + b"saltsaltsalt\0" + method + b"\0",
    )  # fmt: skip


def column(name: bytes, kind: int = VARCHAR) -> bytes:
    texts = b"".join(sized(text) for text in (b"def", b"d", b"t", b"t", name, name))
    return texts + b"\x0c" + struct.pack("<HIBHB", 45, 1024, kind, 0, 0) + b"\0\0"


def row(values: Sequence[bytes | None]) -> bytes:
    """A row in the binary protocol."""
    nulls = sum(1 << (at + 2) for at, value in enumerate(values) if value is None)
    cells = b"".join(sized(value) for value in values if value is not None)
    return b"\0" + nulls.to_bytes((len(values) + 9) // 8, "little") + cells


def error(number: int, text: bytes) -> bytes:
    return b"\xff" + struct.pack("<H", number) + b"#HY000" + text


def switch(method: bytes) -> bytes:
    """Ask the client to log in by another method."""
    return b"\xfe" + method + b"\0" + b"saltsaltsaltsaltsalt\0"


def hear(wire: Wire) -> tuple[int, bytes]:
    """The next packet's number and body."""
    head = wire.read(4)
    return head[3], wire.read(int.from_bytes(head[:3], "little"))


def log_in(
    wire: Wire,
    *,
    method: bytes = b"mysql_native_password",
    context: ssl.SSLContext | None = None,
    hello: bytes = b"",
) -> tuple[int, bytes]:
    """Greet, do TLS if there is a ``context`` and the client asks; the client's answer."""
    wire.send(hello or greeting(method, tls=context is not None))
    number, body = hear(wire)
    if context is not None and len(body) == 32:
        wire.secure(context)
        number, body = hear(wire)
    return number, body


def asking(*requests: bytes, method: bytes = b"mysql_native_password", context: ssl.SSLContext | None = None) -> Script:
    """A server that lets nobody in and says ``requests``, one after each thing it hears."""

    def script(wire: Wire) -> None:
        number, _ = log_in(wire, method=method, context=context)
        for request in requests:
            wire.send(packet(number + 1, request))
            number, _ = hear(wire)
        wire.silence()

    return script


def lying(
    lie: Lie,
    described: Sequence[bytes] | None = None,
    *,
    prepare: Lie | None = None,
    hello: bytes = b"",
    grant: Callable[[], bytes] = lambda: A_READER,
) -> Script:
    """A server that lets everybody in and calls them plain readers.

    It answers the execution of a text that holds ``lie`` by ``lie``, and its preparation by ``prepare``.
    """
    columns = [column(b"a")] if described is None else described

    def script(wire: Wire) -> None:
        number, _ = log_in(wire, hello=hello)
        wire.send(packet(number + 1, OK))
        text = b""
        while True:
            _, body = hear(wire)
            command, rest = body[0], body[1:]
            if command == 0x16:
                text = rest
                ours = columns if b"lie" in text else [column(b"g")]
                if prepare is not None and b"lie" in text:
                    prepare(wire)
                else:
                    wire.send(prepared(ours))
            elif command == 0x17 and b"lie" in text:
                lie(wire)
            elif command == 0x17:
                answer = b"NONE" if b"current_role" in text else grant()
                wire.send(result([column(b"g")], [row([answer])]))
            elif command != 0x19:
                wire.send(packet(1, OK))

    return script


def prepared(columns: Sequence[bytes], parameters: int = 0) -> bytes:
    head = b"\0" + struct.pack("<IHHxH", 1, len(columns), parameters, 0)
    return packets(1, head, *columns, END)


def head_of(columns: Sequence[bytes]) -> bytes:
    """A result as far as its rows."""
    count = bytes([len(columns)]) if len(columns) < 251 else b"\xfc" + struct.pack("<H", len(columns))
    return packets(1, count, *columns, END)


def result(columns: Sequence[bytes], rows: Sequence[bytes]) -> bytes:
    return head_of(columns) + packets(len(columns) + 3, *rows, END)


QUERY = {"sql": "select 'lie'"}


def at(port: int, **changes):
    settings = {"host": "127.0.0.1", "port": port, "database": "d", "user": "u", "retry": {"attempts": 1}}
    return settings | {"password": SECRET, "tls": {"mode": "disable"}} | changes
