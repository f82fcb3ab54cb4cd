"""Arrow's types and values as columns and wire values, exactly.

Dates and timestamps are told from their numbers, so nanoseconds and years that Python's own types lack are kept.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import date
from typing import Any

import pyarrow
import pyarrow.compute

from connections.adapters.contract import Column, ColumnType
from connections.adapters.files.objects import duration
from connections.adapters.values import integer, real

Convert = Callable[[Any], list[Any]]
"""An Arrow array as the list of its wire values."""

_UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}  # nanoseconds
_DAY = 86_400 * 1_000_000_000
_UINT64_DIGITS = 20
_EPOCH = date(1970, 1, 1).toordinal()
is_a = pyarrow.types

_PLAIN: list[tuple[Callable[[Any], bool], ColumnType]] = [
    (is_a.is_null, ColumnType.STRING),
    (is_a.is_boolean, ColumnType.BOOLEAN),
    (is_a.is_integer, ColumnType.INTEGER),
    (is_a.is_floating, ColumnType.FLOAT),
    (is_a.is_decimal, ColumnType.DECIMAL),
    (is_a.is_string, ColumnType.STRING),
    (is_a.is_large_string, ColumnType.STRING),
    (is_a.is_string_view, ColumnType.STRING),
    (is_a.is_binary, ColumnType.BINARY),
    (is_a.is_large_binary, ColumnType.BINARY),
    (is_a.is_binary_view, ColumnType.BINARY),
    (is_a.is_fixed_size_binary, ColumnType.BINARY),
    (is_a.is_date, ColumnType.DATE),
    (is_a.is_time, ColumnType.TIME),
    (is_a.is_duration, ColumnType.INTERVAL),
    (is_a.is_struct, ColumnType.STRUCT),
    (is_a.is_map, ColumnType.ARRAY),
    (is_a.is_list, ColumnType.ARRAY),
    (is_a.is_large_list, ColumnType.ARRAY),
    (is_a.is_fixed_size_list, ColumnType.ARRAY),
]


class UnknownTypeError(Exception):
    """An Arrow type that has no wire value."""


def column(field: Any) -> Column:
    """The column of an Arrow field. Raises ``UnknownTypeError``."""
    kind = field.type
    decimal = is_a.is_decimal(kind)
    return Column(
        field.name,
        column_type(kind),
        native_type=str(kind),
        nullable=field.nullable,
        precision=kind.precision if decimal else _UINT64_DIGITS if is_a.is_uint64(kind) else None,
        scale=kind.scale if decimal else None,
    )


def column_type(kind: Any) -> ColumnType:
    if isinstance(kind, pyarrow.BaseExtensionType):
        return ColumnType.UUID if kind.extension_name == "arrow.uuid" else column_type(kind.storage_type)
    if is_a.is_dictionary(kind):
        return column_type(kind.value_type)
    if is_a.is_timestamp(kind):
        return ColumnType.TIMESTAMPTZ if kind.tz else ColumnType.TIMESTAMP
    for matches, found in _PLAIN:
        if matches(kind):
            return found
    raise UnknownTypeError(str(kind))


def converter(kind: Any) -> Convert:
    """What turns arrays of an Arrow type into wire values. Raises ``UnknownTypeError``."""
    if isinstance(kind, pyarrow.BaseExtensionType):
        return _extension(kind)
    if is_a.is_dictionary(kind):
        return _dictionary(kind)
    if is_a.is_struct(kind):
        return _struct(kind)
    if is_a.is_map(kind):
        return _map(kind)
    found = column_type(kind)
    if found == ColumnType.ARRAY:
        return _array(kind)
    if is_a.is_unsigned_integer(kind):
        return _each(integer)
    if found == ColumnType.FLOAT:
        return _each(real)
    if found == ColumnType.DECIMAL:
        return _each("{:f}".format)
    if is_a.is_date32(kind):
        return _number(pyarrow.int32(), day)
    if is_a.is_date64(kind):
        return _number(pyarrow.int64(), lambda ms: day(ms // 86_400_000))
    if is_a.is_timestamp(kind):
        unit, zone = _UNITS[kind.unit], "Z" if kind.tz else ""
        return _number(pyarrow.int64(), lambda value: moment(value * unit) + zone)
    if found == ColumnType.TIME:
        unit = _UNITS[kind.unit]
        return _number(pyarrow.int32() if is_a.is_time32(kind) else pyarrow.int64(), lambda value: clock(value * unit))
    if found == ColumnType.INTERVAL:
        unit = _UNITS[kind.unit]
        return _number(pyarrow.int64(), lambda value: duration(value * unit))
    return lambda array: array.to_pylist()


def day(days: int) -> str:
    """A day since 1970 as ISO 8601; years before 1 as ``0044-03-15 BC``, as PostgreSQL writes them."""
    ordinal = days + _EPOCH
    if 1 <= ordinal <= date.max.toordinal():
        return date.fromordinal(ordinal).isoformat()
    era, inner = divmod(ordinal - 1, 146_097)  # the calendar repeats every 400 years
    same = date.fromordinal(inner + 1)
    year = same.year + 400 * era
    tail = f"-{same.month:02d}-{same.day:02d}"
    return f"{year:04d}{tail}" if year > 0 else f"{1 - year:04d}{tail} BC"


def clock(nanoseconds: int) -> str:
    """A time of the day, without trailing zeros in the fraction."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    minutes, seconds = divmod(seconds, 60)
    tail = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}{tail}"


