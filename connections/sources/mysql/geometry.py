"""Geometries as the text that ST_AsText gives: the server sends a number for the reference system, then WKB."""

from __future__ import annotations

import struct

from connections.sources.mysql.binary import Reader

_NAMES = {
    1: "POINT", 2: "LINESTRING", 3: "POLYGON", 4: "MULTIPOINT",
    5: "MULTILINESTRING", 6: "MULTIPOLYGON", 7: "GEOMETRYCOLLECTION",
}  # fmt: skip
_ORDER, _HEADS = struct.Struct("<B"), {0: struct.Struct(">I"), 1: struct.Struct("<I")}
_POINTS = {0: struct.Struct(">2d"), 1: struct.Struct("<2d")}
_DEEPEST = 32


def wkt(packed: bytes) -> str:
    """``POINT(1 2)``. Raises ``ValueError`` or ``struct.error`` for bytes that are no geometry."""
    reader = Reader(packed, 4)
    return _geometry(reader, 0)


def _geometry(reader: Reader, depth: int) -> str:
    order, kind = _head(reader)
    if kind not in _NAMES or depth > _DEEPEST:
        raise ValueError("no geometry")
    return _NAMES[kind] + _body(reader, order, kind, depth)


def _body(reader: Reader, order: int, kind: int, depth: int) -> str:
    if kind == 1:
        return f"({_point(reader, order)})"
    count = reader.number(_HEADS[order])
    if kind == 7 and not count:
        return " EMPTY"
    return "(" + ",".join(_part(reader, order, kind, depth) for _ in range(count)) + ")"


def _part(reader: Reader, order: int, kind: int, depth: int) -> str:
    if kind == 2:
        return _point(reader, order)
    if kind == 3:
        return "(" + ",".join(_point(reader, order) for _ in range(reader.number(_HEADS[order]))) + ")"
    if kind == 7:
        return _geometry(reader, depth + 1)
    inner, part = _head(reader)
    text = _body(reader, inner, part, depth + 1)
    return text[1:-1] if part == 1 else text


def _head(reader: Reader) -> tuple[int, int]:
    order = reader.number(_ORDER)
    if order not in _HEADS:
        raise ValueError("no byte order")
    return order, reader.number(_HEADS[order])


def _point(reader: Reader, order: int) -> str:
    x, y = _POINTS[order].unpack(reader.take(16))
    return f"{_number(x)} {_number(y)}"


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value).replace("e+", "e")
