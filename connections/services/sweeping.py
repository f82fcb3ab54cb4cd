"""What time alone changes: work that was started and never finished is closed, old secrets are forgotten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from connections.models import ConnectionSecrets, Event, Organisation, Slot
from connections.services.keys.record import record
from connections.services.locks import try_lock

MARGIN = timedelta(seconds=20)  # clocks that differ, and answers that were on their way
LOOKBACK = timedelta(days=1)
BATCH = 500
_LIMITS = ("preview_timeout", "preview_timeout_max", "check_timeout")
_COPIED = (
    "organisation_id",
    "actor_kind",
    "actor_id",
    "actor_label",
    "action",
    "object_kind",
    "object_id",
    "object_label",
    "object_version",
    "request_id",
    "ip",
)

Key = tuple[Any, ...]
"""What a finishing event shares with the one it finishes."""


def sweep(lookback: timedelta = LOOKBACK) -> int:
    """Finish work that was started within ``lookback`` and can be running no more; return how much of it.

    Each gets an event of the same request, with the result ``failed`` and the code ``worker_crashed``. Safe to run
    several times at once; costs one read of the events in that time, and takes a lock only where something is open.
    """
    before = timezone.now() - longest() - MARGIN
    since = before - lookback
    if not any(_orphans(since, before)):
        return 0
    with transaction.atomic():
        if not try_lock("sweep"):
            return 0
        closed = Event.objects.bulk_create([_end(started) for started in _orphans(since, before)])
    return len(closed)


def expire_previous() -> int:
    """Delete secrets that were replaced and cannot be taken back any more; return how many. Each is on record."""
    expired = ConnectionSecrets.objects.filter(slot=Slot.PREVIOUS, kept_until__lte=timezone.now()).order_by("pk")
    count = 0
    while True:
        with transaction.atomic():
            rows = list(expired.select_related("connection", "organisation").select_for_update(of=("self",))[:BATCH])
            for row in rows:
                record(
                    "connection.forget",
                    row.organisation,
                    kind="connection",
                    thing=row.connection_id,
                    object_label=str(row.connection)[:200],
                    detail={"slot": Slot.PREVIOUS.value, "secrets": sorted(row.names)},
                )
            ConnectionSecrets.objects.filter(pk__in=[row.pk for row in rows]).delete()
        count += len(rows)
        if len(rows) < BATCH:
            return count


def longest() -> timedelta:
    """The longest that any work may take, by the deployment's limits and every organisation's own."""
    own = Organisation.objects.exclude(budgets={}).values_list("budgets", flat=True)
    seconds = [getattr(settings, f"CATALOG_{name.upper()}") for name in _LIMITS]
    seconds += [budgets[name] for budgets in own for name in _LIMITS if name in budgets]
    return timedelta(seconds=float(max(seconds)))


def _orphans(since: datetime, before: datetime) -> Iterator[Event]:
    """Starts within the time that no finish pairs with, newest first.

    Pairs are counted, not joined: callers choose request ids, and may use one again for the same thing.
    """
    open_: Counter[Key] = Counter()
    rows = Event.objects.filter(pk__gte=_first_id(since)).order_by("-pk")
    for result, *key in rows.values_list("result", *_key()).iterator():
        open_[tuple(key)] += 1 if result == "started" else -1
        if not open_[tuple(key)]:
            del open_[tuple(key)]
    left = {key: count for key, count in open_.items() if count > 0}
    requests = {key[_key().index("request_id")] for key in left}
    starts = rows.filter(result="started", request_id__in=requests) if left else rows.none()
    for started in starts:  # newest first: of a request's several starts, the last ones are those left open
        key = tuple(getattr(started, name) for name in _key())
        if left.get(key, 0) > 0:
            left[key] -= 1
            if started.at < before:
                yield started


def _key() -> tuple[str, ...]:
    return ("organisation_id", "request_id", "action", "object_id")


def _end(started: Event) -> Event:
    copied = {name: getattr(started, name) for name in _COPIED}
    return Event(**copied, result="failed", code="worker_crashed", detail={**started.detail, "swept": True})


def _first_id(moment: datetime) -> UUID:
    """The least id that an event of ``moment`` can have: ids begin with 48 bits of milliseconds."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
