"""The history of a connection on one line of time: its status checks, and what was changed, with what they may have
to do with one another. Administrators see every event of the record there, others the versions of the settings, and who
changed secrets when.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import zip_longest
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connections.admin import streaks
from connections.admin.changes import Changed, changed, detail, differences
from connections.admin.editing import about
from connections.admin.reports import Outcome, of_report
from connections.admin.streaks import Happening
from connections.admin.visible import visible
from connections.admin.visits import Visit
from connections.models import Connection, ConnectionRevision, Event, Role, StatusCheck
from connections.services import events, revisions, status

PAGE = 50
EDITS = {
    "connection.create": gettext_lazy("Created"),
    "connection.clone": gettext_lazy("Created"),
    "connection.update": gettext_lazy("Edited"),
    "connection.restore": gettext_lazy("Restored"),
    "connection.upgrade": gettext_lazy("Upgraded"),
    "connection.promote": gettext_lazy("New secrets promoted"),
    "connection.rollback": gettext_lazy("Old secrets taken back"),
}
"""The actions that may change whether a connection works, in a word."""
WORDS = {
    **EDITS,
    "connection.test": gettext_lazy("Tested"),
    "connection.preview": gettext_lazy("Previewed"),
    "connection.export": gettext_lazy("Exported"),
    "connection.tables": gettext_lazy("Tables listed"),
    "connection.stage": gettext_lazy("New secrets entered"),
    "connection.discard": gettext_lazy("New secrets discarded"),
    "connection.pause": gettext_lazy("Paused"),
    "connection.resume": gettext_lazy("Resumed"),
    "access.denied": gettext_lazy("Refused"),
}
"""All actions in words. One that is not here is told by its name."""
LEFT_OUT = frozenset({"query sha256", "query bytes", "limit", "format", "slot", "probe", "dropped", "previous until"})
"""What an event says that only its own page shows."""
TELLING = ("config", "secrets", "references")
"""What an update may change that decides whether the connection works; a new name does not."""
Place = tuple[datetime, UUID]


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened: a check with its ``outcome``, an event with who did what, a version of the settings, or
    a change of secrets.

    ``edit`` is what was done in a word, where it may change whether the connection works. ``restorable`` is the
    version whose settings can be had back from here.
    """

    at: datetime
    id: UUID
    outcome: Outcome | None = None
    ok: bool | None = None
    edit: str = ""
    action: str = ""
    actor: str = ""
    result: str = ""
    code: str = ""
    request_id: str = ""
    version: int | None = None
    restorable: int | None = None
    sentence: str = ""
    changes: list[Changed] = field(default_factory=list)
    details: list[tuple[str, str]] = field(default_factory=list)

    @property
    def words(self) -> str:
        """What was done."""
        return self.edit or str(WORDS.get(self.action, self.action))


def history(visit: Visit, connection: Connection) -> HttpResponse:
    """Newest first, ``PAGE`` to a page; ``?before=`` is the last entry of the page before."""
    before = _before(visit.request.GET.get("before", ""))
    whole = visit.actor.may(Role.ADMIN)
    found = [*_checks(visit, connection, before)]
    found += _events(visit, connection, before) if whole else _edits(visit, connection, before)
    found.sort(key=lambda entry: (entry.at, entry.id), reverse=True)
    shown, more = found[:PAGE], len(found) > PAGE
    around = [*_next(visit, connection, before), *_earlier(visit, connection, found)]
    told = streaks.sentences(_happening(entry) for entry in [*found, *around])
    kept = _restorable(visit, connection, shown)
    return visit.page(
        "history.html",
        _("History of %(name)s") % {"name": connection.name},
        **about(visit, connection),
        entries=[
            replace(entry, sentence=told.get(entry.id, ""), restorable=entry.version if _made(entry) in kept else None)
            for entry in shown
        ],
        older=f"{shown[-1].at.isoformat()}_{shown[-1].id}" if more else "",
        is_first=before is None,
        shows_events=whole,
    )


def _checks(visit: Visit, connection: Connection, before: Place | None) -> Iterator[Entry]:
    checks = _page(status.history(visit.actor, connection), "checked_at", before)
    return (_of_check(row) for row in checks)


def _events(visit: Visit, connection: Connection, before: Place | None) -> Iterator[Entry]:
    return (_of_event(row) for row in _page(_record(visit, connection), "at", before))


def _record(visit: Visit, connection: Connection) -> QuerySet[Event]:
    rows = events.visible_events(visit.actor).filter(object_kind="connection", object_id=str(connection.pk))
    # A check is here already, with its steps; a read's start says nothing that its end does not.
    return rows.exclude(action="connection.check").exclude(result="started")


def _edits(visit: Visit, connection: Connection, before: Place | None) -> list[Entry]:
    """The versions of the settings, and the changes of secrets that made none."""
    rows = [*_page(revisions.history(visit.actor, connection), "made_at", before)]
    versions = [_of_revision(row, earlier) for row, earlier in zip_longest(rows, rows[1:])]
    return versions + [_of_secrets(row) for row in _page(_secrets(visit, connection), "at", before)]


