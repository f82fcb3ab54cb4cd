"""NDJSON: one object a row, its members named by the columns.

An object cannot have two members of one name, so a repeated column ``c`` becomes ``c_2``, as in Parquet: every value
stays, and every line has the same shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

from connections.adapters.contract import Column, Row
from connections.adapters.values import JSONText
from connections.runner.encoding.encoder import distinct_names, mended, to_json
from connections.runner.encoding.text import TextEncoder

_RAW_BREAKS: Final = str.maketrans("\r\n", "  ")

class NDJSON(TextEncoder):
    content_type = "application/x-ndjson"

    def __init__(self, columns: Sequence[Column], arguments: dict[str, Any]) -> None:
        super().__init__(columns, arguments)
        names = distinct_names([mended(column.name) for column in columns])
        self._blank = dict.fromkeys(names)
        self._names = names
        self._fill = _filler(len(names))
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
        self._fill(self._objects, rows, *self._names)
        return self._objects[: len(rows)]

    def _flat(self, row: Row) -> Row:
        flat = list(row)
        for at in self._nesting:
            flat[at] = _one_line(flat[at])
        return flat


@cache
def _filler(count: int) -> Callable[..., None]:
    """What fills objects with rows of ``count`` values, given the names.

    It is written out for the count, as a loop over the names takes twice the time. No name is in what is executed.
    """
    names = "".join(f", name_{at}" for at in range(count))
    members = "".join(f"target[name_{at}], " for at in range(count))
    source = f"""
def fill(objects, rows{names}):
    for target, row in zip(objects, rows):
        {members or "()"} = row
"""
    found: dict[str, Any] = {}
    exec(source, found)  # noqa: S102  of digits and our own words alone
    fill: Callable[..., None] = found["fill"]
    return fill


def _one_line(value: Any) -> Any:
    """A JSON document without line breaks: outside its strings they mean nothing, and inside they cannot be."""
    if isinstance(value, JSONText):
        return JSONText(value.translate(_RAW_BREAKS))
    if isinstance(value, list | tuple):
        return [_one_line(item) for item in value]
    if isinstance(value, dict):
        return {key: _one_line(item) for key, item in value.items()}
    return value
