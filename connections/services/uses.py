"""How often connections are used, when last and by whom: counted in memory, written once a minute.

``note`` costs two locks and a dictionary, so that it may stand on the way of every preview. What a process has not
written when it is killed is lost; one that ends in order writes it.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import Field
from django.utils import timezone

from connections.models import Connection, ConnectionUse, Role
from connections.services import walls
from connections.services.actor import Actor
from connections.services.behind import Behind

MOST = 10_000
"""Connections that are counted between two writes; uses of more than that are not."""

_log = logging.getLogger(__name__)
# A connection that is gone by now has no row to count for, and nothing is inserted.
_ADD = """
insert into connections_connectionuse (connection_id, organisation_id, uses, last_used_at, last_used_by)
select id, organisation_id, %s, %s, %s from connections_connection
where id = %s and organisation_id = %s
on conflict (connection_id) do update set
  uses = connections_connectionuse.uses + excluded.uses,
  last_used_by = case when excluded.last_used_at >= connections_connectionuse.last_used_at
    then excluded.last_used_by else connections_connectionuse.last_used_by end,
  last_used_at = case when excluded.last_used_at >= connections_connectionuse.last_used_at
    then excluded.last_used_at else connections_connectionuse.last_used_at end
"""


@dataclass(slots=True)
class _Use:
    organisation_id: UUID
    count: int
    last_at: datetime
    last_by: str


class _Tally:
    """What this process has counted and not written."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.waiting: dict[UUID, _Use] = {}
        self.uncounted = 0

    def add(self, connection_id: UUID, use: _Use) -> None:
        """Count ``use``. Called with the lock held."""
        held = self.waiting.get(connection_id)
        if held is not None:
            held.count += use.count
            if use.last_at >= held.last_at:
                held.last_at, held.last_by = use.last_at, use.last_by
        elif len(self.waiting) < MOST:
            self.waiting[connection_id] = use
        else:
            self.uncounted += use.count

    def take(self) -> dict[UUID, _Use]:
        with self.lock:
            taken, self.waiting = self.waiting, {}
            uncounted, self.uncounted = self.uncounted, 0
        if uncounted:
            _log.warning("%d uses were not counted: over %d connections in one interval.", uncounted, MOST)
        return taken

    def give_back(self, taken: dict[UUID, _Use]) -> None:
        with self.lock:
            for connection_id, use in taken.items():
                self.add(connection_id, use)


_tally = _Tally()


def note(connection_id: UUID, organisation_id: UUID, label: str) -> None:
    """Count one use of a connection by whom ``label`` names. Writes nothing itself, and raises nothing."""
    if not settings.CATALOG_USE_INTERVAL:
        return
    use = _Use(organisation_id, 1, timezone.now(), label)
    with _tally.lock:
        _tally.add(connection_id, use)
    _behind.call()


def flush() -> int:
    """Add what this process has counted to the database; return how many connections that was about.

    One statement a connection, which adds: several processes may write at once. What cannot be written is kept for
    the next time.
    """
    taken = _tally.take()
    if not taken:
        return 0
    try:
        with walls.platform(), transaction.atomic():
            _write(taken)
    except DatabaseError:
        _tally.give_back(taken)
        raise
    return len(taken)


def of(actor: Actor, row: Connection) -> ConnectionUse | None:
    """How a connection was used, as far as it is written; None when it never was."""
    actor.require(Role.VIEWER, row)
    return ConnectionUse.objects.all().visible_to(actor).filter(connection=row).first()


def _write(taken: dict[UUID, _Use]) -> None:
    # In the order of ids: two processes that lock the same rows do it in the same order.
    rows = [
        (
            use.count,
            _stored("last_used_at", use.last_at),
            use.last_by[:200],
            _stored("connection", connection_id),
            _stored("organisation", use.organisation_id),
        )
        for connection_id, use in sorted(taken.items())
    ]
    with connection.cursor() as cursor:
        cursor.executemany(_ADD, rows)


def _stored(name: str, value: Any) -> Any:
    """A column's value as this database takes it."""
    field: Field[Any, Any] = ConnectionUse._meta.get_field(name)  # type: ignore[assignment]
    return field.get_db_prep_value(value, connection)


def _flush_quietly() -> None:
    """``flush`` where nobody waits for it. Where counting is off by now, what was counted is forgotten."""
    if not settings.CATALOG_USE_INTERVAL:
        _tally.take()
        return
    try:
        flush()
    except DatabaseError as exc:
        _log.warning("Uses of connections were not written, and will be tried again: %s", type(exc).__name__)


def _start_anew() -> None:
    """After a fork, in the child: the parent's counts are the parent's."""
    global _tally
    _tally = _Tally()


_behind: Final = Behind(
    "connection-uses",
    _flush_quietly,
    waiting=lambda: bool(_tally.waiting),
    interval=lambda: settings.CATALOG_USE_INTERVAL,
)
os.register_at_fork(after_in_child=_start_anew)
