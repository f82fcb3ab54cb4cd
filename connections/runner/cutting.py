"""Budgets on what leaves a worker: counted as rows are encoded, and what is cut is said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from connections.adapters.contract import Column, ColumnType, Row
from connections.adapters.errors import TooLargeError
from connections.adapters.limits import Budget
from connections.runner import memory
from connections.runner.encoding.encoder import Encoder, mended
from connections.runner.encoding.weighing import Load, load, load_together, weight

NAMED: Final = 100
"""How many cut cells are named; the others are counted."""

_SLICE_BYTES: Final = 64 * 1024
"""Encode about this much at a time: few rows are encoded twice, and what is made of them stays near the processor."""
_FIRST_ROWS: Final = 128
_MOST_ROWS: Final = 4096
_LARGE: Final = 16 * 2**20
"""Bytes by which a process has grown that may hold very long cells: the rows of most pages take less."""
_NESTED: Final = (ColumnType.ARRAY, ColumnType.STRUCT)


class Cutter:
    """Encodes rows until a budget is used up.

    A cell over ``budget.cell_bytes`` becomes null, and the rows end before ``budget.bytes`` is passed; both raise
    ``TooLargeError`` where ``cut`` is false. Bytes are those of the encoded rows, before any compression.
    """

    def __init__(self, encoder: Encoder, columns: Sequence[Column], budget: Budget, *, cut: bool) -> None:
        self.encoder = encoder
        self.rows = 0
        self.full = False
        self._columns = columns
        self._nested = any(column.type in _NESTED for column in columns)
        self._budget = budget
        self._cut = cut
        self._bytes = 0
        self._by: tuple[str, int] | None = None
        self._cells: list[dict[str, Any]] = []
        self._cut_cells = 0
        self._step = _FIRST_ROWS

    def take(self, rows: Sequence[Row]) -> Iterator[bytes]:
        """The body's next pieces: as many of ``rows`` as fit. ``full`` is true once one did not."""
        start = 0
        if rows and not self.rows:  # nothing was measured yet
            self._step = max(1, min(self._step, _SLICE_BYTES // max(_length(rows[0]), 1)))
        # What encodes in C may not survive long cells, and they must be found before. A list may be short in memory and
        # long in a body: its items may be one object.
        careful = self._nested or memory.grown() > _LARGE
        while start < len(rows) and not self.full:
            part = rows[start : start + self._step]
            count = self._bearable(part) if careful or len(part) == 1 else len(part)
            start += count or 1
            yield self._take(part[:count]) if count else self._take_one(part[0])

    def short_of_rows(self) -> None:
        """Note that more rows were asked for than may be given."""
        self._refuse_unless_cut(f"The answer has more than {self._budget.rows} rows.")
        self._by = ("rows", self._budget.rows)

    def truncated(self) -> dict[str, Any] | None:
        """What was cut, or None: ``{"by": "bytes", "limit": …}``, with ``cells`` and their number where some were."""
        if self._by is None and not self._cells:
            return None
        by, limit = self._by or ("cells", self._budget.cell_bytes)
        said: dict[str, Any] = {"by": by, "limit": limit}
        if self._cells:
            said |= {"cells": self._cells, "cell_count": self._cut_cells}
        return said

    def _bearable(self, rows: Sequence[Row]) -> int:
        """How many of ``rows`` can be encoded at once; 0 where a cell of the first is too long.

        Raises ``MemoryError`` where this process may not have the memory that it takes.
        """
        longest = self._budget.cell_bytes
        together = load_together(rows, longest)
        if together is not None:
            together.require_memory()
            return len(rows)
        all_of_them = Load()
        count = 0
        for row in rows:
            one = load(row, longest)
            if one is None or (count and all_of_them.least + one.least > longest):
                break
            all_of_them = all_of_them.with_row(one)
            count += 1
        if count:
            all_of_them.require_memory()
        return count

    def _take(self, rows: Sequence[Row]) -> bytes:
        prepared = self.encoder.prepare(rows)
        size = prepared.size
        if size <= self._budget.cell_bytes and self._bytes + size <= self._budget.bytes:
            self._bytes += size
            self.rows += len(rows)
            self._step = max(1, min(_MOST_ROWS, _SLICE_BYTES * len(rows) // max(size, 1)))
            return self.encoder.write(prepared)
        if len(rows) == 1:
            return self._take_one(rows[0])
        middle = len(rows) // 2  # somewhere in here a cell or the whole is too large
        first = self._take(rows[:middle])
        return first if self.full else first + self._take(rows[middle:])

    def _take_one(self, row: Row) -> bytes:
        kept, least = self._without_long_cells(row)
        prepared = None
        if self._bytes + least <= self._budget.bytes:
            (load(kept, self._budget.bytes) or Load()).require_memory()
            prepared = self.encoder.prepare([kept])
        if prepared is None or self._bytes + prepared.size > self._budget.bytes:
            self._refuse_unless_cut(f"The answer is larger than {_mebibytes(self._budget.bytes)}.")
            self.full = True
            self._by = ("bytes", self._budget.bytes)
            return b""
        self._bytes += prepared.size
        self.rows += 1
        return self.encoder.write(prepared)

    def _without_long_cells(self, row: Row) -> tuple[Row, int]:
        """``row`` with null for its long cells, and how many bytes the others have in any format."""
        kept = list(row)
        least = 0
        for position, value in enumerate(row):
            size = weight(value)
            if size <= self._budget.cell_bytes:
                least += 0 if isinstance(value, int) else size
                continue
            name = mended(self._columns[position].name)
            self._refuse_unless_cut(
                f"A value of column {name} in row {self.rows + 1} is larger than {_mebibytes(self._budget.cell_bytes)}."
            )
            self._cut_cells += 1
            if len(self._cells) < NAMED:
                self._cells.append({"row": self.rows, "column": position, "name": name, "bytes": size})
            kept[position] = None
        return kept, least

    def _refuse_unless_cut(self, what: str) -> None:
        if not self._cut:
            raise TooLargeError(what, field="/query", hint="Narrow the query, or ask for a page of JSON.")


def _length(row: Row) -> int:
    """About how long a row will be, cheaply."""
    return sum(len(value) for value in row if isinstance(value, (str, bytes)))


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.4g} MiB" if size >= 2**20 else f"{size} bytes"
