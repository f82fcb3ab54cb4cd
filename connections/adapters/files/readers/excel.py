"""Excel workbooks (xlsx, xlsm): one sheet, row by row, with values as Excel last computed them.

The first row names the columns, and says how many there are; a row that is shorter ends in nulls, and empty rows are
left out. A longer row is an error. Cells with an error such as #N/A are null. A number is a date, a time or a length
of time where its format shows one.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

from connections.adapters.errors import QueryError
from connections.adapters.files.columns import Reading, Sized, column_names, require_width, sample, typed
from connections.adapters.files.objects import CELLS
from connections.adapters.files.query import ReaderOptions
from connections.adapters.files.readers.cells import rows
from connections.adapters.files.readers.workbook import Workbook
from connections.adapters.limits import Deadline


def read(file: BinaryIO, options: ReaderOptions, deadline: Deadline) -> Reading:
    """Read one sheet. Raises ``QueryError`` for a workbook that is broken or has no such sheet."""
    book = Workbook(file)
    if not book.sheets:
        raise QueryError("The workbook has no sheet with cells.")
    name = options.sheet or next(iter(book.sheets))
    if name not in book.sheets:
        raise QueryError(f"There is no sheet {name!r}.", hint=f"Sheets: {', '.join(book.sheets)}.")
    return _tabular(_timely(rows(book, book.sheets[name]), deadline), options)


def sheet_names(file: BinaryIO) -> list[str]:
    """The names of a workbook's sheets, in its order. Raises ``QueryError`` or ``TooLargeError``."""
    return list(Workbook(file).sheets)


def _tabular(found: Iterator[Sized], options: ReaderOptions) -> Reading:
    head = next(found, None)
    if head is None:
        return typed([], [], iter(()), CELLS, None, "excel")
    has_header = options.header is not False
    width = len(head[1])
    require_width(width)
    names = column_names(head[1] if has_header else [None] * width)
    even = _even(found if has_header else chain([head], found), width)
    first, even = sample(even)
    return typed(names, first, even, CELLS, options.types, "excel")


def _even(found: Iterator[Sized], width: int) -> Iterator[Sized]:
    for size, row in found:
        if len(row) > width:
            hint = "Name every column in the first row."
            raise QueryError(f"A row has {len(row)} cells; the first has {width}.", hint=hint)
        yield size, row + [None] * (width - len(row))


def _timely(found: Iterator[Sized], deadline: Deadline) -> Iterator[Sized]:
    for at, row in enumerate(found):
        if at % 100 == 0:
            deadline.require()
        yield row
