"""Several files as one, columns matched by name.

The columns are those of all files, in the order in which they first appear; a file without one has nulls there.
Every file is opened once first, to know its columns. Where their types differ, text formats fall back to the exact
text (JSON: to JSON), for all files; typed formats are an error that names the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from connections.adapters.contract import Column, ColumnType, Row
from connections.adapters.errors import QueryError
from connections.adapters.files.columns import Reading

ReadFile = Callable[[str, Mapping[str, str] | None], Reading]
"""Opens a file by name; with types, its columns get those and nothing is inferred."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file: its own columns, and its format's word for a column of many types (None: there is none)."""

    name: str
    reading: Reading
    fallback: ColumnType | None


def union(parts: list[Part], read_file: ReadFile, file_column: str | None) -> Reading:
    """One reading of ``parts``, file after file. ``file_column`` names a first column with each row's file."""
    columns = _columns(parts)
    if file_column is not None and file_column in columns:
        raise QueryError(f"The files have a column {file_column!r} of their own.")
    lead = (Column(file_column, ColumnType.STRING, nullable=False),) if file_column is not None else ()

    def rows(skip: int, take: int) -> Iterator[list[Row]]:
        for part in parts:
            known = part.reading.total
            if known is not None and known <= skip:
                skip -= known
                continue
            seen = 0
            for batch in _of_part(part, columns, read_file, skip + take, file_column is not None):
                wanted = batch[max(0, skip - seen) :]
                seen += len(batch)
                if wanted:
                    yield wanted
            take -= max(0, seen - skip)
            skip = max(0, skip - seen)
            if take <= 0:
                return

    return Reading((*lead, *columns.values()), rows, _total(parts))


def _of_part(
    part: Part, columns: Mapping[str, Column], read_file: ReadFile, take: int, named: bool
) -> Iterator[list[Row]]:
    """The first ``take`` rows of one file, in the columns of all."""
    own = [column.name for column in part.reading.columns]
    types = {name: str(columns[name].type) for name in own} if part.fallback is not None else None
    places = [own.index(name) if name in own else None for name in columns]
    lead = (part.name,) if named else ()
    for batch in read_file(part.name, types).rows(0, take):
        yield [(*lead, *(None if at is None else row[at] for at in places)) for row in batch]


def _total(parts: list[Part]) -> int | None:
    totals = [part.reading.total for part in parts]
    return None if None in totals else sum(total for total in totals if total is not None)


def _columns(parts: list[Part]) -> dict[str, Column]:
    found: dict[str, Column] = {}
    open_ended: set[str] = set()
    strict = any(part.fallback is None for part in parts)
    for part in parts:
        names = [column.name for column in part.reading.columns]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise QueryError(f"{part.name} has two columns {twice!r}; files are joined by their columns' names.")
        for column in part.reading.columns:
            empty = column.name in part.reading.untyped
            if column.name not in found or (column.name in open_ended and not empty):
                found[column.name] = column
                open_ended -= {column.name}
                open_ended |= {column.name} if empty else set()
            elif not empty and column.type != found[column.name].type:
                found[column.name] = _wider(found[column.name], column, part, strict)
    return found


def _wider(known: Column, other: Column, part: Part, strict: bool) -> Column:
    if strict or part.fallback is None:
        raise QueryError(f"{part.name} has {other.type} in column {known.name!r}; the files before have {known.type}.")
    return replace(known, type=part.fallback, bounded=False)
