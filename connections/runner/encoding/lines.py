"""NDJSON: one object a row, its members named by the columns.

An object cannot have two members of one name, so a repeated column ``c`` becomes ``c_2``, as in Parquet: every value
stays, and every line has the same shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from connections.adapters.contract import Column, Row
from connections.adapters.values import JSONText
from connections.runner.encoding.encoder import distinct_names, mended, to_json
from connections.runner.encoding.text import TextEncoder

_WIDTH: Final = 8
_RAW_BREAKS: Final = str.maketrans("\r\n", "  ")


class NDJSON(TextEncoder):
    content_type = "application/x-ndjson"

    def __init__(self, columns: Sequence[Column], arguments: dict[str, Any]) -> None:
        super().__init__(columns, arguments)
        names = distinct_names([mended(column.name) for column in columns])
        self._blank = dict.fromkeys(names)
        self._names = names
        self._objects: list[dict[str, Any]] = []
        first = b"{" + to_json(names[0]) + b":" if names else b"{"
        self._between = (b"}," + first, b"}\n" + first)

    def body(self, rows: Sequence[Row]) -> bytes:
        """All rows are written in one call, as an array; then the commas between them become line breaks.

        In a text a quote has a backslash before it, so what looks like the end of one row and the start of the next is
        just that, or within a document. No document has a line break: so their number tells which.
        """
        if not rows or not self._columns:
            return b"{}\n" * len(rows)
        if self._nesting:
            rows = [self._flat(row) for row in rows]
        objects = self._filled(rows)
        lines = b"".join((memoryview(to_json(objects))[1:-1], b"\n")).replace(*self._between)
        if self._nesting and lines.count(b"\n") != len(rows):
            return b"".join([to_json(each) + b"\n" for each in objects])
        return lines

    def _filled(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """``rows`` as objects, which are the same ones each time: making them anew would take longer than filling."""
        missing = len(rows) - len(self._objects)
        if missing > 0:
            self._objects += [self._blank.copy() for _ in range(missing)]
        _fill(self._objects, self._names, rows)
        return self._objects[: len(rows)]

    def _flat(self, row: Row) -> Row:
        flat = list(row)
        for at in self._nesting:
            flat[at] = _one_line(flat[at])
        return flat


def _fill(objects: list[dict[str, Any]], names: Sequence[str], rows: Sequence[Row]) -> None:
    """Put each row's values into its object, under ``names``.

    Eight columns at a time, written out: a loop over the names takes half as long again. The last eight may overlap
    those before them, and fewer than eight go one row at a time.
    """
    if len(names) < _WIDTH:
        for target, row in zip(objects, rows, strict=False):
            target.update(zip(names, row, strict=True))
        return
    for first in (*range(0, len(names) - _WIDTH, _WIDTH), len(names) - _WIDTH):
        n0, n1, n2, n3, n4, n5, n6, n7 = names[first : first + _WIDTH]
        a0, a1, a2, a3, a4, a5, a6, a7 = range(first, first + _WIDTH)
        for target, row in zip(objects, rows, strict=False):
            target[n0] = row[a0]
            target[n1] = row[a1]
            target[n2] = row[a2]
            target[n3] = row[a3]
            target[n4] = row[a4]
            target[n5] = row[a5]
            target[n6] = row[a6]
            target[n7] = row[a7]


def _one_line(value: Any) -> Any:
    """A JSON document without line breaks: outside its strings they mean nothing, and inside they cannot be."""
    if isinstance(value, JSONText):
        return JSONText(value.translate(_RAW_BREAKS))
    if isinstance(value, list | tuple):
        return [_one_line(item) for item in value]
    if isinstance(value, dict):
        return {key: _one_line(item) for key, item in value.items()}
    return value
