"""One at a time, across processes, without waiting."""

from __future__ import annotations

import hashlib

from django.db import connection

_NAMESPACE = 0x436174  # "Cat": apart from the advisory locks of whoever else uses the database


def try_lock(name: str) -> bool:
    """Take the lock ``name`` until the open transaction ends; False when somebody else has it.

    On SQLite a transaction is the only writer from its start (BEGIN IMMEDIATE), so there is nothing more to take.
    """
    if connection.vendor != "postgresql":
        return True
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_xact_lock(%s, %s)", [_NAMESPACE, number])
        return bool(cursor.fetchone()[0])
