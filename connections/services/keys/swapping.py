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
    old, new = list(swaps[0].old), list(swaps[0].new)
    columns = ["pk", *(f"old_{column}" for column in old), *(f"new_{column}" for column in new)]
    row = f"({', '.join(['%s'] * len(columns))})"
    values = [
        _value(meta.get_field(column), value)
        for s in swaps
        for column, value in (("id", s.pk), *s.old.items(), *s.new.items())
    ]
    sql = (
        f"with swaps ({', '.join(columns)}) as (values {', '.join([row] * len(swaps))}) "  # noqa: S608 our own names
        f"update {name(meta.db_table)} as t set {', '.join(f'{name(c)} = swaps.new_{c}' for c in new)} from swaps "
        f"where t.id = swaps.pk and {' and '.join(f't.{name(c)} = swaps.old_{c}' for c in old)} returning id"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, values)  # one statement: a round trip for each row would take most of the time
        written = len(cursor.fetchall())
    stored = dict(model._default_manager.filter(pk__in=[s.pk for s in swaps]).values_list("pk", "blob"))
    agreeing = sum(bytes(stored.get(s.pk, b"")) == s.new["blob"] for s in swaps)
    if agreeing != written:
        raise WriteNotVerified(
            f"{written} rows of {meta.db_table} were written, and {agreeing} read back as written. Nothing was kept."
        )
    return written


def _value(column: Any, value: Any) -> Any:
    return column.get_db_prep_save(value, connection)
