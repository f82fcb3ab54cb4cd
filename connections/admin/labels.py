"""Words and marks for what a connection is: its source, state and status."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from connections.models import Connection
from connections.services import sources, state
from connections.services.expiry import WARN_DAYS

Text = str | Promise

CATEGORIES: dict[str, Text] = {
    "database": _("Databases"),
    "warehouse": _("Warehouses"),
    "document": _("Document stores"),
    "files": _("Files"),
    "application": _("Applications and APIs"),
}
STATES: dict[str, Text] = {
    "locked": _("Locked"),
    "invalid": _("Invalid"),
    "unavailable": _("Unavailable"),
    "paused": _("Paused"),
    "unchecked": _("Unchecked"),
    "ready": _("Ready"),
}
STATE_MARKS = {
    "locked": "failed",
    "invalid": "failed",
    "unavailable": "failed",
    "paused": "paused",
    "unchecked": "unknown",
    "ready": "ok",
}
STATUSES: dict[bool | None, tuple[str, str, Text]] = {
    True: ("ok", "✓", _("OK")),
    False: ("failed", "✕", _("Failed")),
    None: ("unknown", "–", _("Unknown")),
}


def source_label(source: str) -> str:
    """The vendor's own spelling, or the id where the source is gone."""
    adapter = sources.find(source)
    return adapter.label if adapter is not None else source or str(_("No source"))


def badge(mark: str, icon: str, text: Text) -> SafeString:
    """A coloured mark that also says in words what it means."""
    return format_html('<span class="mark mark-{}"><span aria-hidden="true">{}</span> {}</span>', mark, icon, text)


def moment(at: datetime | None) -> str:
    """A moment as all pages write it, in UTC; empty for none."""
    return at.strftime("%Y-%m-%d %H:%M") if at is not None else ""


def state_badge(connection: Connection) -> SafeString:
    found = state.state(connection)
    return badge(STATE_MARKS[found], "●", STATES[found])


def expiry_badge(connection: Connection) -> SafeString | str:
    """The day on which the first secret ends, marked when it is near or over; empty when none is known."""
    end = connection.secrets_expire_at
    if end is None:
        return ""
    day = end.strftime("%Y-%m-%d")
    left = end - timezone.now()
    if left <= timedelta(0):
        return badge("failed", "✕", day)
    if left <= timedelta(days=WARN_DAYS[-1]):
        return badge("failed" if left <= timedelta(days=WARN_DAYS[1]) else "paused", "⚠", day)
    return day


def status_badge(connection: Connection) -> SafeString:
    return badge(*STATUSES[connection.status_ok if connection.status_at else None])
