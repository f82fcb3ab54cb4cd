"""Column types in SQLite, where every value has a type of its own and a column only leans to one.

A column has its declared type as long as the values of the first batch fit that; else the type that all of them
share; else it is a string column, and every value comes as its text (a blob as base64). A value that stops fitting
in a later batch comes as it is, with the notice ``mixed_types``.
"""

from __future__ import annotations

import base64
import decimal
import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from connections.adapters.contract import Column, ColumnType, Row
from connections.adapters.values import JSONText, real

_DATE = re.compile(r"-?\d{4,}-\d\d-\d\d")
_TIME = re.compile(r"\d\d:\d\d(:\d\d(\.\d+)?)?")
_TIMESTAMP = re.compile(r"-?\d{4,}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?")
_TIMESTAMPTZ = re.compile(r"-?\d{4,}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|\+00(:?00)?)")
_DECIMAL = re.compile(r"[+-]?\d+(\.\d+)?")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Misfit(ValueError):
    """A value that is not of the column's type."""


def _text(pattern: re.Pattern[str], change: Callable[[str], str] = str) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        if isinstance(value, str) and pattern.fullmatch(value):
            return change(value)
        raise Misfit

    return convert


def _kind(kind: type, change: Callable[[Any], Any] = lambda value: value) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if type(value) is kind:
            return change(value)
        raise Misfit

    return convert


def _boolean(value: Any) -> bool:
    if type(value) is int and value in (0, 1):
        return bool(value)
    raise Misfit


def _float(value: Any) -> float | str:
    if type(value) is float or (type(value) is int and abs(value) <= 2**53):
        return real(float(value))
    raise Misfit


def _decimal(value: Any) -> str:
    """Exact for what was stored: SQLite keeps most declared decimals as binary floats."""
    if type(value) is int:
        return str(value)
    if type(value) is float:
        return format(decimal.Decimal(repr(value)), "f") if math.isfinite(value) else str(real(value))
    return _text(_DECIMAL)(value)


def _json(value: Any) -> JSONText:
    if not isinstance(value, str):
        raise Misfit
    try:
        json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Misfit from None
    return JSONText(value.replace("\n", " ").replace("\r", " "))


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON.")


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(real(value)) if isinstance(value, float) else str(value)


def _zulu(value: str) -> str:
    return re.sub(r"(Z|\+00(:?00)?)$", "Z", value.replace(" ", "T"))


CONVERSIONS: dict[ColumnType, Callable[[Any], Any]] = {
    ColumnType.BOOLEAN: _boolean,
    ColumnType.INTEGER: _kind(int),
    ColumnType.FLOAT: _float,
    ColumnType.DECIMAL: _decimal,
    ColumnType.DATE: _text(_DATE),
    ColumnType.TIME: _text(_TIME),
    ColumnType.TIMESTAMP: _text(_TIMESTAMP, lambda value: value.replace(" ", "T")),
    ColumnType.TIMESTAMPTZ: _text(_TIMESTAMPTZ, _zulu),
    ColumnType.UUID: _text(_UUID, str.lower),
    ColumnType.JSON: _json,
    ColumnType.BINARY: _kind(bytes),
    ColumnType.STRING: _kind(str),
}
SHARED = (ColumnType.INTEGER, ColumnType.FLOAT, ColumnType.STRING, ColumnType.BINARY)
"""What values can have in common where no declared type helps, tried in this order."""


def declared(native: str) -> tuple[ColumnType, ...]:
    """The types that a declared type may mean, the likeliest first. The rules of affinity come last."""
    word = re.split(r"[\s(]", native.strip().upper(), maxsplit=1)[0]
    exact = {
        "DATE": (ColumnType.DATE, ColumnType.TIMESTAMP),
        "DATETIME": (ColumnType.TIMESTAMP, ColumnType.TIMESTAMPTZ),
        "TIMESTAMP": (ColumnType.TIMESTAMP, ColumnType.TIMESTAMPTZ),
        "TIMESTAMPTZ": (ColumnType.TIMESTAMPTZ,),
        "TIME": (ColumnType.TIME,),
        "BOOLEAN": (ColumnType.BOOLEAN,),
        "BOOL": (ColumnType.BOOLEAN,),
        "DECIMAL": (ColumnType.DECIMAL,),
        "NUMERIC": (ColumnType.DECIMAL,),
        "JSON": (ColumnType.JSON,),
        "UUID": (ColumnType.UUID,),
    }
    if word in exact:
        return exact[word]
    for part, kind in (
        ("INT", ColumnType.INTEGER), ("CHAR", ColumnType.STRING), ("CLOB", ColumnType.STRING),
        ("TEXT", ColumnType.STRING), ("BLOB", ColumnType.BINARY), ("REAL", ColumnType.FLOAT),
        ("FLOA", ColumnType.FLOAT), ("DOUB", ColumnType.FLOAT),
    ):  # fmt: skip
        if part in word:
            return (kind,)
    return ()


class Shape:
    """The columns of one result, settled by its first batch, and what makes wire values of its rows."""

    def __init__(self, names: Sequence[str], natives: Sequence[str | None], first: Sequence[Row]) -> None:
        self.mixed: set[str] = set()
        kinds = [_settle(native, [row[at] for row in first]) for at, native in enumerate(natives)]
        self.columns = tuple(
            Column(name, kind or ColumnType.STRING, native or None)
            for name, native, kind in zip(names, natives, kinds, strict=True)
        )
        self._conversions = [CONVERSIONS[kind] if kind else _as_text for kind in kinds]

    def rows(self, batch: Sequence[Row]) -> list[Row]:
        """The batch as wire values."""
        return [[None if value is None else self._convert(at, value) for at, value in enumerate(row)] for row in batch]

    def _convert(self, at: int, value: Any) -> Any:
        try:
            return self._conversions[at](value)
        except Misfit:
            self.mixed.add(self.columns[at].name)
            return real(value) if isinstance(value, float) else value


def _settle(native: str | None, values: list[Any]) -> ColumnType | None:
    """The type of a column with these first values; None when they have none in common."""
    present = [value for value in values if value is not None]
    meant = declared(native) if native else ()
    if not present:
        return meant[0] if meant else ColumnType.STRING
    return next((kind for kind in (*meant, *SHARED) if _fits(CONVERSIONS[kind], present)), None)


def _fits(convert: Callable[[Any], Any], values: list[Any]) -> bool:
    try:
        for value in values:
            convert(value)
    except Misfit:
        return False
    return True
