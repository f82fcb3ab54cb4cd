"""Parameters: ``:name`` in a text becomes the driver's own placeholder, and its value is bound by the driver.

    where id = :id               one value
    where id in (:ids)           a list: a placeholder for each of its values
    where id = any(:ids)         a list as one array, where the source has arrays

A name used twice is one parameter. A ``%`` is a percent sign. A server that takes ``$1`` gives it one type for the
whole text; where the places ask for different ones, ``Statement.apart`` has a placeholder for each place.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any

from connections.adapters.errors import InvalidError, NotAQueryError
from connections.adapters.schema import pointer
from connections.adapters.sql.lexis import Kind, Lexis, Token, tokens

SCALARS = (str, int, float, decimal.Decimal, datetime.date, datetime.time, datetime.timedelta, uuid.UUID, bytes)
"""What a parameter may be, with None and lists of these. ``bool`` is an int and ``datetime`` a date."""

MAX_VALUES = 10_000
"""Values that one list may hold."""


class Style(StrEnum):
    """How a driver writes a placeholder."""

    DOLLAR = "$1"
    NUMBERED = "?1"
    QUESTION = "?"
    FORMAT = "%s"
    """Client-side formatting: a literal % is doubled, so values are always passed, be it an empty tuple."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A parameter's place in a text. ``listed`` when it stands alone between the signs of ``in (…, …)``."""

    name: str
    start: int
    end: int
    listed: bool


@dataclass(frozen=True, slots=True)
class Parsed:
    """A text of one statement, without the semicolons after it."""

    text: str
    slots: tuple[Slot, ...]
    words: tuple[str, ...]
    """The first words and signs, in lower case, as far as they tell what the statement is."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A text in the driver's own style, with its values in order. ``moves`` maps places back to the original text."""

    text: str
    values: tuple[Any, ...] = ()
    words: tuple[str, ...] = ()
    moves: tuple[tuple[int, int], ...] = ((0, 0),)
    original: str | None = None
    """The text as it was sent; None for a statement of ours."""
    apart: Statement | None = None
    """The same with a placeholder for each place; None where no name stands twice, or the style is not ``$1``."""

    def origin(self, place: int) -> int:
        """Where in the user's text the character at ``place`` of ours comes from."""
        ours, theirs = max((move for move in self.moves if move[0] <= place), default=(0, 0))
        return theirs + place - ours


FIRST_WORDS = 48


@lru_cache(maxsize=256)
def parse(text: str, lexis: Lexis) -> Parsed:
    """Find the parameters of ``text``. Raises ``NotAQueryError`` when it holds more than one statement."""
    code = [token for token in tokens(text, lexis) if token.kind not in (Kind.BLANK, Kind.COMMENT)]
    while code and code[-1].text == ";":
        code.pop()
    if any(token.text == ";" for token in code):
        raise NotAQueryError(
            "There is more than one statement.",
            field="/query/sql",
            hint="Send one statement, without a semicolon inside.",
        )
    slots = tuple(_slots(code))
    words = tuple(token.text.casefold() for token in code[:FIRST_WORDS])
    end = code[-1].start + len(code[-1].text) if code else 0
    return Parsed(text[:end], slots, words)


def _slots(code: list[Token]) -> Iterator[Slot]:
    lists: list[bool] = []  # for each open parenthesis, whether it opened after "in"
    for position, token in enumerate(code):
        before = code[position - 1].text if position else ""
        after = code[position + 1].text if position + 1 < len(code) else ""
        if token.text == "(":
            lists.append(before.casefold() == "in")
        elif token.text == ")" and lists:
            lists.pop()
        elif token.kind is Kind.PARAMETER:
            listed = bool(lists) and lists[-1] and before in ("(", ",") and after in (")", ",")
            yield Slot(token.text[1:], token.start, token.start + len(token.text), listed)


