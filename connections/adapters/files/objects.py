"""Types of values that come typed: from JSON and from spreadsheets.

A column has one type if all its values have. Integers beside floats make a float column where floats keep them,
else a decimal one; dates beside timestamps make a timestamp column. Other mixtures are JSON in JSON files, each
value its own document, and text in spreadsheets. Objects and arrays are JSON.
"""

from __future__ import annotations

import json
import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from connections.adapters.contract import ColumnType
from connections.adapters.files.columns import Converter, TypeSystem
from connections.adapters.files.texts import FROM_TEXT, stamp
from connections.adapters.values import JSONText, integer, real

_EXACT_FLOAT = 2**53
_MAX_EXPONENT = 400


def number(text: str) -> float | Decimal:
    """The number a JSON text spells: a float where that keeps it, else a decimal. Raises ``ValueError``."""
    value = float(text)
    exact = Decimal(text)
    if math.isfinite(value) and Decimal(repr(value)) == exact:
        return value
    if abs(exact.adjusted()) > _MAX_EXPONENT:
        raise ValueError("a number has too large an exponent")
    return exact


def dumps(value: Any) -> JSONText:
    """``value`` as JSON, every digit of its decimals kept. NaN and infinity become text."""
    try:
        return JSONText(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")))
    except (TypeError, ValueError):
        return JSONText(_spelled(value))


def _spelled(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{"
            + ",".join(f"{json.dumps(key, ensure_ascii=False)}:{_spelled(item)}" for key, item in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ",".join(map(_spelled, value)) + "]"
    if isinstance(value, Decimal):
        return str(value)
    return json.dumps(real(value) if isinstance(value, float) else value, ensure_ascii=False)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError
    return integer(value)


def _float(value: Any) -> float | str:
    if isinstance(value, float):
        return real(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _EXACT_FLOAT:
        return float(value)
    raise ValueError


def _decimal(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else _refused()
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError
    return f"{Decimal(repr(value) if isinstance(value, float) else value):f}"


def _refused() -> str:
    raise ValueError


def _date(value: Any) -> str:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise ValueError
    return value.isoformat()


def _timestamp(value: Any) -> str:
    if isinstance(value, datetime):
        return stamp(value)
    if isinstance(value, date):
        return f"{value.isoformat()}T00:00:00"
    raise ValueError


def _time(value: Any) -> str:
    if not isinstance(value, time):
        raise ValueError
    text = value.isoformat()
    return text.rstrip("0") if value.microsecond else text


def _interval(value: Any) -> str:
    if not isinstance(value, timedelta):
        raise ValueError
    return duration(value // timedelta(microseconds=1) * 1_000)


def duration(nanoseconds: int) -> str:
    """ISO 8601, days apart from the time; every part has its own sign."""
    sign = "-" if nanoseconds < 0 else ""
    seconds, fraction = divmod(abs(nanoseconds), 1_000_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    tail = f".{fraction:09d}".rstrip("0") if fraction else ""
    parts = [f"{sign}{value}{unit}" for value, unit in ((hours, "H"), (minutes, "M")) if value]
    if seconds or fraction:
        parts.append(f"{sign}{seconds}{tail}S")
    if not days and not parts:
        return "PT0S"
    return f"P{f'{sign}{days}D' if days else ''}{'T' + ''.join(parts) if parts else ''}"


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _text(value: Any) -> str:
    """Any value as the text that its own type would show."""
    if isinstance(value, str):
        return value
    for convert in _VALUES.values():
        try:
            shown = convert(value)
        except ValueError:
            continue
        return str(shown) if not isinstance(shown, bool) else str(shown).lower()
    return str(dumps(value))


_VALUES: dict[ColumnType, Converter] = {
    ColumnType.BOOLEAN: _boolean,
    ColumnType.INTEGER: _integer,
    ColumnType.FLOAT: _float,
    ColumnType.DECIMAL: _decimal,
    ColumnType.DATE: _date,
    ColumnType.TIMESTAMP: _timestamp,
    ColumnType.TIME: _time,
    ColumnType.INTERVAL: _interval,
    ColumnType.STRING: _string,
}
RECORDS = TypeSystem(_VALUES, text=_text, fallback=(ColumnType.JSON, dumps), from_text=FROM_TEXT)
CELLS = TypeSystem(_VALUES, text=_text, fallback=(ColumnType.STRING, _text), from_text=FROM_TEXT)
