"""The binary protocol's values: parameters on their way to the server, and the reading of packets.

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_binary_resultset.html
"""

from __future__ import annotations

import datetime
import decimal
import math
import struct
import uuid
from collections.abc import Sequence
from typing import Any

from connections.adapters.errors import InvalidError

_NULL, _DOUBLE, _LONGLONG, _DECIMAL, _BLOB, _TEXT = 6, 5, 8, 246, 252, 253
_UNSIGNED = 0x8000


class Reader:
    """Reads a packet from its front. Raises ``ValueError`` or ``struct.error`` past its end."""

    __slots__ = ("data", "position")

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position

    def number(self, form: struct.Struct) -> Any:
        (value,) = form.unpack_from(self.data, self.position)
        self.position += form.size
        return value

    def take(self, size: int) -> bytes:
        end = self.position + size
        if end > len(self.data):
            raise ValueError("a packet ends too early")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def integer(self) -> int:
        """An integer that says its own length."""
        first = self.take(1)[0]
        if first < 0xFB:
            return first
        sizes = {0xFC: 2, 0xFD: 3, 0xFE: 8}
        if first not in sizes:
            raise ValueError("no length")
        return int.from_bytes(self.take(sizes[first]), "little")

    def text(self) -> bytes:
        """Bytes with their length before them."""
        return self.take(self.integer())


def packed_values(values: Sequence[Any]) -> bytes:
    """The parameters as the end of an EXECUTE packet. Raises ``InvalidError`` for numbers the server does not have."""
    if not values:
        return b""
    nulls = sum(1 << at for at, value in enumerate(values) if value is None)
    packed = [_packed(value) for value in values]
    types = b"".join(struct.pack("<H", kind) for kind, _ in packed)
    return nulls.to_bytes((len(values) + 7) // 8, "little") + b"\x01" + types + b"".join(body for _, body in packed)


def _packed(value: Any) -> tuple[int, bytes]:
    match value:
        case None:
            return _NULL, b""
        case int():
            return _packed_integer(int(value))
        case float():
            _require_finite(math.isfinite(value))
            return _DOUBLE, struct.pack("<d", value)
        case decimal.Decimal():
            _require_finite(value.is_finite())
            return _DECIMAL, _with_length(format(value, "f").encode())
        case bytes():
            return _BLOB, _with_length(value)
        case _:
            return _TEXT, _with_length(_as_text(value).encode())


def _packed_integer(value: int) -> tuple[int, bytes]:
    if -(2**63) <= value < 2**63:
        return _LONGLONG, struct.pack("<q", value)
    if 0 <= value < 2**64:
        return _LONGLONG | _UNSIGNED, struct.pack("<Q", value)
    return _DECIMAL, _with_length(str(value).encode())


def _as_text(value: Any) -> str:
    """A text that compares with a column of the value's kind as the value would."""
    match value:
        case str():
            return value
        case datetime.datetime():
            if value.tzinfo is not None:
                value = value.astimezone(datetime.UTC).replace(tzinfo=None)
            return str(value.isoformat(" "))
        case datetime.timedelta():
            micros = round(abs(value) / datetime.timedelta(microseconds=1))
            seconds, micros = divmod(micros, 1_000_000)
            sign = "-" if value < datetime.timedelta() else ""
            return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{micros:06}"
        case datetime.date() | datetime.time():
            return str(value.isoformat())
        case uuid.UUID():
            return str(value)
    raise TypeError(f"{type(value).__name__} is not a parameter.")


def _with_length(body: bytes) -> bytes:
    size = len(body)
    if size < 0xFB:
        return bytes([size]) + body
    for mark, width in ((0xFC, 2), (0xFD, 3), (0xFE, 8)):
        if size < 1 << 8 * width:
            return bytes([mark]) + size.to_bytes(width, "little") + body
    raise AssertionError("no packet is that long")


def _require_finite(finite: bool) -> None:
    if not finite:
        raise InvalidError("The server has no number for infinity or NaN.", field="/parameters")
