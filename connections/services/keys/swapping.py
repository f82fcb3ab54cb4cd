"""Compare and swap: new sealed bytes replace the old ones only where the old ones still are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection, models


@dataclass(frozen=True, slots=True)
class Swap:
    """One row: the columns that must still hold ``old``, and what they get. Both have a ``blob``."""

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
    columns = ", ".join(f"{name(column)} = %s" for column in swaps[0].new)
    expected = " and ".join(f"{name(column)} = %s" for column in ("id", *swaps[0].old))
    rows = [
        [_value(meta.get_field(column), value) for column, value in (*s.new.items(), ("id", s.pk), *s.old.items())]
        for s in swaps
    ]
    with connection.cursor() as cursor:
        cursor.executemany(f"update {name(meta.db_table)} set {columns} where {expected}", rows)  # noqa: S608 our own names
        written = int(cursor.rowcount)
    stored = dict(model._default_manager.filter(pk__in=[s.pk for s in swaps]).values_list("pk", "blob"))
    agreeing = sum(bytes(stored.get(s.pk, b"")) == s.new["blob"] for s in swaps)
    if agreeing != written:
        raise WriteNotVerified(
            f"{written} rows of {meta.db_table} were written, and {agreeing} read back as written. Nothing was kept."
        )
    return written


def _value(column: Any, value: Any) -> Any:
    return column.get_db_prep_save(value, connection)
