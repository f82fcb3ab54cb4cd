"""What the first page shows of an organisation. It reads rows, and reaches nothing."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Q
from django.utils.safestring import SafeString

from connections.admin import labels
from connections.admin.visible import visible
from connections.models import Connection, Event, Role
from connections.services import connections, visits
from connections.services.actor import Actor
from connections.services.expiry import WARN_DAYS

SHOWN = 8


@dataclass(frozen=True, slots=True)
class Overview:
    """Counts of the connections by what their last check said, as the list counts them, and those that need a look.

    A paused connection counts with the others too. ``expiring`` and ``recent`` hold the source's label beside each.
    """

    total: int
    ok: int
    failed: int
    unknown: int
    paused: int
    failing: list[Connection]
    expiring: list[tuple[Connection, str, SafeString | str]]
    recent: list[tuple[Connection, str]]
    may_add: bool
    visits: list[Looked]


@dataclass(frozen=True, slots=True)
class Looked:
    """That the platform looked in: who and why, as text in which nothing is hidden."""

    event: Event
    who: str
    why: str


def overview(actor: Actor) -> Overview:
    rows = connections.visible(actor).order_by()
    counts = rows.aggregate(
        total=Count("pk"),
        ok=Count("pk", filter=Q(status_ok=True)),
        failed=Count("pk", filter=Q(status_ok=False)),
        unknown=Count("pk", filter=Q(status_ok=None)),
        paused=Count("pk", filter=Q(paused_at__isnull=False)),
    )
    return Overview(
        **counts,
        failing=list(rows.filter(status_ok=False, paused_at=None).order_by("-status_at")[:SHOWN]),
        expiring=[
            (row, labels.source_label(row.source), labels.expiry_badge(row))
            for row in rows.filter(connections.expiring_within(WARN_DAYS[-1])).order_by("secrets_expire_at")[:SHOWN]
        ],
        recent=[(row, labels.source_label(row.source)) for row in rows.order_by("-updated_at", "-pk")[:SHOWN]],
        may_add=actor.may(Role.EDITOR),
        visits=[_looked(event) for event in visits.recent(actor)[:SHOWN]] if actor.may(Role.ADMIN) else [],
    )


def _looked(event: Event) -> Looked:
    return Looked(event, visible(event.actor_label), visible(event.detail.get("visit", {}).get("reason", "")))
