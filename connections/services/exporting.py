"""The record as a file: events as NDJSON or CSV, newest first.

Events are read, written and forgotten a page at a time, so a million of them take no more memory than one page. Who
asks is on record before the first byte, and what was begun ends with the right to it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet

from connections.adapters.contract import Column, ColumnType
from connections.adapters.errors import CancelledError, DeadlineError, ThrottledError
from connections.models import Event, Role
from connections.runner.encoding.formats import TEXTS
from connections.services import events, standing, walls
from connections.services.actor import Actor
from connections.services.keys.record import record

FORMATS: Final = {"csv": "text/csv", "ndjson": "application/x-ndjson"}
"""The media type of each."""
PAGE: Final = 500  # events
MOST_SECONDS: Final = 1800.0
"""For one export: whoever reads it more slowly holds a thread of the web process for nothing.

It is looked at when a part was taken. Whoever takes none holds the thread until their connection ends: the server waits
in it to write, and WSGI has no way to say that it is enough. So the organisation's place is not given to another export
before either: there would be one more thread held with each. Of the database nothing is held meanwhile.
"""
_RETRY_SECONDS: Final = 10.0

_NESTED: Final = {"actor", "object", "changes", "detail"}
_MEMBERS: Final = ("id", "at", "actor", "action", "object", "result", "code", "changes", "detail", "request_id", "ip")
_CELLS: Final = (
    *("id", "at", "actor_kind", "actor_id", "actor", "action", "object_kind", "object_id", "object", "object_version"),
    *("result", "code", "changes", "detail", "request_id", "ip"),
)
_TYPES: Final = {"object_version": ColumnType.INTEGER, "changes": ColumnType.JSON, "detail": ColumnType.JSON}

_running: Final[set[UUID]] = set()
_lock: Final = threading.Lock()


def shown(row: Event) -> dict[str, Any]:
    """An event as the REST contract has it."""
    thing = {
        "kind": row.object_kind,
        "id": row.object_id,
        "label": row.object_label,
        "version": row.object_version,
    }
    return {
        "id": str(row.pk),
        "at": row.at.isoformat().replace("+00:00", "Z"),
        "actor": {"kind": row.actor_kind, "id": row.actor_id, "label": row.actor_label},
        "action": row.action,
        "object": thing if row.object_kind or row.object_label else None,
        "result": row.result,
        "code": row.code or None,
        "changes": row.changes,
        "detail": row.detail,
        "request_id": row.request_id or None,
        "ip": row.ip,
    }


class Export(Iterator[bytes]):
    """The parts of a file, the first of which is there already. Close it when it is not read to the end."""

    def __init__(self, parts: Generator[bytes]) -> None:
        self._parts = parts
        self._first: bytes | None = next(parts, b"")

    def __next__(self) -> bytes:
        if self._first is None:
            return next(self._parts)
        part, self._first = self._first, None
        return part

    def close(self) -> None:
        self._parts.close()


def export(actor: Actor, format_: str, rows: QuerySet[Event] | None = None, chosen: str = "") -> Export:
    """The organisation's events as a file, for its administrators: all, or those of ``rows``, ``chosen`` by a filter.

    That they were asked for is committed when this returns. Raises ``ThrottledError`` while another export of the
    organisation runs in this process. Reading it raises ``CancelledError`` when the right to it ends, and
    ``DeadlineError`` after ``MOST_SECONDS``.
    """
    own = events.visible_events(actor)
    return Export(_for(actor, format_, own if rows is None else rows.visible_to(actor), chosen))  # type: ignore[attr-defined]


def at_terminal(chain: str, organisation_id: UUID | None, format_: str) -> Iterator[bytes]:
    """All events of a chain, for whoever runs the deployment. That they are asked for is on record first."""
    thing, detail = organisation_id or "", {"format": format_}
    record("record.export", organisation_id, kind="record", thing=thing, object_label=chain, detail=detail)
    return written(Event.objects.filter(Q(organisation=organisation_id)), format_)


def written(rows: QuerySet[Event], format_: str) -> Iterator[bytes]:
    """``rows`` in a format, newest first, a page in each part. CSV's formulas are escaped."""
    names = _CELLS if format_ == "csv" else _MEMBERS
    usual = ColumnType.STRING
    kinds = _TYPES if format_ == "csv" else dict.fromkeys(_NESTED, ColumnType.JSON)
    encoder = TEXTS[format_]([Column(name, kinds.get(name, usual)) for name in names], {})
    line = _cells if format_ == "csv" else _values
    if head := encoder.head():
        yield head
    for page in _pages(rows.order_by("-at", "-id")):
        yield encoder.write(encoder.prepare([line(row) for row in page]))


def _for(actor: Actor, format_: str, rows: QuerySet[Event], chosen: str) -> Generator[bytes]:
    with _alone(actor.organisation_id):
        detail = {"format": format_, **({"filter": chosen} if chosen else {})}
        events.record(actor, "record.export", actor.organisation, detail=detail)
        parts = written(rows, format_)
        holder = standing.holder(actor, None)._replace(role=Role.ADMIN)
        begun = looked = time.monotonic()
        while True:
            asked = time.monotonic()
            with walls.inside(actor.organisation_id):
                part = next(parts, None)
            if part is None:
                return
            made = time.monotonic()
            yield part
            now = time.monotonic()
            if now - begun > MOST_SECONDS:
                raise DeadlineError(f"The export took more than {MOST_SECONDS / 60:g} minutes.")
            if now - looked > settings.CATALOG_RECHECK_SECONDS:
                looked = now
                if standing.fallen([holder]):
                    raise CancelledError(standing.WHY)
            # Half of this process's time stays for others', whose requests it would all slow down.
            time.sleep(max(0.0, (made - asked) - (now - made)))


@contextmanager
def _alone(organisation_id: UUID) -> Iterator[None]:
    """The one export that an organisation may have under way in this process: each holds a thread of it."""
    with _lock:
        if organisation_id in _running:
            raise ThrottledError(
                "The organisation's record is being exported already.",
                hint="Wait until that export has ended, or end it.",
                retry_after=_RETRY_SECONDS,
            )
        _running.add(organisation_id)
    try:
        yield
    finally:
        with _lock:
            _running.discard(organisation_id)


def _pages(rows: QuerySet[Event]) -> Iterator[list[Event]]:
    """``rows``, newest first, by their place in that order: no cursor is open and nothing is held in between."""
    page = list(rows[:PAGE])
    while page:
        yield page
        if len(page) < PAGE:
            return
        last = page[-1]
        page = list(rows.filter(at__lte=last.at).filter(Q(at__lt=last.at) | Q(pk__lt=last.pk))[:PAGE])


def _values(row: Event) -> list[Any]:
    return list(shown(row).values())


def _cells(row: Event) -> list[Any]:
    at = row.at.isoformat().replace("+00:00", "Z")
    actor = (row.actor_kind, row.actor_id or None, row.actor_label)
    thing = (row.object_kind or None, row.object_id or None, row.object_label or None, row.object_version)
    what = (row.result, row.code or None, row.changes or None, row.detail or None)
    return [str(row.pk), at, *actor, row.action, *thing, *what, row.request_id or None, row.ip]
