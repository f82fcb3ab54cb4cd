"""Columns as the server describes them, and what makes wire values of their binary values.

TINYINT(1), which MySQL calls BOOLEAN, is an integer: it holds any small number. TIMESTAMP is an instant, and comes in
UTC, as the session's time zone is; DATETIME is not. TIME is a time of day, or an interval where it is none.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from connections.adapters.contract import Column, ColumnType
from connections.adapters.sql.exact import document, single
from connections.adapters.values import JSONText, integer, real
from connections.sources.mysql.binary import Reader
from connections.sources.mysql.geometry import wkt

Read = Callable[[Reader], Any]

# https://dev.mysql.com/doc/dev/mysql-server/latest/field__types_8h.html
_DECIMALS = (0, 246)
_INTEGERS = {1: ("tinyint", "b"), 2: ("smallint", "h"), 3: ("int", "i"), 8: ("bigint", "q"), 9: ("mediumint", "i")}
_FLOAT, _DOUBLE, _NULL, _TIMESTAMP, _DATE, _TIME, _DATETIME, _YEAR = 4, 5, 6, 7, 10, 11, 12, 13
_BIT, _JSON, _GEOMETRY, _VECTOR = 16, 245, 255, 242
_TEXTS = {249: "tiny", 250: "medium", 251: "long", 252: ""}
_STRING = 254

_UNSIGNED, _ENUM, _SET = 0x20, 0x100, 0x800
_BINARY = 63  # the "character set" of bytes
_NO_SCALE = 31


@dataclass(frozen=True, slots=True)
class Field:
    """One column: what it is, and what reads its value from a row. A zero date reads as None."""

    column: Column
    read: Read

    @classmethod
    def parse(cls, packet: bytes, extended: bool) -> Field:
        """From a column definition packet; ``extended`` when MariaDB adds the names of its own types."""
        reader = Reader(packet)
        for _ in range(4):
            reader.text()  # catalogue, schema and the table's two names
        name = reader.text().decode("utf-8", "replace")
        reader.text()
        own = _own_names(reader.text()) if extended else {}
        charset, length, kind, flags, scale = struct.unpack_from("<xHIBHB", packet, reader.position)
        return _field(name, _Described(charset, length, kind, flags, scale, own.get(0), own.get(1)))

    def from_text(self, raw: bytes) -> Any:
        """A value as the text protocol has it, for the few statements that cannot be prepared."""
        match self.column.type:
            case ColumnType.BINARY:
                return raw
            case ColumnType.INTEGER:
                return integer(int(raw))
            case ColumnType.FLOAT:
                return real(float(raw))
            case ColumnType.JSON:
                return document(raw.decode("utf-8", "surrogateescape"))
            case ColumnType.TIMESTAMP:
                return raw.decode("ascii").replace(" ", "T")
            case ColumnType.TIMESTAMPTZ:
                return raw.decode("ascii").replace(" ", "T") + "Z"
        return raw.decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class _Described:
    charset: int
    length: int
    kind: int
    flags: int
    scale: int
    own_type: str | None
    own_format: str | None

    @property
    def unsigned(self) -> bool:
        return bool(self.flags & _UNSIGNED)


def _own_names(packed: bytes) -> dict[int, str]:
    """MariaDB's names by what they are: 0 a type, 1 a format."""
    reader = Reader(packed)
    found = {}
    while reader.position < len(packed):
        key = reader.take(1)[0]
        found[key] = reader.text().decode("ascii", "replace")
    return found


def _field(name: str, said: _Described) -> Field:
    if said.kind in _INTEGERS:
        word, code = _INTEGERS[said.kind]
        form = struct.Struct("<" + (code.upper() if said.unsigned else code))
        native = f"{word} unsigned" if said.unsigned else word
        digits = 20 if said.unsigned and form.size == 8 else None  # more than a signed 64-bit integer holds
        column = Column(name, ColumnType.INTEGER, native, precision=digits)
        return Field(column, lambda reader: integer(reader.number(form)))
    if said.kind in _DECIMALS:
        # The length is one of characters: sign and point count.
        precision = said.length - (said.scale > 0) - (not said.unsigned)
        column = Column(name, ColumnType.DECIMAL, "decimal", precision=max(precision, 1), scale=said.scale)
        return Field(column, _ascii)
    if said.kind in _PLAIN:
        kind, native, read = _PLAIN[said.kind]
        bounded = kind in (ColumnType.DATE, ColumnType.TIMESTAMP, ColumnType.TIMESTAMPTZ)
        return Field(Column(name, kind, native, bounded=bounded), read)
    if said.kind == _GEOMETRY:
        return Field(Column(name, ColumnType.STRING, said.own_type or "geometry"), lambda reader: wkt(reader.text()))
    return _textual(name, said)


