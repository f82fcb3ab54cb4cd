"""Parquet, page by page.

The footer is looked at before anything is unpacked: what claims to unpack to far more than it is packed from is
refused. Texts stay in the file's own dictionary until a row needs them, so a small file does not become a large
column in memory.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, BinaryIO

import pyarrow
import pyarrow.parquet

from connections.adapters.contract import Column, ColumnType, Row
from connections.adapters.errors import QueryError, TooLargeError
from connections.adapters.files.arrow import UnknownTypeError, column, converter
from connections.adapters.files.columns import BATCH_ROWS, Reading, Sized, batches, require_width
from connections.adapters.limits import Deadline

MAX_FOOTER = 16 * 1024 * 1024
MAX_GROUP_COLUMN = 1024 * 1024 * 1024
MAX_RATIO = 100
FREE = 64 * 1024 * 1024
"""One column of one row group may be packed as tightly as it likes up to this size unpacked."""
BUFFER = 1024 * 1024

_MAGIC = b"PAR1"
_MEASURED = (ColumnType.STRING, ColumnType.BINARY, ColumnType.ARRAY, ColumnType.STRUCT)


def read(file: BinaryIO, deadline: Deadline) -> Reading:
    """Read a Parquet file. Raises ``QueryError`` for a broken one, ``TooLargeError`` for one made to burst."""
    _require_footer(file)
    with _worded():
        opened = _opened(file, [])
        _require_sane(opened.metadata)
        columns = tuple(
            replace(one, bounded=_within_calendar(opened.metadata, field))
            for field in opened.schema_arrow
            for one in [column(field)]
        )
    texts = [name.name for name in columns if name.type in (ColumnType.STRING, ColumnType.BINARY)]

    def rows(skip: int, take: int) -> Iterator[list[Row]]:
        with _worded():
            found = _found(_opened(file, texts), columns, skip, take, deadline)
            yield from map(list[Row], batches(found))

    return Reading(columns, rows, opened.metadata.num_rows)


def _opened(file: BinaryIO, dictionaries: list[str]) -> Any:
    file.seek(0)
    return pyarrow.parquet.ParquetFile(
        file,
        read_dictionary=dictionaries,
        buffer_size=BUFFER,
        pre_buffer=False,
        thrift_string_size_limit=MAX_FOOTER,
        thrift_container_size_limit=1_000_000,
    )


def _found(opened: Any, columns: tuple[Column, ...], skip: int, take: int, deadline: Deadline) -> Iterator[Sized]:
    """``take`` rows after ``skip``, with their sizes. Row groups before them are passed over unread."""
    skip, groups = _groups(opened.metadata, skip)
    if not groups or take <= 0:
        return
    converters = [converter(field.type) for field in opened.schema_arrow]
    size = min(BATCH_ROWS, skip + take)
    for batch in opened.iter_batches(size, row_groups=groups, use_threads=False):
        deadline.require()
        first = min(skip, batch.num_rows)
        skip -= first
        wanted = batch.slice(first, take)
        take -= wanted.num_rows
        values = [convert(array) for convert, array in zip(converters, wanted.columns, strict=True)]
        yield from _sized(values, columns, wanted.num_rows)
        if take <= 0:
            return


def _sized(values: list[list[Any]], columns: tuple[Column, ...], count: int) -> Iterator[Sized]:
    measured = [cells for cells, one in zip(values, columns, strict=True) if one.type in _MEASURED]
    rows: Any = zip(*values, strict=True) if values else (() for _ in range(count))
    sizes: Any = (sum(map(_size, cells)) for cells in zip(*measured, strict=True)) if measured else [0] * count
    return zip(sizes, rows, strict=True)


def _size(value: Any) -> int:
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, list):
        return 8 * len(value) + sum(map(_size, value))
    return sum(map(_size, value.values())) if isinstance(value, dict) else 8


def _groups(metadata: Any, skip: int) -> tuple[int, list[int]]:
    """The row groups from the one that row ``skip`` is in, and how many of its rows are still to skip."""
    for at in range(metadata.num_row_groups):
        count = metadata.row_group(at).num_rows
        if skip < count:
            return skip, list(range(at, metadata.num_row_groups))
        skip -= count
    return skip, []


def _within_calendar(metadata: Any, field: Any) -> bool:
    """Whether a date or timestamp column, by the statistics of every row group, stays within the years 1 to 9999.

    Nanoseconds are left as text: the formats that ask for this hold microseconds.
    """
    kind = pyarrow.types
    if not kind.is_date(field.type) and not (kind.is_timestamp(field.type) and field.type.unit != "ns"):
        return False
    paths = [metadata.schema.column(at).path for at in range(metadata.num_columns)]
    if paths.count(field.name) != 1:
        return False
    at = paths.index(field.name)
    return all(_plain_moments(metadata.row_group(group).column(at)) for group in range(metadata.num_row_groups))


def _plain_moments(chunk: Any) -> bool:
    found = chunk.statistics
    if found is None or not found.has_min_max:
        return found is not None and found.has_null_count and found.null_count == chunk.num_values
    try:
        return found.min is not None and found.max is not None
    except (ValueError, OverflowError):  # no date of Python's
        return False


def _require_footer(file: BinaryIO) -> None:
    """The size of the footer, which is unpacked as a whole, is told by the file's last bytes."""
    length = file.seek(0, os.SEEK_END)
    if length < 12:
        raise QueryError("The file is too short to be Parquet.")
    file.seek(-8, os.SEEK_END)
    (size,) = struct.unpack("<I", (tail := file.read(8))[:4])
    file.seek(0)
    if tail[4:] != _MAGIC or file.read(4) != _MAGIC:
        raise QueryError("The file is not Parquet, or is encrypted.")
    if size + 12 > length:
        raise QueryError("The Parquet file is cut off.")
    if size > MAX_FOOTER:
        raise TooLargeError(f"The Parquet file's footer is longer than {MAX_FOOTER} bytes.")


def _require_sane(metadata: Any) -> None:
    require_width(metadata.num_columns)
    total = 0
    for at in range(metadata.num_row_groups):
        group = metadata.row_group(at)
        total += group.num_rows
        for chunk in map(group.column, range(group.num_columns)):
            packed, unpacked = chunk.total_compressed_size, chunk.total_uncompressed_size
            if min(group.num_rows, chunk.num_values, packed, unpacked) < 0:
                raise QueryError("The Parquet file's footer holds negative sizes.")
            if unpacked > MAX_GROUP_COLUMN or (unpacked > FREE and unpacked > MAX_RATIO * packed):
                raise TooLargeError(
                    f"Column {chunk.path_in_schema!r} unpacks from {packed} to {unpacked} bytes in one row group.",
                    hint="Write the file with smaller row groups.",
                )
    if total != metadata.num_rows:
        raise QueryError("The Parquet file's footer contradicts itself about the number of rows.")


@contextmanager
def _worded() -> Iterator[None]:
    """Inside, what Arrow raises becomes our own words; its texts quote the file."""
    try:
        yield
    except UnknownTypeError as exc:
        raise QueryError(f"Columns of the type {exc} are not read.") from None
    except (pyarrow.ArrowMemoryError, pyarrow.ArrowCapacityError):
        raise TooLargeError("The Parquet file needs more memory than a reader may use.") from None
    except UnicodeDecodeError:
        raise QueryError("A text column of the Parquet file holds bytes that are not UTF-8.") from None
    except (pyarrow.ArrowException, OSError):
        raise QueryError("The Parquet file is broken.") from None
