"""PostgreSQL's types on the wire: what each column is, and what makes wire values of its texts.

Values come in text format, in a session pinned to ISO dates, ISO intervals, UTC and UTF-8, so most texts are already
those of the REST contract. The driver's C loaders read booleans, integers, floats and bytea; all else comes as text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import psycopg
from psycopg.abc import AdaptContext
from psycopg.adapt import AdaptersMap
from psycopg.types.bool import BoolLoader
from psycopg.types.numeric import FloatLoader, IntLoader
from psycopg.types.string import ByteaLoader, TextLoader

from connections.adapters.contract import ColumnType
from connections.adapters.sql.exact import document
from connections.adapters.values import JSONText, real

Convert = Callable[[Any], Any]
InRows = Callable[[list[list[Any]], int], None]


@dataclass(frozen=True, slots=True)
class Form:
    """One type. ``from_text`` reads its text, as arrays and rows hold it; None when the text is the value.

    ``in_rows`` does to a column of loaded rows what the driver's own loader left; None when that does all.
    """

    type: ColumnType
    native: str
    from_text: Convert | None = None
    in_rows: InRows | None = None


# Texts to wire values ------------------------------------------------------------------------------------------


def _boolean(text: str) -> bool:
    return text == "t"


def _float(text: str) -> float | str:
    return real(float(text))


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])  # bytea_output is pinned to hex


def _bits(text: str) -> bytes:
    """Bits as bytes, filled up on the right as PostgreSQL's own binary form is."""
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big") if text else b""


def _json(text: str) -> JSONText:
    """Type json keeps its white space; a line break in it would break a format of lines. That it is JSON is not taken
    on the server's word, as it goes into answers as it is."""
    return document(text.replace("\n", " ").replace("\r", " ") if "\n" in text or "\r" in text else text)


def _timestamp(text: str) -> str:
    return text.replace(" ", "T", 1)  # once: "0044-03-15 10:00:00 BC"; "infinity" has none


def _timestamptz(text: str) -> str:
    return text.replace(" ", "T", 1).replace("+00", "Z", 1)


def each(convert: Convert) -> InRows:
    """``convert`` for every value of a column that is not null."""

    def convert_column(rows: list[list[Any]], at: int) -> None:
        for row in rows:
            value = row[at]
            if value is not None:
                row[at] = convert(value)

    return convert_column


def _moments(rows: list[list[Any]], at: int) -> None:
    """A column of moments, all at once where all are plain ones: one by one it would be the slowest of columns."""
    _at_once(rows, at, _timestamp, lambda text: text.replace(" ", "T"))


def _moments_in_utc(rows: list[list[Any]], at: int) -> None:
    _at_once(rows, at, _timestamptz, lambda text: text.replace(" ", "T").replace("+00", "Z"))


def _at_once(rows: list[list[Any]], at: int, convert: Convert, bulk: Callable[[str], str]) -> None:
    """``bulk`` for the whole column, unless a value is null, infinite or before Christ: then ``convert`` for each."""
    column = [row[at] for row in rows]
    text = "" if None in column else "\n".join(column)
    if not text or "i" in text or "B" in text:
        each(convert)(rows, at)
        return
    for row, value in zip(rows, bulk(text).split("\n"), strict=True):
        row[at] = value


def _floats(rows: list[list[Any]], at: int) -> None:
    for row in rows:
        value = row[at]
        if value is not None and value - value != 0.0:  # of NaN and the infinities alone
            row[at] = real(value)


_HOURS_ONLY = re.compile(r"[+-]\d\d$")


def _timetz(text: str) -> str:
    return f"{text}:00" if _HOURS_ONLY.search(text) else text


FORMS = (
    Form(ColumnType.BOOLEAN, "bool", _boolean),
    *(Form(ColumnType.INTEGER, name, int) for name in ("int2", "int4", "int8", "oid")),
    *(Form(ColumnType.FLOAT, name, _float, _floats) for name in ("float4", "float8")),
    Form(ColumnType.DECIMAL, "numeric"),
    Form(ColumnType.DATE, "date"),
    Form(ColumnType.TIME, "time"),
    Form(ColumnType.TIMETZ, "timetz", _timetz, each(_timetz)),
    Form(ColumnType.TIMESTAMP, "timestamp", _timestamp, _moments),
    Form(ColumnType.TIMESTAMPTZ, "timestamptz", _timestamptz, _moments_in_utc),
    Form(ColumnType.INTERVAL, "interval"),
    Form(ColumnType.UUID, "uuid"),
    Form(ColumnType.BINARY, "bytea", _bytes),
    *(Form(ColumnType.BINARY, name, _bits, each(_bits)) for name in ("bit", "varbit")),
    *(Form(ColumnType.JSON, name, _json, each(_json)) for name in ("json", "jsonb")),
)
_LOADERS = (
    (BoolLoader, ("bool",)),
    (IntLoader, ("int2", "int4", "int8", "oid")),
    (FloatLoader, ("float4", "float8")),
    (ByteaLoader, ("bytea",)),
)


def context(connection: psycopg.Connection[Any]) -> AdaptContext:
    """What the driver loads by: C loaders for a few types, text for all others."""
    adapters = AdaptersMap(types=psycopg.adapters.types)
    adapters.register_loader(0, TextLoader)  # 0 stands for every type without a loader of its own
    for loader, names in _LOADERS:
        for name in names:
            adapters.register_loader(name, loader)
    made: Any = SimpleNamespace(adapters=adapters, connection=connection)
    return made  # type: ignore[no-any-return]
