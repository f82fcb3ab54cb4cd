"""Wire values: what adapters put into rows.

Every cell is one of these, by its column's type; ``None`` is null in every column.

    boolean                          bool
    integer                          int; ``BigInt`` where 64 bits may not do
    float                            float, or the text "NaN", "Infinity", "-Infinity"
    decimal, date, time, timestamp,
    interval, uuid, string           str, already in the text of the REST contract's table
    json                             ``JSONText``: a JSON document's text, embedded as it is
    array                            list of wire values
    struct                           dict of wire values
    binary                           bytes
"""

from __future__ import annotations

import math
from typing import Final


class JSONText(str):
    """The text of a valid JSON document."""

    __slots__ = ()


class BigInt(int):
    """An integer that may not fit 64 bits. Encoders write all its digits."""

    __slots__ = ()


MAX_INT: Final = 2**63 - 1
MIN_INT: Final = -(2**63)


def integer(value: int) -> int:
    """``value``, marked when it needs more than 64 bits."""
    return value if MIN_INT <= value <= MAX_INT else BigInt(value)


def real(value: float) -> float | str:
    """``value``, or the word for one that JSON has no number for."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
