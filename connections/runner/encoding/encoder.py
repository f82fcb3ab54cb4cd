"""What every format does, and the values they share.

An encoder is asked twice for the same rows: ``prepare`` tells their size, ``write`` makes them part of the body.
In between, a budget decides. What is prepared and not written leaves no trace.
"""

from __future__ import annotations

import base64
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from connections.adapters.contract import Row
from connections.adapters.errors import TooLargeError
from connections.adapters.values import MAX_INT, MIN_INT, BigInt, JSONText, real

_SURROGATES = re.compile("[\ud800-\udfff]")
_OPTIONS = orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


@dataclass(frozen=True, slots=True)
class Prepared:
    """Rows in their encoded form. ``size`` is in bytes, before any compression."""

    size: int
    body: Any


class Encoder(ABC):
    """Rows to the bytes of one body. ``replaced`` turns true when text could not be encoded as it was."""

    content_type: ClassVar[str]
    replaced: bool = False

    def head(self) -> bytes:
        """What comes before the first row."""
        return b""

    def prepare(self, rows: Sequence[Row]) -> Prepared:
        """Encode ``rows``. Raises ``TooLargeError`` for what the format cannot hold."""
        try:
            return self.encode(rows)
        except (TypeError, UnicodeEncodeError, RecursionError):
            return self._prepare_mended(rows)

    @abstractmethod
    def encode(self, rows: Sequence[Row]) -> Prepared:
        """Encode ``rows`` the fast way, which takes no halves of surrogate pairs and no unmarked long integers."""

    @abstractmethod
    def write(self, prepared: Prepared) -> bytes:
        """The body's next piece, which may be empty while a format gathers rows."""

    def tail(self) -> bytes:
        """What comes after the last row."""
        return b""

    def _prepare_mended(self, rows: Sequence[Row]) -> Prepared:
        """Encode ``rows`` with every value in a form that can be, for when the fast way failed."""
        try:
            prepared = self.encode([[mend(value) for value in row] for row in rows])
        except (TypeError, RecursionError) as exc:
            if isinstance(exc, RecursionError) or "ecursion" in str(exc):
                raise TooLargeError(
                    "A value is nested too deeply to be shown.",
                    field="/query",
                    hint="Leave the column out, or read it as text.",
                ) from None
            raise
        self.replaced = self.replaced or any(_SURROGATES.search(text) for text in _texts(rows))
        return prepared


def to_json(value: Any) -> bytes:
    """Wire values as JSON. Raises ``TypeError`` for text and numbers that only ``mend`` can help."""
    return orjson.dumps(value, default=_default, option=_OPTIONS)


def mend(value: Any) -> Any:
    """A wire value in a form that ``to_json`` takes: digits of any number, no halves of surrogate pairs."""
    match value:
        case JSONText():
            return JSONText(mended(value))
        case str():
            return mended(value)
        case bool():
            return value
        case int():
            return value if MIN_INT <= value <= MAX_INT else BigInt(value)
        case float():
            return value if math.isfinite(value) else real(value)
        case list() | tuple():
            return [mend(item) for item in value]
        case dict():
            return {mended(str(key)): mend(item) for key, item in value.items()}
    return value


def mended(text: str) -> str:
    """``text`` with halves of surrogate pairs replaced by U+FFFD: no encoding of Unicode has them."""
    return text if text.isascii() else _SURROGATES.sub("�", text)


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def text_of(value: Any) -> str:
    """A wire value as the text that JSON would hold, unquoted: what CSV and text columns show."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(int(value))
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(value).decode()
        case float() if not math.isfinite(value):
            return str(real(value))
    return to_json(value).decode()


def distinct_names(names: Sequence[str]) -> list[str]:
    """``names`` with repeated ones numbered: ``c``, ``c_2``, ``c_3``, past any that is taken already."""
    taken = set(names)
    seen: set[str] = set()
    found = []
    for name in names:
        chosen, number = name, 2
        while chosen in seen or (chosen != name and chosen in taken):
            chosen, number = f"{name}_{number}", number + 1
        seen.add(chosen)
        found.append(chosen)
    return found


def _default(value: Any) -> Any:
    """What orjson leaves to us: our marks on text and integers, and what is not plain."""
    match value:
        case JSONText():
            return orjson.Fragment(value.encode())
        case int():
            return orjson.Fragment(str(int(value)))
    return plain(value)


def plain(value: Any) -> Any:
    """Binary, and subclasses that drivers give, as what JSON has. Raises ``TypeError`` for what is no wire value."""
    match value:
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(value).decode()
        case str():
            return str.__str__(value)
        case float():
            return real(float(value))
        case dict():
            return dict(value)
        case list():
            return list(value)
    raise TypeError(f"{type(value).__name__} is not a wire value.")
