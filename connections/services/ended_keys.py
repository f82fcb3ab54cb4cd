"""Attempts by keys that have ended: they go on the record of the organisation whose keys they were.

A key that nobody ever had writes nothing. A program that goes on with one that was revoked would write without end: its
first attempt is on record at once, and then one event a minute in each process, which says for how many it stands.
"""

from __future__ import annotations

import threading
import time
from typing import Final
from uuid import UUID

from django.db import DatabaseError

from connections.models import APIKey
from connections.services import api_keys, events

SECONDS: Final = 60.0
"""Between two events about one key."""
MOST: Final = 1024
"""Keys whose attempts are counted. Of more, those that were on record longest ago are on record at once again."""


class _Attempts:
    """By key: when its next event is due, on the monotonic clock, and how many attempts there were since the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[UUID, tuple[float, int]] = {}

    def add(self, key_id: UUID) -> int:
        """Count one more. Returns for how many attempts an event is due now; 0 when none is."""
        now = time.monotonic()
        with self._lock:
            due, since = self._counts.get(key_id, (now, 0))
            if now < due:
                self._counts[key_id] = due, since + 1
                return 0
            self._counts.pop(key_id, None)
            if len(self._counts) >= MOST:
                del self._counts[next(iter(self._counts))]
            self._counts[key_id] = now + SECONDS, 0
            return since + 1

    def give_back(self, key_id: UUID, count: int) -> None:
        """What could not be told is due again at once, with this attempt's successor."""
        with self._lock:
            _due, since = self._counts.get(key_id, (0.0, 0))
            self._counts[key_id] = time.monotonic(), since + count


_attempts: Final = _Attempts()


def refused(key: APIKey, asked: str, request_id: str, ip: str | None) -> None:
    """Record that somebody came with a key that has ended."""
    count = _attempts.add(key.pk)
    if not count:
        return
    actor = api_keys.actor_of(key, request_id, ip)
    detail = {"asked": asked, "ended": api_keys.ended(key), "attempts": count}
    try:
        events.record(actor, "access.denied", key, result="denied", code="unauthenticated", detail=detail)
    except DatabaseError:
        _attempts.give_back(key.pk, count)
        raise