def _textual(name: str, said: _Described) -> Field:
    if said.kind == _JSON or said.own_format == "json":
        return Field(Column(name, ColumnType.JSON, "json"), _document)
    if said.own_type == "uuid":
        return Field(Column(name, ColumnType.UUID, "uuid"), lambda reader: _text(reader).lower())
    if said.own_type:
        return Field(Column(name, ColumnType.STRING, said.own_type), _text)
    binary = said.charset == _BINARY
    native = _native_text(said, binary)
    if binary:
        return Field(Column(name, ColumnType.BINARY, native), Reader.text)
    return Field(Column(name, ColumnType.STRING, native), _text)


def _native_text(said: _Described, binary: bool) -> str:
    if said.flags & _ENUM:
        return "enum"
    if said.flags & _SET:
        return "set"
    if said.kind == _VECTOR:
        return "vector"
    if said.kind in _TEXTS:
        return _TEXTS[said.kind] + ("blob" if binary else "text")
    short = said.kind == _STRING
    return ("binary" if short else "varbinary") if binary else ("char" if short else "varchar")


# Values --------------------------------------------------------------------------------------------------------

_SHORT, _SINGLE, _REAL = struct.Struct("<H"), struct.Struct("<f"), struct.Struct("<d")


def _ascii(reader: Reader) -> str:
    return reader.text().decode("ascii")


def _text(reader: Reader) -> str:
    # Bytes that are no UTF-8 become halves of surrogate pairs, which the encoders replace and tell.
    return reader.text().decode("utf-8", "surrogateescape")


def _single(reader: Reader) -> float | str:
    return single(reader.number(_SINGLE))


def _date(reader: Reader) -> str | None:
    return _moment(reader)[0]


def _timestamp(reader: Reader) -> str | None:
    day, clock = _moment(reader)
    return f"{day}T{clock}" if day else None


def _instant(reader: Reader) -> str | None:
    day, clock = _moment(reader)
    return f"{day}T{clock}Z" if day else None


def _moment(reader: Reader) -> tuple[str | None, str]:
    """Day and time of day; the day is None where there is no such day (``0000-00-00``, ``2024-02-00``)."""
    packed = reader.text().ljust(11, b"\0")
    year, month, day, hour, minute, second, micro = struct.unpack("<HBBBBBI", packed)
    real = year and month and day
    return (f"{year:04}-{month:02}-{day:02}" if real else None), _clock(hour, minute, second, micro)


def _clock(hour: int, minute: int, second: int, micro: int) -> str:
    return f"{hour:02}:{minute:02}:{second:02}{_fraction(micro)}"


def _fraction(micro: int) -> str:
    return f".{micro:06}".rstrip("0") if micro else ""


def _time(reader: Reader) -> str:
    packed = reader.text().ljust(12, b"\0")
    negative, days, hour, minute, second, micro = struct.unpack("<?IBBBI", packed)
    if not negative and not days:
        return _clock(hour, minute, second, micro)
    sign = "-" if negative else ""
    parts = ((days * 24 + hour, "", "H"), (minute, "", "M"), (second, _fraction(micro), "S"))
    return "PT" + "".join(f"{sign}{whole}{part}{unit}" for whole, part, unit in parts if whole or part)


def _document(reader: Reader) -> JSONText:
    # MariaDB's JSON is a text with a check that can be left out.
    return document(_text(reader))


_PLAIN: dict[int, tuple[ColumnType, str, Read]] = {
    _FLOAT: (ColumnType.FLOAT, "float", _single),
    _DOUBLE: (ColumnType.FLOAT, "double", lambda reader: real(reader.number(_REAL))),
    _NULL: (ColumnType.STRING, "null", _text),
    _TIMESTAMP: (ColumnType.TIMESTAMPTZ, "timestamp", _instant),
    _DATE: (ColumnType.DATE, "date", _date),
    _TIME: (ColumnType.TIME, "time", _time),
    _DATETIME: (ColumnType.TIMESTAMP, "datetime", _timestamp),
    _YEAR: (ColumnType.INTEGER, "year", lambda reader: reader.number(_SHORT)),
    _BIT: (ColumnType.BINARY, "bit", Reader.text),
}
