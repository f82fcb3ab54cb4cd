"""Excel workbooks (xlsx, xlsm): one sheet, row by row, with values as Excel last computed them.

The first row names the columns, and says how many there are; a row that is shorter ends in nulls, and empty rows are
left out. A longer row is an error, unless what is too much is empty. Cells with an error such as #N/A are null.
A number is a date where its format shows one. Excel keeps numbers as 64-bit floats.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import Any, BinaryIO

import openpyxl
from openpyxl.styles.numbers import is_datetime
from openpyxl.utils.exceptions import InvalidFileException

from connections.adapters.contract import Row
from connections.adapters.errors import QueryError
from connections.adapters.files.columns import (
    MAX_COLUMNS,
    Reading,
    Sized,
    column_names,
    require_width,
    sample,
    typed,
)
from connections.adapters.files.objects import CELLS
from connections.adapters.files.query import ReaderOptions
from connections.adapters.files.readers.workbook import BROKEN, require_sound
from connections.adapters.limits import Deadline

MAX_ROWS = 1_048_576  # of a sheet, says Excel

# What openpyxl raises for XML that is not what Excel writes: it trusts the parts' shape.
_MALFORMED = (*BROKEN, InvalidFileException, KeyError, ValueError, TypeError, AttributeError, IndexError)


def read(file: BinaryIO, options: ReaderOptions, deadline: Deadline) -> Reading:
    """Read one sheet. Raises ``QueryError`` for a workbook that is broken or has no such sheet."""
    require_sound(file)
    with _worded():
        book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        sheets = {sheet.title: sheet for sheet in book.worksheets}
    if options.sheet is not None and options.sheet not in sheets:
        raise QueryError(f"There is no sheet {options.sheet!r}.", hint=f"Sheets: {', '.join(sheets)}.")
    if not sheets:
        raise QueryError("The workbook has no sheet with cells.")
    sheet = sheets[options.sheet] if options.sheet is not None else next(iter(sheets.values()))
    return _tabular(_rows(sheet, deadline), options)


def _tabular(rows: Iterator[Sized], options: ReaderOptions) -> Reading:
    head = next(rows, None)
    if head is None:
        return typed([], [], iter(()), CELLS, None, "excel")
    has_header = options.header is not False
    width = len(head[1])
    require_width(width)
    names = column_names(_name(cell) for cell in head[1]) if has_header else column_names([None] * width)
    even = _even(rows if has_header else chain([head], rows), width)
    first, even = sample(even)
    reading = typed(names, first, even, CELLS, options.types, "excel")

    def worded(skip: int, take: int) -> Iterator[list[Row]]:
        with _worded():
            yield from reading.rows(skip, take)

    return Reading(reading.columns, worded, untyped=reading.untyped)


def _rows(sheet: Any, deadline: Deadline) -> Iterator[Sized]:
    """Rows of values up to their last filled cell; empty rows are left out."""
    sheet.reset_dimensions()  # the size that a sheet claims may be wrong
    with _worded():
        for at, cells in enumerate(sheet.iter_rows(max_row=MAX_ROWS, max_col=MAX_COLUMNS + 1)):
            if at % 100 == 0:
                deadline.require()
            row = [_value(cell) for cell in cells]
            while row and row[-1] is None:
                row.pop()
            if row:
                yield sum(len(value) if isinstance(value, str) else 8 for value in row), row


def _even(rows: Iterator[Sized], width: int) -> Iterator[Sized]:
    for size, row in rows:
        if len(row) > width:
            raise QueryError(
                f"A row has {len(row)} cells; the first has {width}.", hint="Name every column in the first row."
            )
        yield size, row + [None] * (width - len(row))


def _value(cell: Any) -> Any:
    value = cell.value
    if cell.data_type == "e" or value is None or value == "":
        return None
    if isinstance(value, datetime) and _shows(cell.number_format) == "date":
        return value.date()
    return value


@lru_cache(maxsize=256)
def _shows(number_format: str) -> str | None:
    """``date``, ``time`` or ``datetime``: what a cell's format shows of its number."""
    found: str | None = is_datetime(number_format)
    return found


def _name(cell: Any) -> str | None:
    return None if cell is None else str(cell)


@contextmanager
def _worded() -> Iterator[None]:
    try:
        yield
    except _MALFORMED:
        raise QueryError("The workbook is not a sound Excel file.") from None