def bind(text: str, parameters: Mapping[str, Any], *, lexis: Lexis, style: Style, arrays: bool = False) -> Statement:
    """``text`` with ``parameters`` bound. ``arrays``: the driver takes a list as one value.

    Raises ``InvalidError`` pointing at each parameter that is missing, not in the text or of no known kind, and
    ``NotAQueryError`` for several statements.
    """
    parsed = parse(text, lexis)
    require_declared({slot.name for slot in parsed.slots}, parameters)
    for name, value in parameters.items():
        _require_value(name, value)
    writer = _Writer(style)
    _write(writer, parsed, parameters, arrays=arrays)
    statement = Statement("".join(writer.parts), tuple(writer.values), parsed.words, tuple(writer.moves), text)
    if not writer.repeats or style is not Style.DOLLAR:
        return statement
    writer = _Writer(style, each_place=True)
    _write(writer, parsed, parameters, arrays=arrays)
    return replace(
        statement,
        apart=Statement("".join(writer.parts), tuple(writer.values), parsed.words, tuple(writer.moves), text),
    )


def _write(writer: _Writer, parsed: Parsed, parameters: Mapping[str, Any], *, arrays: bool) -> None:
    position = 0
    for slot in parsed.slots:
        writer.copy(parsed.text, position, slot.start)
        value = parameters[slot.name]
        if isinstance(value, list) and slot.listed:
            _require_values(slot.name, value)
            writer.place_list(slot.name, value)
        elif isinstance(value, list) and not arrays:
            raise _invalid(slot.name, "A list can only stand in in (…) here.")
        else:
            writer.place(slot.name, value)
        position = slot.end
    writer.copy(parsed.text, position, len(parsed.text))


def require_declared(names: set[str], parameters: Mapping[str, Any]) -> None:
    """Raise ``InvalidError`` unless ``parameters`` are exactly ``names``."""
    for name in sorted(names - parameters.keys()):
        raise _invalid(name, f"The query names the parameter :{name}, and no value for it was sent.")
    for name in sorted(parameters.keys() - names):
        raise _invalid(name, "The query does not name this parameter.")


class _Writer:
    """The text being made, its values, and where each piece came from."""

    def __init__(self, style: Style, *, each_place: bool = False) -> None:
        self.style = style
        self.each_place = each_place
        self.repeats = False
        """Whether a value stands at more than one place."""
        self.parts: list[str] = []
        self.values: list[Any] = []
        self.moves: list[tuple[int, int]] = []
        self._length = 0
        self._numbers: dict[tuple[str, int | None], int] = {}

    def copy(self, text: str, start: int, end: int) -> None:
        piece = text[start:end]
        self.moves.append((self._length, start))
        self._add(piece.replace("%", "%%") if self.style is Style.FORMAT else piece)

    def place(self, name: str, value: Any, index: int | None = None) -> None:
        """A placeholder for ``value``; numbered styles bind a name once, unless ``each_place``."""
        if self.style in (Style.QUESTION, Style.FORMAT):
            self.values.append(value)
            self._add(str(self.style))
            return
        known = (name, index) in self._numbers
        self.repeats = self.repeats or known
        if not known or self.each_place:
            self.values.append(value)
            self._numbers[name, index] = len(self.values)
        self._add(f"{self.style[0]}{self._numbers[name, index]}")

    def place_list(self, name: str, values: list[Any]) -> None:
        for index, value in enumerate(values):
            if index:
                self._add(", ")
            self.place(name, value, index)

    def _add(self, piece: str) -> None:
        self.parts.append(piece)
        self._length += len(piece)


def _require_value(name: str, value: Any) -> None:
    values = value if isinstance(value, list) else [value]
    if len(values) > MAX_VALUES:
        raise _invalid(name, f"A list may hold {MAX_VALUES} values at most.")
    for each in values:
        if each is not None and not isinstance(each, SCALARS):
            raise _invalid(name, "A parameter is a text, a number, true, false, null, or a list of these.")
        if isinstance(each, str):
            _require_encodable(name, each)


def _require_encodable(name: str, text: str) -> None:
    if "\0" in text:
        raise _invalid(name, "The text holds a NUL character.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _invalid(name, "The text holds half a character (a lone surrogate).") from None


def _require_values(name: str, values: list[Any]) -> None:
    if not values:
        raise _invalid(name, "An empty list cannot stand in in (…).")


def _invalid(name: str, message: str) -> InvalidError:
    return InvalidError(message, field=pointer("/parameters", (name,)))
