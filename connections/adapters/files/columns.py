"""Types of columns whose format has none, found without a lie.

The first rows are the sample: 1,000 of them or 1 MiB. A column gets the first type, in a fixed order, whose
converter takes every value of the sample that is not null; a column of nulls is text. The sample always starts at
the file's first row, so every page of a file has the same types. A value after the sample that its column's type
does not take is an error that names row and column, and how to say the type: it is never dropped, rounded or
slipped in as another type.

A converter takes one value and returns the wire value, exactly, or raises ``ValueError``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from connections.adapters.contract import Column, ColumnType, Row
from connections.adapters.errors import AdapterError, InvalidError, QueryError, TooLargeError

SAMPLE_ROWS = 1_000
SAMPLE_SIZE = 1024 * 1024
BATCH_ROWS = 500
BATCH_SIZE = 1024 * 1024
MAX_COLUMNS = 10_000

Sized = tuple[int, list[Any]]
"""A row of values as read, and about how many characters it took."""

Converter = Callable[[Any], Any]
Types = Literal["infer", "text"] | Mapping[str, str] | None
_SHORT_DIGITS, _LONG_DIGITS = 18, 38
_BOUNDED = (ColumnType.DATE, ColumnType.TIMESTAMP, ColumnType.TIMESTAMPTZ)


@dataclass(frozen=True, slots=True)
class Reading:
    """A file that can be read. ``rows(skip, take)`` is called once; ``total`` is known when the file tells it."""

    columns: tuple[Column, ...]
    rows: Callable[[int, int], Iterator[list[Row]]]
    total: int | None = None
    untyped: frozenset[str] = frozenset()
    """Names of columns whose sample holds nothing but null."""


@dataclass(frozen=True, slots=True)
class TypeSystem:
    """The types of one kind of values: what is tried in order, and what takes everything (``text``, ``fallback``)."""

    converters: Mapping[ColumnType, Converter]
    text: Converter
    fallback: tuple[ColumnType, Converter]
    from_text: Mapping[str, Converter]
    """For a type the query gives: converters from ``text``'s result."""

    def infer(self, values: Iterable[Any]) -> tuple[ColumnType, Converter]:
        present = _distinct([value for value in values if value is not None])
        if not present:
            return ColumnType.STRING, self.text
        for kind, convert in self.converters.items():
            if _takes(convert, present):
                return kind, convert
        return self.fallback

    def given(self, kind: str) -> tuple[ColumnType, Converter]:
        """The converter for a type that the query gives."""
        if kind == ColumnType.STRING:
            return ColumnType.STRING, self.text
        if kind == self.fallback[0]:
            return self.fallback
        own, through_text = self.converters.get(ColumnType(kind)), self.from_text.get(kind, _refuse)

        def convert(value: Any) -> Any:
            try:
                return own(value) if own is not None else through_text(self.text(value))
            except ValueError:
                return through_text(self.text(value))

        return ColumnType(kind), convert


def sample(records: Iterator[Sized]) -> tuple[list[Sized], Iterator[Sized]]:
    """The first rows, and all rows again from the start. A fault within the sample waits until its row is reached."""
    first: list[Sized] = []
    size = 0
    fault: AdapterError | None = None
    try:
        for record in islice(records, SAMPLE_ROWS):
            first.append(record)
            size += record[0]
            if size > SAMPLE_SIZE:
                break
    except AdapterError as exc:
        if not first:
            raise
        fault = exc

    def everything() -> Iterator[Sized]:
        yield from first
        if fault is not None:
            raise fault
        yield from records

    return first, everything()


