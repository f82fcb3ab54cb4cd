"""CSV and TSV.

Quotes follow RFC 4180: a quoted cell may hold delimiters, line ends and doubled quotes. Blank lines are skipped.
An empty cell is null, and so is one of ``nulls``; NA is text unless ``nulls`` names it. A row that is shorter than
the header ends in nulls; a longer one is an error, unless the cells too many are empty.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain
from typing import Any

from connections.adapters.errors import QueryError, TooLargeError
from connections.adapters.files.columns import Reading, Sized, column_names, require_width, sample, typed
from connections.adapters.files.query import ReaderOptions
from connections.adapters.files.streams import MAX_RECORD, lines
from connections.adapters.files.texts import TEXTS

DELIMITERS = ",;\t|"


def read(texts: Iterator[str], options: ReaderOptions, *, delimiter: str | None = None) -> Reading:
    """Read delimited text. ``delimiter`` is the one the file's name tells, if it does."""
    found = lines(texts)
    first_line = next(found, "")
    quote = '"' if options.quote is None else options.quote
    delimiter = options.delimiter or delimiter or guess_delimiter(first_line, quote)
    if delimiter == quote:
        raise QueryError("Delimiter and quote are the same character.")
    records = _Records(chain([first_line], found), delimiter, quote)
    head = next(records, None)
    if head is None:
        return typed([], [], iter(()), TEXTS, None, "csv")
    has_header = options.header is not False
    width = len(head[1])
    require_width(width)
    names = column_names(head[1] if has_header else [None] * width)
    rows = _even(chain([head], records) if not has_header else records, records, width, set(options.nulls or ()))
    first, rows = sample(rows)
    return typed(names, first, rows, TEXTS, options.types, "csv")


def guess_delimiter(line: str, quote: str) -> str:
    """Of comma, semicolon, tab and bar, the one that occurs most outside quotes; the first of them on a tie."""
    outside = "".join(line.split(quote)[::2]) if quote else line
    return max(DELIMITERS, key=outside.count)


class _Records:
    """Records of lines, each with its length. A record of several lines counts as one against the bound."""

    def __init__(self, found: Iterator[str], delimiter: str, quote: str) -> None:
        self._lines = found
        self._size = 0
        csv.field_size_limit(MAX_RECORD + 1)  # ours is the bound that speaks: the module's is global and smaller
        self._reader = csv.reader(
            self._counted(),
            delimiter=delimiter,
            quotechar=quote or None,
            quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
            strict=True,
        )

    @property
    def line(self) -> int:
        return self._reader.line_num

    def __iter__(self) -> _Records:
        return self

    def __next__(self) -> Sized:
        while True:
            self._size = 0
            start = self.line + 1
            try:
                row = next(self._reader)
            except csv.Error as exc:
                raise QueryError(
                    f"The record at line {start} is not well-formed: {exc}.", hint="Check quote and delimiter."
                ) from None
            if row:
                return self._size, row

    def _counted(self) -> Iterator[str]:
        for line in self._lines:
            self._size += len(line)
            if self._size > MAX_RECORD:
                raise TooLargeError(
                    f"The record that ends after line {self.line} is longer than {MAX_RECORD} characters.",
                    hint="Is a quote left open? Check quote and delimiter.",
                )
            yield line


def _even(rows: Iterator[Sized], records: _Records, width: int, nulls: set[str]) -> Iterator[Sized]:
    """Rows of exactly ``width`` cells, null where empty."""
    nulls = {"", *nulls}
    for size, row in rows:
        cells: list[Any] = [None if cell in nulls else cell for cell in row]
        if len(cells) < width:
            cells.extend([None] * (width - len(cells)))
        elif len(cells) > width:
            if any(row[width:]):
                raise QueryError(
                    f"Line {records.line} has {len(row)} cells; the first has {width}.",
                    hint="Check quote and delimiter.",
                )
            del cells[width:]
        yield size, cells
