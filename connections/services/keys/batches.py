"""Sealed secrets in batches that hold a bounded number of rows, and a bounded number of bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from django.db.models import F, QuerySet
from django.db.models.functions import Length

from connections.models import ConnectionSecrets

BYTES: Final = 4 * 1024 * 1024
"""Sealed bytes that a batch holds at most, unless one row alone has more."""


def batches(rows: QuerySet[ConnectionSecrets], size: int, *, most: int = BYTES) -> Iterator[list[ConnectionSecrets]]:
    """``rows`` by their key, at most ``size`` of them and about ``most`` sealed bytes at a time."""
    rows = rows.order_by("pk")
    lengths = rows.values_list("pk", Length(F("blob")))
    upcoming = list(lengths[:size])
    while upcoming:
        last, total = upcoming[0][0], upcoming[0][1]
        for pk, length in upcoming[1:]:
            total += length
            if total > most:
                break
            last = pk
        yield list(rows.filter(pk__gte=upcoming[0][0], pk__lte=last))
        upcoming = list(lengths.filter(pk__gt=last)[:size])