def moment(nanoseconds: int) -> str:
    """A timestamp from nanoseconds since 1970."""
    days, rest = divmod(nanoseconds, _DAY)
    date_part, space, era = day(days).partition(" ")
    return f"{date_part}T{clock(rest)}{space}{era}"


def _each(convert: Callable[[Any], Any]) -> Convert:
    return lambda array: [None if value is None else convert(value) for value in array.to_pylist()]


def _number(storage: Any, convert: Callable[[int], Any]) -> Convert:
    return lambda array: [None if value is None else convert(value) for value in array.view(storage).to_pylist()]


def _extension(kind: Any) -> Convert:
    inner = converter(kind.storage_type)
    if kind.extension_name == "arrow.uuid":
        return lambda array: [None if value is None else str(uuid.UUID(bytes=value)) for value in inner(array.storage)]
    return lambda array: inner(array.storage)


def _dictionary(kind: Any) -> Convert:
    inner = converter(kind.value_type)

    def convert(array: Any) -> list[Any]:
        values = inner(array.dictionary)  # one object for each value, however often it occurs
        return [None if at is None else values[at] for at in array.indices.to_pylist()]

    return convert


def _struct(kind: Any) -> Convert:
    names = [kind.field(at).name for at in range(kind.num_fields)]
    inner = [converter(kind.field(at).type) for at in range(kind.num_fields)]

    def convert(array: Any) -> list[Any]:
        columns = [one(values) for one, values in zip(inner, array.flatten(), strict=True)]
        rows = zip(*columns, strict=True) if columns else (() for _ in range(len(array)))
        valid = array.is_valid().to_pylist()
        return [dict(zip(names, row, strict=True)) if there else None for there, row in zip(valid, rows, strict=True)]

    return convert


def _array(kind: Any) -> Convert:
    inner = converter(kind.value_type)

    def convert(array: Any) -> list[Any]:
        values = iter(inner(array.flatten()))
        lengths = pyarrow.compute.list_value_length(array).to_pylist()
        return [None if length is None else [next(values) for _ in range(length)] for length in lengths]

    return convert


def _map(kind: Any) -> Convert:
    """A map as an array of objects with ``key`` and ``value``: its keys need not be text."""
    keys_of, values_of = converter(kind.key_type), converter(kind.item_type)

    def convert(array: Any) -> list[Any]:
        keys, values = keys_of(array.keys), values_of(array.items)
        offsets = array.offsets.to_pylist()
        valid = array.is_valid().to_pylist()
        pairs = zip(offsets[:-1], offsets[1:], valid, strict=True)
        return [
            [{"key": keys[at], "value": values[at]} for at in range(start, end)] if there else None
            for start, end, there in pairs
        ]

    return convert
