"""The rows of a connection's secrets: what can be told of them without opening any."""

from __future__ import annotations

import hashlib
from datetime import datetime

import orjson

from connections.models import Connection, ConnectionSecrets, Slot
from connections.services import counters, upgrading


def find(connection: Connection, slot: Slot) -> ConnectionSecrets | None:
    """The row of a slot, or None. Reads prefetched rows where there are."""
    if slot == Slot.CURRENT and not connection.secrets_generation:
        return None
    return next((row for row in connection.secrets_rows.all() if row.slot == slot), None)


def current(connection: Connection) -> ConnectionSecrets | None:
    """The row of the secrets in use, or None when the connection has none."""
    return find(connection, Slot.CURRENT)


def names(connection: Connection, slot: Slot = Slot.CURRENT) -> dict[str, str]:
    """Dotted paths of the secrets that are set, each with when it was set (ISO 8601)."""
    row = find(connection, slot)
    return upgrading.by_name(connection, row.names) if row else {}


def references_of(connection: Connection, slot: Slot = Slot.CURRENT) -> dict[str, str]:
    """Dotted paths of the secrets that are kept elsewhere, each with its reference."""
    row = find(connection, slot)
    return upgrading.by_name(connection, row.references) if row and row.references else {}


def blob_digest(blob: bytes) -> str:
    return hashlib.blake2b(bytes(blob), digest_size=12).hexdigest()


def version(connection: Connection) -> str:
    """A text that changes with whatever is stored of the secrets in use, by whomever; empty where there are none.

    An adapter that was made of other bytes is not used any more: these must open first.
    """
    row = current(connection)
    if row is None:
        return ""
    sealed = row.__dict__.get("blob_digest") or blob_digest(row.blob)
    named = blob_digest(orjson.dumps(row.names, option=orjson.OPT_SORT_KEYS))
    return f"{sealed}.{named}.{row.generation}.{row.key_version}"


def is_due(connection: Connection, row: ConnectionSecrets) -> bool:
    """Whether the row is of the generation that its slot can have now, by the connection's own row."""
    if row.slot == Slot.PENDING:
        return row.generation == connection.staged_generation > connection.secrets_generation
    return row.generation == connection.secrets_generation - (row.slot == Slot.PREVIOUS)


def kept_until(row: ConnectionSecrets) -> datetime | None:
    """The moment that the secrets of ``row`` are bound to: only previous ones are."""
    return row.kept_until if row.slot == Slot.PREVIOUS else None


def next_generation(connection: Connection) -> int:
    """A generation above all that the connection's rows have or had. Raises ``UsedUp``."""
    used = connection.secrets_rows.order_by("-generation").values_list("generation", flat=True).first() or 0
    return counters.after(max(used, connection.secrets_generation, connection.staged_generation))


def forget_rows(connection: Connection) -> None:
    """Read the connection's rows of secrets anew the next time: they were changed."""
    getattr(connection, "_prefetched_objects_cache", {}).pop("secrets_rows", None)
