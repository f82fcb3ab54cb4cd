"""JSON, NDJSON and CSV, written straight from rows.

JSON is the rows, each an array, joined by commas: the caller writes the brackets and what is around them.

NDJSON is one object a row, its members named by the columns. An object cannot have two members of one name, so a
repeated column ``c`` becomes ``c_2``, as in Parquet: every value stays, and every line has the same shape.

CSV follows RFC 4180: a line of names, CRLF, quotes where needed. Null is nothing and empty text is ``""``, so that
the two differ. A cell that a spreadsheet would run as a formula gets a leading apostrophe; numbers never do.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Sequence
from operator import itemgetter
from types import NoneType
from typing import Any

from connections.adapters.contract import Column, ColumnType, Row
from connections.adapters.values import JSONText
from connections.runner.encoding.encoder import (
    Encoder,
    Prepared,
    distinct_names,
    mended,
    text_of,
    to_json,
)

_RAW_BREAKS = str.maketrans("\r\n", "  ")
_QUOTED = re.compile(r'[",\r\n]')
_PLAIN = re.compile(r"[^=+\-@＝＋－＠\t\",\r\n][^\",\r\n]*")
_FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
_BOOLEANS = {True: "true", False: "false", None: ""}
_FORMULAS = frozenset("=+-@\t\r\n＝＋－＠")
_FIRST = itemgetter(0)
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


class _Text(Encoder):
    """A format whose encoded rows are bytes that need only be put one after the other."""

    def __init__(self, columns: Sequence[Column], arguments: dict[str, Any]) -> None:
        self._columns = columns
        self._texts = arguments.get("integers") == "string"

    def encode(self, rows: Sequence[Row]) -> Prepared:
        body = self.body([[_integers_as_text(value) for value in row] for row in rows] if self._texts else rows)
        return Prepared(len(body), body)

    def write(self, prepared: Prepared) -> bytes:
        body: bytes = prepared.body
        return body

    @abstractmethod
    def body(self, rows: Sequence[Row]) -> bytes:
        """``rows`` in this format, as if they were the first."""


class JSONRows(_Text):
    content_type = "application/json"
    _started = False

    def body(self, rows: Sequence[Row]) -> bytes:
        return to_json(rows)[1:-1]

    def write(self, prepared: Prepared) -> bytes:
        body: bytes = prepared.body
        if not self._started:
            self._started = bool(body)
            return body
        return b"," + body if body else b""


class NDJSON(_Text):
    content_type = "application/x-ndjson"

    def __init__(self, columns: Sequence[Column], arguments: dict[str, Any]) -> None:
        super().__init__(columns, arguments)
        names = distinct_names([mended(column.name) for column in columns])
        self._members = [to_json(name).decode().replace("%", "%%") for name in names]
        self._documents = [at for at, column in enumerate(columns) if column.type is ColumnType.JSON]
        self._nests = any(column.type in (ColumnType.ARRAY, ColumnType.STRUCT) for column in columns)

    def body(self, rows: Sequence[Row]) -> bytes:
        if not rows or not self._members:
            return b"{}\n" * len(rows)
        if self._nests or self._documents:
            rows = [[_one_line(value) for value in row] for row in rows]
        columns = [_json_column(values) for values in zip(*rows, strict=True)]
        members = [
            f'{name}:"%s"' if in_quotes else f"{name}:%s"
            for name, (in_quotes, _) in zip(self._members, columns, strict=True)
        ]
        line = "{" + ",".join(members) + "}\n"
        return "".join(map(line.__mod__, zip(*(texts for _, texts in columns), strict=True))).encode()


class CSV(_Text):
    content_type = "text/csv; charset=utf-8; header=present"

    def __init__(self, columns: Sequence[Column], arguments: dict[str, Any]) -> None:
        super().__init__(columns, arguments)
        self._keep = arguments.get("formulas") == "keep"
        self._cells = [self._cell(column.type) for column in columns]

    def head(self) -> bytes:
        name = self._cell(ColumnType.STRING)
        return (",".join(name(mended(column.name)) for column in self._columns) + "\r\n").encode()

    def body(self, rows: Sequence[Row]) -> bytes:
        if not rows or not self._cells:
            return b"\r\n" * len(rows)
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


def _json_column(values: Sequence[Any]) -> tuple[bool, Sequence[Any]]:
    """The values of one column as JSON, and whether they still want quotes. Its loops are whole calls into C."""
    kinds = set(map(type, values))
    if kinds == {str} and _needs_no_escape(values):
        return True, values
    if kinds == {int}:
        return False, values
    if kinds == {str, NoneType} and _needs_no_escape([value for value in values if value is not None]):
        return False, ["null" if value is None else f'"{value}"' for value in values]
    if kinds == {int, NoneType}:
        return False, ["null" if value is None else value for value in values]
    if float in kinds and kinds <= {int, float, NoneType}:
        texts = to_json(values).decode()[1:-1].split(",")
        if texts.count("null") == values.count(None):  # NaN would be null too
            return False, texts
    return False, [to_json(value).decode() for value in values]


def _needs_no_escape(texts: Sequence[str]) -> bool:
    joined = "".join(texts)
    return '"' not in joined and "\\" not in joined and joined.isprintable()


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


FORMATS: dict[str, type[_Text]] = {"json": JSONRows, "ndjson": NDJSON, "csv": CSV}


def _integers_as_text(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(int(value))
    if isinstance(value, list | tuple):
        return [_integers_as_text(item) for item in value]
    if isinstance(value, dict):
        return {key: _integers_as_text(item) for key, item in value.items()}
    return value


def _one_line(value: Any) -> Any:
    """A JSON document without line breaks: outside its strings they mean nothing, and inside they cannot be."""
    if isinstance(value, JSONText):
        return JSONText(value.translate(_RAW_BREAKS))
    if isinstance(value, list | tuple):
        return [_one_line(item) for item in value]
    if isinstance(value, dict):
        return {key: _one_line(item) for key, item in value.items()}
    return value


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
