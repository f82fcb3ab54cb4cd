"""What changes and checks have to do with one another: which edit came before a failure, which before it worked again.

An edit and a check belong together when no other check lies between them. That is no proof, and is not told as one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.utils.translation import gettext as _
from django.utils.translation import ngettext


@dataclass(frozen=True, slots=True)
class Happening:
    """A check with its result ``ok``, or an edit, whose ``what`` says in a word what was done: Edited, Created."""

    at: datetime
    id: UUID
    ok: bool | None = None
    what: str = ""


def sentences(happenings: Iterable[Happening]) -> dict[UUID, str]:
    """What to say of some of ``happenings``, by id. Checks that could not tell count for nothing."""
    told: dict[UUID, str] = {}
    edit: Happening | None = None
    last: bool | None = None
    failing_since: datetime | None = None
    for each in sorted(happenings, key=lambda happening: (happening.at, happening.id)):
        if each.what:
            edit = each
            continue
        if each.ok is None:
            continue
        if each.ok is False and last is not False:
            failing_since = each.at
            told |= _first_failure(each, edit)
        elif each.ok and last is False:
            told |= _works_again(each, edit, failing_since)
        edit, last = None, each.ok
    return told


def _first_failure(check: Happening, edit: Happening | None) -> dict[UUID, str]:
    if edit is None:
        return {check.id: _("First failure.")}
    words = {"what": edit.what, "time": length(check.at - edit.at)}
    return {
        check.id: _("First failure. %(what)s %(time)s before.") % words,
        edit.id: _("%(what)s %(time)s before the first failure.") % words,
    }


def _works_again(check: Happening, edit: Happening | None, failing_since: datetime | None) -> dict[UUID, str]:
    again = _("Works again.")
    if failing_since is not None:
        again = _("Works again after %(time)s.") % {"time": length(check.at - failing_since)}
    if edit is None:
        return {check.id: again}
    words = {"what": edit.what, "time": length(check.at - edit.at)}
    return {
        check.id: f"{again} {_('%(what)s %(time)s before.') % words}",
        edit.id: _("%(what)s %(time)s before it worked again.") % words,
    }


def length(time: timedelta) -> str:
    """How long, in the largest unit that fits: ``3 minutes``."""
    seconds = max(0, int(time.total_seconds()))
    if seconds < 60:
        return ngettext("%(n)d second", "%(n)d seconds", seconds) % {"n": seconds}
    if seconds < 3600:
        return ngettext("%(n)d minute", "%(n)d minutes", seconds // 60) % {"n": seconds // 60}
    if seconds < 86_400:
        return ngettext("%(n)d hour", "%(n)d hours", seconds // 3600) % {"n": seconds // 3600}
    return ngettext("%(n)d day", "%(n)d days", seconds // 86_400) % {"n": seconds // 86_400}
