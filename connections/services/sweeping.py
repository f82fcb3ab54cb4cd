"""What time alone changes: work that was started and never finished is closed, old secrets are forgotten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Case, TextField, When
from django.db.models.fields.json import KT
from django.utils import timezone

from connections.models import Connection, ConnectionSecrets, Event, Organisation, Slot
from connections.services.keys.record import record
from connections.services.locks import hold, try_lock

MARGIN = timedelta(seconds=20)  # clocks that differ, and answers that were on their way
LOOKBACK = timedelta(days=1)
BATCH = 500
_CODE = "worker_crashed"
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

_KEY = ("organisation_id", "request_id", "action", "object_id")
"""What a finishing event shares with the one it finishes."""


class Swept(NamedTuple):
    """How much work was finished now, and how much that was finished earlier has an end of its own after all."""

    closed: int = 0
    late: int = 0


def sweep(lookback: timedelta = LOOKBACK) -> Swept:
    """Finish work that was started within ``lookback`` and can be running no more.

    Each gets an event of the same request, with the result ``failed`` and the code ``worker_crashed``, whose detail
    names the start's id in ``swept``. A process that could not reach the database for so long may still bring an end
    of its own: then that is what happened. Safe to run several times at once; costs one read of the events in that
    time, and takes a lock only where something is open.
    """
    before = timezone.now() - longest() - MARGIN
    since = before - lookback
    found = _read(since)
    if not found.due(before):
        return Swept(late=found.late)
    with transaction.atomic():
        if not try_lock("sweep"):
            return Swept(late=found.late)
        found = _read(since)
        starts = Event.objects.filter(pk__in=found.due(before))
        closed = Event.objects.bulk_create([_end(started) for started in starts])
    return Swept(len(closed), found.late)


def expire_previous() -> int:
    """Delete secrets that were replaced and cannot be taken back any more; return how many. Each is on record."""
    expired = ConnectionSecrets.objects.filter(slot=Slot.PREVIOUS, kept_until__lte=timezone.now()).order_by("pk")
    count = 0
    while True:
        with transaction.atomic():
            due = dict(expired.values_list("pk", "connection_id")[:BATCH])
            hold(Connection.objects.filter(pk__in=due.values()))
            still = expired.filter(pk__in=due).select_for_update(of=("self",))
            rows = list(still.select_related("connection", "organisation"))
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
        if len(due) < BATCH:
            return count


def longest() -> timedelta:
    """The longest that any work may take, by the deployment's limits and every organisation's own."""
    own = Organisation.objects.exclude(budgets={}).values_list("budgets", flat=True)
    seconds = [getattr(settings, f"CATALOG_{name.upper()}") for name in _LIMITS]
    seconds += [budgets[name] for budgets in own for name in _LIMITS if name in budgets]
    return timedelta(seconds=float(max(seconds)))


@dataclass(slots=True)
class _Found:
    """The starts that nothing ended, by id, with when; ``late`` starts have a swept end and one of their own."""

    open: dict[UUID, datetime] = field(default_factory=dict)
    late: int = 0

    def due(self, before: datetime) -> list[UUID]:
        return [pk for pk, at in self.open.items() if at < before]


def _read(since: datetime) -> _Found:
    """Pair starts and ends from ``since`` on.

    An end is that of the last start before it with the same key: callers choose request ids, and may use one again for
    the same thing. A read that was refused before it began has an end and no start, and says so: it is left out. A
    swept end names its start.
    """
    found, swept = _Found(), set[str]()
    ended: Counter[tuple[Any, ...]] = Counter()
    for pk, at, result, of, begun, *rest in _newest_first(since):
        key = tuple(rest)
        if begun is False:
            continue
        if of is not None:
            swept.add(of)
        elif result != "started":
            ended[key] += 1
        elif ended[key]:
            ended[key] -= 1
            found.late += str(pk) in swept
        elif str(pk) not in swept:
            found.open[pk] = at
        if not ended[key]:
            del ended[key]
    return found


def _newest_first(since: datetime) -> Iterator[tuple[Any, ...]]:
    """The events from ``since`` on: id, time, result, the start that a swept one names, whether it began, their key.

    Ids tell milliseconds. Of those within one, the time tells which came first.
    """
    swept = Case(When(code=_CODE, then=KT("detail__swept")), output_field=TextField(null=True))
    rows = Event.objects.filter(pk__gte=_first_id(since)).order_by("-pk").annotate(of=swept)
    of_one = groupby(
        rows.values_list("pk", "at", "result", "of", "detail__begun", *_KEY).iterator(),
        key=lambda row: row[0].int >> 80,
    )
    for _, events in of_one:
        yield from sorted(events, key=lambda row: (row[1], row[2] != "started"), reverse=True)


def _end(started: Event) -> Event:
    copied = {name: getattr(started, name) for name in _COPIED}
    return Event(**copied, result="failed", code=_CODE, detail={**started.detail, "swept": str(started.pk)})


def _first_id(moment: datetime) -> UUID:
    """The least id that an event of ``moment`` can have: ids begin with 48 bits of milliseconds."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
