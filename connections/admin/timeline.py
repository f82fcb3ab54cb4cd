"""The history of a connection: its status checks and, for administrators, its events, on one line of time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from connections.admin.changes import Changed, changed, detail
from connections.admin.editing import about
from connections.admin.reports import Outcome, of_report
from connections.admin.visible import visible
from connections.admin.visits import Visit
from connections.models import Connection, Event, Role, StatusCheck
from connections.services import events, status

PAGE = 50


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened: a check with its ``outcome``, or an event with who did what."""

    at: datetime
    id: UUID
    outcome: Outcome | None = None
    action: str = ""
    actor: str = ""
    result: str = ""
    code: str = ""
    request_id: str = ""
    changes: list[Changed] = field(default_factory=list)
    details: list[tuple[str, str]] = field(default_factory=list)


def history(visit: Visit, connection: Connection) -> HttpResponse:
    """Newest first, ``PAGE`` to a page; ``?before=`` is the last entry of the page before."""
    before = _before(visit.request.GET.get("before", ""))
    found = sorted(_entries(visit, connection, before), key=lambda entry: (entry.at, entry.id), reverse=True)
    shown, more = found[:PAGE], len(found) > PAGE
    return visit.page(
        "history.html",
        _("History of %(name)s") % {"name": connection.name},
        **about(visit, connection),
        entries=shown,
        older=f"{shown[-1].at.isoformat()}_{shown[-1].id}" if more else "",
        is_first=before is None,
        shows_events=visit.actor.may(Role.ADMIN),
    )


def _entries(visit: Visit, connection: Connection, before: tuple[datetime, UUID] | None) -> Iterable[Entry]:
    checks = _page(status.history(visit.actor, connection), "checked_at", before)
    yield from (_of_check(row) for row in checks)
    if not visit.actor.may(Role.ADMIN):
        return
    rows = events.visible_events(visit.actor).filter(object_kind="connection", object_id=str(connection.pk))
    # A check is here already, with its steps; a read's start says nothing that its end does not.
    rows = rows.exclude(action="connection.check").exclude(result="started")
    yield from (_of_event(row) for row in _page(rows, "at", before))


def _page(rows: QuerySet[Any], moment: str, before: tuple[datetime, UUID] | None) -> QuerySet[Any]:
    if before is not None:
        at, pk = before
        rows = rows.filter(Q(**{f"{moment}__lt": at}) | Q(**{moment: at, "pk__lt": pk}))
    return rows.order_by(f"-{moment}", "-pk")[: PAGE + 1]


def _of_check(row: StatusCheck) -> Entry:
    return Entry(row.checked_at, row.pk, outcome=of_report(status.shown(row)))


def _of_event(row: Event) -> Entry:
    return Entry(
        row.at,
        row.pk,
        action=row.action,
        actor=visible(row.actor_label),
        result=row.result,
        code=row.code,
        request_id=row.request_id,
        changes=changed(row),
        details=detail(row),
    )


def _before(text: str) -> tuple[datetime, UUID] | None:
    """Where a page starts, or None for the first one and for what is no place."""
    moment, _separator, pk = text.partition("_")
    try:
        at = parse_datetime(moment)
        return (at, UUID(pk)) if at is not None and at.tzinfo is not None else None
    except ValueError:
        return None
