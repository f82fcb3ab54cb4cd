"""JSON and JSON Lines: records, one after the other, never the whole document.

The columns are the members of the first 1,000 records, or of the first 1 MiB, in the order in which they appear; a
record without one has null there. A record that comes later with a member of a new name is an error: it would be
left out silently otherwise. Naming it in ``types`` makes it a column. Numbers keep their value to the last digit;
whole ones may have 4,300.

In a JSON document the records are the array at the pointer ``records``; without one, the outermost array, or the
first member of the outermost object that is an array of objects; or else the object itself is the only record.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from itertools import chain
from typing import Any

from connections.adapters.errors import QueryError, TooLargeError
from connections.adapters.files.columns import Reading, Sized, require_width, sample, typed
from connections.adapters.files.objects import RECORDS
from connections.adapters.files.query import ReaderOptions
from connections.adapters.files.readers.json_text import Found, Window, parsed
from connections.adapters.files.streams import MAX_RECORD, lines


def read_lines(texts: Iterator[str], options: ReaderOptions) -> Reading:
    """Read JSON Lines; blank lines are skipped."""
    return _tabular(_lines(texts), options, "jsonl")


def read_document(texts: Iterator[str], options: ReaderOptions) -> Reading:
    """Read the records of a JSON document."""
    return _tabular(_records(Window(texts), options.records), options, "json")


def _lines(texts: Iterator[str]) -> Iterator[Found]:
    for at, line in enumerate(lines(texts), start=1):
        if not line.isspace():
            yield len(line), parsed(line, f"Line {at}")


def _records(text: Window, pointer: str | None) -> Iterator[Found]:
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


def _object(text: Window) -> Generator[Found, None, Found | None]:
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


def _descend(text: Window, wanted: str, pointer: str) -> None:
    """Stand before the value of the member ``wanted`` of the object that comes next."""
    if text.peek() == "{":
        for name in _names(text):
            if name == wanted:
                return
            text.value()
    raise QueryError(f"The document has nothing at {pointer!r}.", field="/query/records")


def _names(text: Window) -> Iterator[str]:
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


def _array(text: Window) -> Iterator[Found]:
    text.take("[")
    if text.peek() == "]":
        text.take("]")
        return
    while True:
        yield text.value()
        if text.take(",]") == "]":
            return


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
