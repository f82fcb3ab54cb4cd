"""Compare and swap: new sealed bytes replace the old ones only where the old ones still are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection, models


@dataclass(frozen=True, slots=True)
class Swap:
    """One row: the columns that must still hold ``old``, and what they get. Both have a ``blob``.

    The columns are such as take text, integers and bytes as they are.
    """

    pk: UUID
    old: dict[str, Any] = field(repr=False)
    new: dict[str, Any] = field(repr=False)


class WriteNotVerified(RuntimeError):
    """What was written is not what is read back. The transaction must be rolled back, and is when this leaves it."""


def swap(model: type[models.Model], swaps: Sequence[Swap]) -> int:
    """Write ``swaps``, all with the same columns, in the open transaction; return how many rows still were as expected.

    Rows that were changed or deleted meanwhile are left alone. What was written is read back. Raises WriteNotVerified.
    """
    if not swaps:
        return 0
    meta, name = model._meta, connection.ops.quote_name
    old, new = list(swaps[0].old), list(swaps[0].new)
    columns = [meta.get_field(column) for column in ("id", *old, *new)]
    source, parameters = _source(columns, [(s.pk, *s.old.values(), *s.new.values()) for s in swaps])
    names = ", ".join(["pk", *(f"old_{column}" for column in old), *(f"new_{column}" for column in new)])
    sql = (
        f"with swaps ({names}) as ({source}) "  # noqa: S608 our own names
        f"update {name(meta.db_table)} as t set {', '.join(f'{name(c)} = swaps.new_{c}' for c in new)} from swaps "
        f"where t.id = swaps.pk and {' and '.join(f't.{name(c)} = swaps.old_{c}' for c in old)} returning id, blob"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)  # one statement: a round trip for each row would take most of the time
        stored = cursor.fetchall()
    due = {_id(s.pk): s.new["blob"] for s in swaps}
    written, agreeing = len(stored), sum(bytes(blob) == due[pk] for pk, blob in stored)
    if agreeing != written:
        raise WriteNotVerified(
            f"{written} rows of {meta.db_table} were written, and {agreeing} read back as written. Nothing was kept."
        )
    return written


def _source(columns: Sequence[Any], rows: Sequence[tuple[Any, ...]]) -> tuple[str, list[Any]]:
    """SQL that selects ``rows``, and its parameters: on PostgreSQL one array a column, which it reads the fastest."""
    if connection.vendor == "postgresql":
        types = ", ".join(f"%s::{column.rel_db_type(connection)}[]" for column in columns)
        arrays = [_array(values) for values in zip(*rows, strict=True)]
        return f"select * from unnest({types})", arrays  # noqa: S608 our own types
    row = f"({', '.join(['%s'] * len(columns))})"
    return f"values {', '.join([row] * len(rows))}", [
        _id(value) if isinstance(value, UUID) else value for values in rows for value in values
    ]


def _array(values: Sequence[Any]) -> Any:
    """A column's values for PostgreSQL. Bytes and ids are spelt as its arrays are: the driver takes far longer to."""
    if isinstance(values[0], bytes):
        return "{" + ",".join([f'"\\\\x{value.hex()}"' for value in values]) + "}"
    if isinstance(values[0], UUID):
        return "{" + ",".join([f"{value.int:032x}" for value in values]) + "}"
    return list(values)


def _id(value: UUID) -> Any:
    """An id as the database gives it back."""
    return value if connection.features.has_native_uuid_field else value.hex
