"""JSON texts, read without losing a digit, and written back."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from functools import cached_property
from typing import Any, NoReturn

from connections.adapters.errors import ProtocolError
from connections.adapters.values import JSONText

MOST_DIGITS = 4300  # of an int: Python's own limit, as reading and writing more takes quadratic time


class Numeral:
    """A JSON number that neither ``int`` nor ``float`` holds as it is written."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


class Document:
    """One JSON text of an answer; parsed when it is asked for."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def value(self) -> Any:
        """What the text says, numbers exact. Raises ``ProtocolError``."""
        return parse(self.text)


def decode(body: bytes) -> str:
    """An answer's text, in any of the encodings that JSON may have. Raises ``ProtocolError``."""
    try:
        return body.decode(json.detect_encoding(body))
    except UnicodeDecodeError:
        raise ProtocolError("The source's answer is not text in UTF-8.") from None


def parse(text: str) -> Any:
    """Plain JSON values; a number that would lose digits is a ``Numeral``. Raises ``ProtocolError``."""
    try:
        return _decoder.decode(text)
    except json.JSONDecodeError:
        raise ProtocolError("The source's answer is not JSON.") from None
    except RecursionError:
        raise ProtocolError("The source's answer is nested too deeply.") from None


def dump(value: Any) -> JSONText:
    """The text of ``value`` as a JSON document; NaN and infinities are written as words, in quotes."""
    try:
        return JSONText(clean(_encoder.encode(value)))
    except (TypeError, ValueError):  # a Numeral, a NaN
        return JSONText(clean(_spelled(value)))


def clean(text: str) -> str:
    """``text`` with U+FFFD for halves of surrogate pairs, which JSON can spell and UTF-8 cannot."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _spelled(value: Any) -> str:
    if isinstance(value, Numeral):
        return value.text
    if isinstance(value, float) and not math.isfinite(value):
        return '"NaN"' if math.isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'
    if isinstance(value, list):
        return f"[{','.join(map(_spelled, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_encoder.encode(name)}:{_spelled(part)}" for name, part in value.items()) + "}"
    return _encoder.encode(value)


def _integer(text: str) -> int | Numeral:
    return int(text) if len(text) <= MOST_DIGITS else Numeral(text)


def _real(text: str) -> float | Numeral:
    found = float(text)
    if len(text) <= 15 and "e" not in text and "E" not in text:
        return found  # at most 14 digits: a double keeps them all
    try:
        exact = math.isfinite(found) and Decimal(text) == Decimal(repr(found))
    except ArithmeticError:  # an exponent beyond what Decimal takes
        exact = False
    return found if exact else Numeral(text)


def _unknown(value: object) -> NoReturn:
    raise TypeError(type(value).__name__)


_decoder = json.JSONDecoder(parse_int=_integer, parse_float=_real)
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_unknown)
