"""JSON and JSON Lines: records, one after the other, never the whole document.

The columns are the members of the first 1,000 records, or of the first 1 MiB, in the order in which they appear; a
record without one has null there. A record that comes later with a member of a new name is an error: it would be
left out silently otherwise. Naming it in ``types`` makes it a column. Numbers keep their value to the last digit;
whole ones may have 4,300.

In a JSON document the records are the array at the pointer ``records``; without one, the outermost array, or the
first member of the outermost object that is an array of objects; or else the object itself is the only record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator, Mapping
from itertools import chain
from typing import Any

from connections.adapters.errors import QueryError, TooLargeError
from connections.adapters.files.columns import Reading, Sized, require_width, sample, typed
from connections.adapters.files.objects import RECORDS, number
from connections.adapters.files.query import ReaderOptions
from connections.adapters.files.streams import MAX_RECORD, lines

_BLANK = re.compile(r"[ \t\n\r]*")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_LONGEST_TOKEN = 16  # characters; -Infinity and a pair of \\u escapes are the longest that may be cut in two
_decoder = json.JSONDecoder(parse_float=number)

Found = tuple[int, Any]
"""A value and how many characters it took."""


def read_lines(texts: Iterator[str], options: ReaderOptions) -> Reading:
    """Read JSON Lines; blank lines are skipped."""
    return _tabular(_lines(texts), options, "jsonl")


def read_document(texts: Iterator[str], options: ReaderOptions) -> Reading:
    """Read the records of a JSON document."""
    return _tabular(_records(_Text(texts), options.records), options, "json")


def _lines(texts: Iterator[str]) -> Iterator[Found]:
    for at, line in enumerate(lines(texts), start=1):
        if not line.isspace():
            yield len(line), _parsed(line, f"Line {at}")


def _parsed(line: str, place: str) -> Any:
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


def _records(text: _Text, pointer: str | None) -> Iterator[Found]:
    """The records of a document, as the module's words say."""
    if text.peek() == "":
        return
    if pointer is not None:
        for name in pointer.split("/")[1:]:
            _descend(text, name.replace("~1", "/").replace("~0", "~"), pointer)
        if text.peek() != "[":
            raise QueryError(f"There is no array at {pointer!r}.", field="/query/records")
        yield from _array(text)
        return
    if text.peek() == "{":
        alone = yield from _object(text)
        if alone is not None:
            yield alone
    else:
        yield from _array(text)
        if text.peek() != "":
            raise QueryError("There is more after the end of the array.")


def _object(text: _Text) -> Generator[Found, None, Found | None]:
    """Yields the records of the first array of objects in an object. Returns the object itself if it has none."""
    members: dict[str, Any] = {}
    size = 0
    for name in _names(text):
        if text.peek() == "[" and text.peek(after=1) == "{":
            yield from _array(text)
            return None
        length, members[name] = text.value()
        size += length
        if size > MAX_RECORD:
            raise TooLargeError(
                f"The document's first members are longer than {MAX_RECORD} characters.",
                hint="Set records to the pointer of the array to read.",
            )
    return size, members


def _descend(text: _Text, wanted: str, pointer: str) -> None:
    """Stand before the value of the member ``wanted`` of the object that comes next."""
    if text.peek() == "{":
        for name in _names(text):
            if name == wanted:
                return
            text.value()
    raise QueryError(f"The document has nothing at {pointer!r}.", field="/query/records")


def _names(text: _Text) -> Iterator[str]:
    """The names of an object's members; the caller takes each value before the next name."""
    text.take("{")
    if text.peek() == "}":
        text.take("}")
        return
    while True:
        _, name = text.value()
        if not isinstance(name, str):
            raise QueryError("The document is not JSON: a member's name is no text.")
        text.take(":")
        yield name
        if text.take(",}") == "}":
            return


def _array(text: _Text) -> Iterator[Found]:
    text.take("[")
    if text.peek() == "]":
        text.take("]")
        return
    while True:
        yield text.value()
        if text.take(",]") == "]":
            return


class _Text:
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


def _tabular(values: Iterator[Found], options: ReaderOptions, native: str) -> Reading:
    first, values = sample(_objects(values))
    given = options.types if isinstance(options.types, Mapping) else ()
    names = list(dict.fromkeys(chain(chain.from_iterable(record for _, (record,) in first), given)))
    require_width(len(names))
    known = set(names)
    rows = ((size, _row(record, names, known)) for size, (record,) in values)
    shown = [(size, [record.get(name) for name in names]) for size, (record,) in first]
    return typed(names, shown, rows, RECORDS, options.types, native)


def _objects(values: Iterator[Found]) -> Iterator[Sized]:
    for at, (size, value) in enumerate(values, start=1):
        if not isinstance(value, dict):
            raise QueryError(
                f"Record {at} is no object.", hint="Set records to the pointer of an array of objects, such as /items."
            )
        yield size, [value]


def _row(record: dict[str, Any], names: list[str], known: set[str]) -> list[Any]:
    if not known.issuperset(record):
        late = next(name for name in record if name not in known)
        raise QueryError(
            f"A record has a member {late!r} that the first records, which name the columns, have not.",
            hint=f'Give its type: set "types" to {{"{late}": "string"}}.',
        )
    return [record.get(name) for name in names]


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
