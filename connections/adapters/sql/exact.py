"""Values that drivers hand over less exactly than the source holds them."""

from __future__ import annotations

import json
import math
import struct

from connections.adapters.values import JSONText, real

_SINGLE = struct.Struct("<f")


def single(value: float) -> float | str:
    """A 32-bit number as the shortest text that means it, as a person wrote it: 0.1, not 0.10000000149011612."""
    if not math.isfinite(value):
        return real(value)
    for digits in range(6, 9):
        short = float(f"{value:.{digits}g}")
        if _nearest(short) == value:
            return short
    return float(f"{value:.9g}")


def _nearest(value: float) -> float | None:
    try:
        (found,) = _SINGLE.unpack(_SINGLE.pack(value))
    except OverflowError:
        return None
    return float(found)


def document(text: str) -> JSONText:
    """``text`` as a JSON document; as a JSON string where it is none, so that it cannot break what it is put into."""
    try:
        json.loads(text, parse_int=len, parse_float=len, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return JSONText(json.dumps(text))
    return JSONText(text)


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON.")
