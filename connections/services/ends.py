"""Ends of work, which is on record since it started: kept for a moment, then written many at a time.

An insert for each would cost as much again as the start's, after every answer. Whoever reads the record writes what
this process keeps first. Ends that a killed process kept are written by the sweeper, as of work that was cut off.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from typing import Any, Final

from django.conf import settings
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, connections, router
from django.utils import timezone

from connections.models import Event
from connections.models.base import uuid7
from connections.services import walls
from connections.services.behind import Behind
from connections.services.rows import insert_many_unsynced

MOST: Final = 10_000
"""Ends that are kept while the database cannot be written; later ones are written, or fail, at once."""
_BATCH: Final = 1_000
_LINGER_SECONDS: Final = 10.0
_WAIT_SECONDS: Final = 2.0

_log = logging.getLogger(__name__)
_kept: deque[dict[str, Any]] = deque()
_writing = threading.Lock()
_doubtful = False  # some of what is kept may be written: a commit was sent, and its answer did not come


def keep(row: dict[str, Any]) -> bool:
    """Have ``row``, an event's values, written in a moment, as of now. False where the caller must write it."""
    if not settings.CATALOG_ENDS_INTERVAL or len(_kept) >= MOST:
        return False
    _kept.append({"id": uuid7(), "at": timezone.now(), **row})
    _behind.call()
    return True


def write() -> None:
    """Write what this process keeps, unless a transaction is open: that might be undone.

    What cannot be written now is kept for the next time; what the database never takes is given up. Both are logged.
    """
    global _doubtful
    if connections[router.db_for_write(Event)].in_atomic_block or not _writing.acquire(timeout=_WAIT_SECONDS):
        return
    try:
        while _kept:
            batch = [_kept.popleft() for _ in range(min(_BATCH, len(_kept)))]
            try:
                _insert(_unwritten(batch) if _doubtful else batch)
                _doubtful = False
            except (DatabaseError, InterfaceError) as exc:  # away, read-only, without the right or the table
                _kept.extendleft(reversed(batch))
                _doubtful = True
                _log.warning("%d ends were not recorded, and will be tried again: %s", len(batch), type(exc).__name__)
                return
    finally:
        _writing.release()


def _unwritten(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    with walls.platform():
        known = set(Event.objects.filter(pk__in=[row["id"] for row in rows]).values_list("pk", flat=True))
    return [row for row in rows if row["id"] not in known]


def _insert(rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    try:
        with walls.platform():
            insert_many_unsynced(Event, rows)
    except (DataError, IntegrityError, ValueError) as exc:  # ValueError: the driver cannot even write it
        if len(rows) == 1:
            _log.error("The end of %s was not recorded: %s", rows[0]["request_id"], type(exc).__name__)
            return
        for row in rows:
            _insert([row])


def _start_anew() -> None:
    """After a fork, in the child: what the parent kept is the parent's."""
    global _writing
    _writing = threading.Lock()
    _kept.clear()


_behind: Final = Behind(
    "record-ends",
    write,
    waiting=lambda: bool(_kept),
    interval=lambda: settings.CATALOG_ENDS_INTERVAL,
    linger=_LINGER_SECONDS,
)
os.register_at_fork(after_in_child=_start_anew)
