"""One at a time, across processes.

Whoever writes sealed secrets takes locks in one order, so that no two wait for one another: connections, the
organisation's keys, the organisation, secrets. Of several rows, by id.
"""

from __future__ import annotations

import hashlib
from typing import Any

from django.db import connection
from django.db.models import QuerySet, Value

_NAMESPACE = 0x436174  # "Cat": apart from the advisory locks of whoever else uses the database


def hold(rows: QuerySet[Any]) -> None:
    """Lock ``rows`` until the open transaction ends. Others may still point at them.

    On SQLite a transaction is the only writer from its start (BEGIN IMMEDIATE), so there is nothing to take.
    """
    if connection.features.has_select_for_update:
        list(rows.select_for_update(no_key=True).order_by("pk").values_list(Value(1)))  # no ids: nobody reads them


def try_lock(name: str) -> bool:
    """Take the lock ``name``, without waiting, until the open transaction ends; False when somebody else has it.

    On SQLite there is nothing to take, as above.
    """
    if connection.vendor != "postgresql":
        return True
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_xact_lock(%s, %s)", [_NAMESPACE, number])
        return bool(cursor.fetchone()[0])
