"""Types of plain text: what a CSV cell is, decided without losing a digit.

    boolean      true, false, in lower, upper or title case
    integer      as one writes it: no plus sign, no leading zero, up to 38 digits. 007 and +49 are text
    float        with point or exponent, and only if a 64-bit float keeps its value; nan and inf too
    decimal      up to 76 digits, where neither of the two would keep them
    date         2024-02-29
    timestamp    2024-02-29 10:11, with or without seconds and up to six decimals; T or blank between
    timestamptz  the same with Z or an offset; told in UTC
    string       everything else, as it is

A blank at either end makes a text. Numbers with a decimal comma or thousands marks are text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from connections.adapters.contract import ColumnType
from connections.adapters.files.columns import TypeSystem
from connections.adapters.values import integer, real

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,37})")
_NUMBER = re.compile(r"-?(?:(?:0|[1-9][0-9]{0,75})(?:\.[0-9]{0,76})?|\.[0-9]{1,76})(?:[eE][+-]?[0-9]{1,3})?")
_DECIMAL = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?")
_OFFSET = re.compile(r" ?(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)$")
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_WORDS = {"nan", "NaN", "inf", "-inf", "Infinity", "-Infinity"}
_SAFE_LENGTH = 15  # digits that a 64-bit float always keeps
_MAX_DECIMAL = 78  # 76 digits, sign and point


def boolean(text: str) -> bool:
    if text not in _BOOLEANS:
        raise ValueError
    return _BOOLEANS[text]


def whole(text: str) -> int:
    if _INTEGER.fullmatch(text) is None:
        raise ValueError
    return integer(int(text))


def floating(text: str) -> float | str:
    if text in _WORDS:
        return real(float(text))
    if _NUMBER.fullmatch(text) is None:
        raise ValueError
    value = float(text)
    if (len(text) > _SAFE_LENGTH or "e" in text or "E" in text) and not keeps(text, value):
        raise ValueError
    return real(value)


def keeps(text: str, value: float) -> bool:
    """Whether ``value``, read back, is the number that ``text`` spells."""
    return value - value == 0 and Decimal(repr(value)) == Decimal(text)


def exact(text: str) -> str:
    if len(text) > _MAX_DECIMAL or _DECIMAL.fullmatch(text) is None:
        raise ValueError
    return f"{Decimal(text):f}"


def day(text: str) -> str:
    if _DATE.fullmatch(text) is None:
        raise ValueError
    return date.fromisoformat(text).isoformat()


def moment(text: str) -> str:
    if _TIMESTAMP.fullmatch(text) is None:
        raise ValueError
    return stamp(datetime.fromisoformat(text))


def instant(text: str) -> str:
    offset = _OFFSET.search(text)
    if offset is None or _TIMESTAMP.fullmatch(text[: offset.start()]) is None:
        raise ValueError
    value = datetime.fromisoformat(text[: offset.start()] + offset.group().strip())
    try:
        return stamp(value.astimezone(UTC).replace(tzinfo=None)) + "Z"
    except OverflowError:
        raise ValueError from None


def stamp(value: datetime) -> str:
    """ISO 8601 without trailing zeros in the fraction."""
    text = value.isoformat()
    return text.rstrip("0") if value.microsecond else text


def same(text: Any) -> Any:
    return text


_FROM_TEXT: dict[ColumnType, Callable[[str], Any]] = {
    ColumnType.BOOLEAN: boolean,
    ColumnType.INTEGER: whole,
    ColumnType.FLOAT: floating,
    ColumnType.DECIMAL: exact,
    ColumnType.DATE: day,
    ColumnType.TIMESTAMP: moment,
    ColumnType.TIMESTAMPTZ: instant,
}
FROM_TEXT = {str(kind): convert for kind, convert in _FROM_TEXT.items()}
TEXTS = TypeSystem(converters=_FROM_TEXT, text=same, fallback=(ColumnType.STRING, same), from_text=FROM_TEXT)