def typed(
    names: list[str], first: list[Sized], records: Iterator[Sized], system: TypeSystem, types: Types, native: str
) -> Reading:
    """A reading of ``records`` with types for ``names``, inferred from ``first`` where ``types`` does not give them.

    Every row has one value for each name. ``native`` is the format's word, for ``native_type``.
    """
    require_width(len(names))
    chosen = _choose(names, first, system, types)
    columns = tuple(
        Column(name, kind, native_type=native, precision=_precision(kind, at, first), bounded=kind in _BOUNDED)
        for at, (name, (kind, _)) in enumerate(zip(names, chosen, strict=True))
    )
    converters = [convert for _, convert in chosen]

    def rows(skip: int, take: int) -> Iterator[list[Row]]:
        number = skip
        for batch in batches(islice(records, skip, skip + take)):
            yield _convert(batch, columns, converters, number)
            number += len(batch)

    empty = (name for at, name in enumerate(names) if all(row[at] is None for _, row in first))
    return Reading(columns, rows, untyped=frozenset(empty))


def batches(records: Iterator[Sized]) -> Iterator[list[list[Any]]]:
    """Rows in lists of at most 500, or 1 MiB and the row that passes it."""
    batch: list[list[Any]] = []
    size = 0
    for weight, row in records:
        batch.append(row)
        size += weight
        if len(batch) == BATCH_ROWS or size > BATCH_SIZE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def cut(found: Iterator[list[Row]], skip: int, take: int) -> Iterator[list[Row]]:
    """``take`` rows of ``found`` after the first ``skip``, for readers that cannot skip by themselves."""
    for batch in found:
        wanted = batch[skip : skip + take]
        skip = max(0, skip - len(batch))
        take -= len(wanted)
        if wanted:
            yield wanted
        if take <= 0:
            return


def require_width(count: int) -> None:
    if count > MAX_COLUMNS:
        raise TooLargeError(f"There are {count} columns; at most {MAX_COLUMNS} are read.", hint="Check the delimiter.")


def column_names(header: Iterable[Any]) -> list[str]:
    """Names as they stand; an empty one becomes ``column_3``. Two of one name stay two."""
    return [str(name) if name not in (None, "") else f"column_{at}" for at, name in enumerate(header, start=1)]


def _choose(
    names: list[str], first: list[Sized], system: TypeSystem, types: Types
) -> list[tuple[ColumnType, Converter]]:
    if types == "text":
        return [(ColumnType.STRING, system.text)] * len(names)
    given = types if isinstance(types, Mapping) else {}
    unknown = next((name for name in given if name not in names), None)
    if unknown is not None:
        raise InvalidError(f"There is no column {unknown!r} to give a type to.", field="/query/types")
    return [
        system.given(given[name]) if name in given else system.infer(row[at] for _, row in first)
        for at, name in enumerate(names)
    ]


def _precision(kind: ColumnType, at: int, first: list[Sized]) -> int | None:
    """38 digits for integers that may need more than 64 bits; nothing for all others."""
    if kind == ColumnType.INTEGER and max((len(str(row[at])) for _, row in first), default=0) > _SHORT_DIGITS:
        return _LONG_DIGITS
    return None


def _refuse(_value: Any) -> Any:
    raise ValueError


def _distinct(values: list[Any]) -> list[Any]:
    """Every value once, where all are texts: most columns repeat theirs. Others can be equal and differ: 1 and True."""
    return list(set(values)) if all(type(value) is str for value in values) else values


def _takes(convert: Converter, values: list[Any]) -> bool:
    try:
        for value in values:
            convert(value)
    except ValueError:
        return False
    return True


def _convert(
    batch: list[list[Any]], columns: tuple[Column, ...], converters: list[Converter], number: int
) -> list[Row]:
    """The batch as wire values, column by column; ``number`` rows came before it."""
    if not columns:
        return [() for _ in batch]
    found = []
    for at, (convert, values) in enumerate(zip(converters, zip(*batch, strict=True), strict=True)):
        try:
            found.append([None if value is None else convert(value) for value in values])
        except ValueError:
            row = next(at for at, value in enumerate(values) if value is not None and not _takes(convert, [value]))
            raise _misfit(columns[at], number + row + 1) from None
    return list(zip(*found, strict=True))


def _misfit(column: Column, row: int) -> QueryError:
    return QueryError(
        f"Row {row} holds a value in column {column.name!r} that is no {column.type}.",
        hint=f'Set "types" to {{"{column.name}": "string"}}, or to "text" for all columns.',
    )
