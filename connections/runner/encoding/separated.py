"""CSV by RFC 4180: a line of names, CRLF, quotes where needed.

Null is nothing and empty text is ``""``, so that the two differ. A cell that a spreadsheet would run as a formula gets
a leading apostrophe; numbers never do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from operator import itemgetter
from types import NoneType
from typing import Any

from connections.adapters.contract import Column, ColumnType, Row
from connections.runner.encoding.encoder import mended, text_of, to_json
from connections.runner.encoding.text import TextEncoder

_QUOTED = re.compile(r'[",\r\n]')
_PLAIN = re.compile(r"[^=+\-@＝＋－＠\t\",\r\n][^\",\r\n]*")
_FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
_BOOLEANS = {True: "true", False: "false", None: ""}
_FORMULAS = frozenset("=+-@\t\r\n＝＋－＠")
_FIRST = itemgetter(0)
_SIGNED = tuple(f'"{sign}'.encode() for sign in "=+@-＝＋－＠")  # control characters have a backslash in JSON
_SIGNED_ASCII = _SIGNED[:4]  # finding one of the others takes longer than telling that there can be none
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|[Ii]nfinity)")
_NUMBERS = {ColumnType.BOOLEAN, ColumnType.INTEGER, ColumnType.FLOAT}
_FREE_TEXT = {
    ColumnType.STRING,
    ColumnType.JSON,
    ColumnType.ARRAY,
    ColumnType.STRUCT,
    ColumnType.UUID,
    ColumnType.BINARY,
    ColumnType.INTERVAL,
}


Cell = Callable[[Any], str]


class CSV(TextEncoder):
    content_type = "text/csv; charset=utf-8; header=present"

    def __init__(self, columns: Sequence[Column], arguments: dict[str, Any]) -> None:
        super().__init__(columns, arguments)
        self._keep = arguments.get("formulas") == "keep"
        self._cells = [self._cell(column.type) for column in columns]
        self._floats = any(column.type is ColumnType.FLOAT for column in columns)

    def head(self) -> bytes:
        name = self._cell(ColumnType.STRING)
        return (",".join(name(mended(column.name)) for column in self._columns) + "\r\n").encode()

    def body(self, rows: Sequence[Row]) -> bytes:
        if not rows or not self._cells:
            return b"\r\n" * len(rows)
        plain = None if self._nesting else self._plain(rows)
        return self._by_columns(rows) if plain is None else plain

    def _plain(self, rows: Sequence[Row]) -> bytes | None:
        """``rows`` where they are nothing but numbers, nulls and texts without special signs; else None.

        JSON of them is this format but for its brackets, quotes and nulls, and is written in one call. That every sign
        in it is JSON's own and none a text's is told by their number.
        """
        written = to_json(rows)
        if b"\\" in written or b"{" in written:
            return None
        if not written.count(b"[") == written.count(b"]") == len(rows) + 1:
            return None
        if written.count(b",") != len(rows) * len(self._cells) - 1:
            return None
        signed = _SIGNED_ASCII if written.isascii() else _SIGNED
        if not self._keep and any(sign[1:] in written and sign in written for sign in signed):
            return None
        if b"null" in written:
            if self._floats and written.count(b"null") != sum(row.count(None) for row in rows):
                return None  # NaN is written so too
            written = written.replace(b"[null", b"[").replace(b",null", b",")
        if empty := b'""' in written:
            written = written.replace(b'""', b"\0")  # no text has it: JSON would have a backslash there
        lines = written[:-2].replace(b"],[", b"]\r\n").translate(None, b'"[]') + b"\r\n"
        return lines.replace(b"\0", b'""') if empty else lines

    def _by_columns(self, rows: Sequence[Row]) -> bytes:
        cells = zip(self._columns, self._cells, zip(*rows, strict=True), strict=True)
        columns = [_column(column.type, cell, values) for column, cell, values in cells]
        # One column of null would be an empty line, which readers skip; RFC 4180 has no other spelling for it.
        return ("\r\n".join(map(",".join, zip(*columns, strict=True))) + "\r\n").encode()

    def _cell(self, kind: ColumnType) -> Cell:
        guard: Callable[[str], str] = _as_it_is if self._keep else _harmless if kind in _FREE_TEXT else _tame
        plain = _PLAIN.fullmatch

        def cell(value: Any) -> str:
            if type(value) is str:
                return value if plain(value) else _quoted(guard(value))
            if type(value) is int:
                return str(value)
            text = text_of(value)
            return text if kind in _NUMBERS else _quoted(guard(text))

        return cell


def _column(kind: ColumnType, cell: Cell, values: Sequence[Any]) -> Sequence[str]:
    """The cells of one column. Most columns are of one type and need no quotes: those are written at once."""
    kinds = set(map(type, values))
    if kinds == {str} and _is_plain(values):
        return values
    if kinds == {int}:
        return list(map(str, values))
    if kinds <= {bool, NoneType}:
        return list(map(_BOOLEANS.__getitem__, values))
    if kind in _NUMBERS and kinds <= {int, float, NoneType}:
        return _numbers(values)
    return ["" if value is None else cell(value) for value in values]


def _is_plain(texts: Sequence[str]) -> bool:
    """Whether no text is empty, needs quotes, or could be run as a formula. Looks for single characters, in C."""
    if "" in texts or not _FORMULAS.isdisjoint(map(_FIRST, texts)):
        return False
    joined = "\0".join(texts)
    return not any(sign in joined for sign in '",\r\n')


def _numbers(values: Sequence[Any]) -> list[str]:
    """Numbers and nulls as JSON writes them, without the word for null."""
    absent = values.count(None)
    written = to_json(values).decode()[1:-1]
    if written.count("n") != absent or '"' in written:  # NaN and the infinities are words there
        return ["" if value is None else text_of(value) for value in values]
    return (written.replace("null", "") if absent else written).split(",")


def _quoted(text: str) -> str:
    if not text or _QUOTED.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def _as_it_is(text: str) -> str:
    return text


def _harmless(text: str) -> str:
    return "'" + text if _FORMULA.match(text) else text


def _tame(text: str) -> str:
    """Text of a column of numbers or moments: a sign is no formula there, but a source may lie about its types."""
    return "'" + text if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text