def _secrets(visit: Visit, connection: Connection) -> QuerySet[Event]:
    versions = revisions.history(visit.actor, connection).order_by().values("version")
    return events.of_secrets(visit.actor, connection).exclude(object_version__in=versions)


def _next(visit: Visit, connection: Connection, before: Place | None) -> Sequence[Entry]:
    """The check and the edit that follow on a page, which decide what its newest edit has to do with a failure."""
    if before is None:
        return []
    at, pk = before
    later = _later(status.history(visit.actor, connection).exclude(ok=None), "checked_at", at, pk)
    found = [_of_check(row) for row in later]
    if visit.actor.may(Role.ADMIN):
        edits = _record(visit, connection).filter(action__in=EDITS, result="ok")
        return found + [_of_event(row) for row in _later(edits, "at", at, pk)]
    kept = _later(revisions.history(visit.actor, connection), "made_at", at, pk)
    entered = _later(_secrets(visit, connection), "at", at, pk)
    return found + [_of_revision(row, None) for row in kept] + [_of_secrets(row) for row in entered]


def _earlier(visit: Visit, connection: Connection, found: Sequence[Entry]) -> Sequence[Entry]:
    """The edits before the oldest event of a page: between one and a failure there may be more reads than it holds."""
    recorded = [(entry.at, entry.id) for entry in found if entry.action]
    if len(recorded) <= PAGE:
        return []
    edits = _record(visit, connection).filter(action__in=EDITS, result="ok")
    return [_of_event(row) for row in _page(edits, "at", min(recorded))]


def _page(rows: QuerySet[Any], moment: str, before: Place | None) -> QuerySet[Any]:
    if before is not None:
        at, pk = before
        rows = rows.filter(Q(**{f"{moment}__lt": at}) | Q(**{moment: at, "pk__lt": pk}))
    return rows.order_by(f"-{moment}", "-pk")[: PAGE + 1]


def _later(rows: QuerySet[Any], moment: str, at: datetime, pk: UUID) -> QuerySet[Any]:
    after = Q(**{f"{moment}__gt": at}) | Q(**{moment: at, "pk__gte": pk})
    return rows.filter(after).order_by(moment, "pk")[:1]


def _of_check(row: StatusCheck) -> Entry:
    return Entry(row.checked_at, row.pk, outcome=of_report(status.shown(row)), ok=row.ok)


def _of_event(row: Event) -> Entry:
    telling = row.result == "ok" and (row.action != "connection.update" or any(name in row.changes for name in TELLING))
    return Entry(
        row.at,
        row.pk,
        edit=str(EDITS.get(row.action, "")) if telling else "",
        action=row.action,
        actor=visible(row.actor_label),
        result=row.result,
        code=row.code,
        request_id=row.request_id,
        version=row.object_version,
        changes=changed(row),
        details=[(name, value) for name, value in detail(row) if name not in LEFT_OUT],
    )


def _of_revision(row: ConnectionRevision, earlier: ConnectionRevision | None) -> Entry:
    return Entry(
        row.made_at,
        row.pk,
        edit=str(_("Created") if row.version == 1 else _("Edited")),
        actor=visible(row.made_by),
        result="ok",
        version=row.version,
        changes=differences("config", earlier.config, row.config) if earlier is not None else [],
    )


def _of_secrets(row: Event) -> Entry:
    """Who and when: which secrets, and where they are kept now, is for the record's readers."""
    return Entry(
        row.at,
        row.pk,
        edit=str(EDITS[row.action]),
        actor=visible(row.actor_label),
        result="ok",
        version=row.object_version,
        changes=[Changed("secrets")] if row.action in events.ENTERS_SECRETS else [],
    )


def _happening(entry: Entry) -> Happening:
    return Happening(entry.at, entry.id, ok=entry.ok, what=entry.edit)


def _restorable(visit: Visit, connection: Connection, shown: Sequence[Entry]) -> set[int]:
    """Versions among these whose settings were kept and are other than today's."""
    if not visit.actor.may(Role.EDITOR):
        return set()
    versions = {version for entry in shown if (version := _made(entry)) is not None}
    kept = revisions.history(visit.actor, connection).filter(version__in=versions)
    return {row.version for row in kept if row.config != connection.config}


def _made(entry: Entry) -> int | None:
    """The version that came of this entry; None for one that only met it, as a preview does, and for what failed."""
    is_edit = not entry.action or entry.action in EDITS
    return entry.version if is_edit and entry.result == "ok" else None


def _before(text: str) -> Place | None:
    """Where a page starts, or None for the first one and for what is no place."""
    moment, _separator, pk = text.partition("_")
    try:
        at = parse_datetime(moment)
        return (at, UUID(pk)) if at is not None and at.tzinfo is not None else None
    except ValueError:
        return None
