"""JSON text, taken value by value from a window on a document of any length."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from connections.adapters.errors import QueryError, TooLargeError
from connections.adapters.files.objects import number
from connections.adapters.files.streams import MAX_RECORD

_BLANK = re.compile(r"[ \t\n\r]*")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_LONGEST_TOKEN = 16  # characters; -Infinity and a pair of \\u escapes are the longest that may be cut in two
_decoder = json.JSONDecoder(parse_float=number)

Found = tuple[int, Any]
"""A value and how many characters it took."""


def parsed(line: str, place: str) -> Any:
    """The one value of ``line``. ``place`` names the line in errors."""
    try:
        value, end = _decoder.raw_decode(line, _blank(line, 0))
    except RecursionError:
        raise QueryError(f"{place} is nested too deeply.") from None
    except ValueError as exc:
        raise QueryError(f"{place} is not JSON: {_reason(exc)}.") from None
    if _blank(line, end) != len(line):
        raise QueryError(f"{place} holds more than one JSON value.")
    _require_text(line, value, place)
    return value


class Window:
    """A window on the document, moved forward value by value. It holds one value and one piece at most."""

    def __init__(self, texts: Iterator[str]) -> None:
        self._texts = texts
        self._window = ""
        self._at = 0
        self._before = 0

    def peek(self, after: int = 0) -> str:
        """The next character that is not blank, or "" at the end; with ``after``, the one that follows it."""
        self._skip_blanks()
        at = self._at
        for _ in range(after):
            at = _blank(self._window, at + 1)
            while at >= len(self._window) and len(self._window) - self._at < MAX_RECORD and self._more():
                at = _blank(self._window, self._at + 1)
        return self._window[at : at + 1]

    def take(self, expected: str) -> str:
        """Move past the next character, one of ``expected``."""
        character = self.peek()
        if character == "" or character not in expected:
            what = "ends in the middle" if character == "" else f"is not JSON near character {self._before + self._at}"
            raise QueryError(f"The document {what}.")
        self._at += 1
        return character

    def value(self) -> Found:
        """Take the next value, of at most 2 MiB."""
        self._skip_blanks()
        wanted = 0
        while True:
            try:
                value, end = _decoder.raw_decode(self._window, self._at)
            except RecursionError:
                raise QueryError("The document is nested too deeply.") from None
            except ValueError as exc:
                if self._is_broken(exc) or not self._grow(wanted):
                    raise self._fault(exc) from None
            else:
                # A number that touches the window's end may go on behind it.
                if end < len(self._window) or not self._grow(wanted):
                    break
            wanted = 2 * (len(self._window) - self._at)  # so that a long value is parsed a few times only
        start, self._at = self._at, end
        _require_text(self._window[start:end], value, f"The value at character {self._before + start}")
        return end - start, value

    def _is_broken(self, exc: ValueError) -> bool:
        """Whether more text would not help: the fault is not at the window's end."""
        if not isinstance(exc, json.JSONDecodeError):
            return True
        return not exc.msg.startswith("Unterminated string") and exc.pos < len(self._window) - _LONGEST_TOKEN

    def _fault(self, exc: ValueError) -> QueryError | TooLargeError:
        if not self._is_broken(exc) and len(self._window) - self._at > MAX_RECORD:
            return TooLargeError(
                f"The value at character {self._before + self._at} is longer than {MAX_RECORD} characters.",
                hint="Set records to the pointer of the array to read, or use JSON Lines.",
            )
        return QueryError(f"The document is not JSON after character {self._before + self._at}: {_reason(exc)}.")

    def _skip_blanks(self) -> None:
        self._at = _blank(self._window, self._at)
        while self._at == len(self._window) and self._more():
            self._at = _blank(self._window, self._at)

    def _grow(self, wanted: int) -> bool:
        """Widen the window to ``wanted`` characters, one piece at least. False at the end, or at the bound."""
        if len(self._window) - self._at > MAX_RECORD or not self._more():
            return False
        while len(self._window) - self._at < min(wanted, MAX_RECORD) and self._more():
            pass
        return True

    def _more(self) -> bool:
        text = next(self._texts, "")
        if text == "":
            return False
        self._before += self._at
        self._window = self._window[self._at :] + text
        self._at = 0
        return True


def _blank(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _require_text(source: str, value: Any, place: str) -> None:
    """Refuse half a surrogate pair: no encoding has bytes for it."""
    if _SURROGATE.search(source) is None:
        return
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        raise QueryError(f"{place} holds half a surrogate pair, which is no text.") from None


def _reason(exc: ValueError) -> str:
    if isinstance(exc, json.JSONDecodeError):
        return exc.msg
    return "a number has more digits than are read"
