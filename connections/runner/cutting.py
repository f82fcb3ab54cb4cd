"""Budgets on what leaves a worker: counted as rows are encoded, and what is cut is said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from connections.adapters.contract import Column, Row
from connections.adapters.errors import TooLargeError
from connections.adapters.limits import Budget
from connections.runner import memory
from connections.runner.encoding.encoder import Encoder, mended, weight

NAMED: Final = 100
"""How many cut cells are named; the others are counted."""

_SLICE_BYTES: Final = 64 * 1024
"""Encode about this much at a time: few rows are encoded twice, and what is made of them stays near the processor."""
_FIRST_ROWS: Final = 128
_MOST_ROWS: Final = 4096
_LARGE: Final = 16 * 2**20
"""Bytes by which a process has grown that may hold very long cells: the rows of most pages take less."""


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
        large = memory.grown() > _LARGE  # what encodes in C may not survive long cells, and they must be found before
        while start < len(rows) and not self.full:
            part = rows[start : start + self._step]
            if large:
                part = part[: self._before_a_long_one(part)] or part[:1]
            start += len(part)
            yield self._take_one(part[0]) if len(part) == 1 and self._is_long(part[0]) else self._take(part)

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

    def _is_long(self, row: Row) -> bool:
        """Whether a cell has more characters, or bytes of binary, than a cell may have bytes."""
        most = self._budget.cell_bytes
        return any(isinstance(value, str | bytes) and len(value) > most for value in row)

    def _before_a_long_one(self, rows: Sequence[Row]) -> int:
        return next((at for at, row in enumerate(rows) if self._is_long(row)), len(rows))

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
        prepared = self.encoder.prepare([self._without_long_cells(row)])
        if self._bytes + prepared.size > self._budget.bytes:
            self._refuse_unless_cut(f"The answer is larger than {_mebibytes(self._budget.bytes)}.")
            self.full = True
            self._by = ("bytes", self._budget.bytes)
            return b""
        self._bytes += prepared.size
        self.rows += 1
        return self.encoder.write(prepared)

    def _without_long_cells(self, row: Row) -> Row:
        kept = list(row)
        for position, value in enumerate(row):
            size = weight(value)
            if size <= self._budget.cell_bytes:
                continue
            name = mended(self._columns[position].name)
            self._refuse_unless_cut(
                f"A value of column {name} in row {self.rows + 1} is larger than {_mebibytes(self._budget.cell_bytes)}."
            )
            self._cut_cells += 1
            if len(self._cells) < NAMED:
                self._cells.append({"row": self.rows, "column": position, "name": name, "bytes": size})
            kept[position] = None
        return kept

    def _refuse_unless_cut(self, what: str) -> None:
        if not self._cut:
            raise TooLargeError(what, field="/query", hint="Narrow the query, or ask for a page of JSON.")


def _length(row: Row) -> int:
    """About how long a row will be, cheaply."""
    return sum(len(value) for value in row if isinstance(value, (str, bytes)))


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.4g} MiB" if size >= 2**20 else f"{size} bytes"
