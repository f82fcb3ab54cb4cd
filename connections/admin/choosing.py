"""Choosing the source of a new connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext as _

from connections.admin.labels import CATEGORIES, Text
from connections.admin.visits import Visit, url
from connections.services import sources


@dataclass(frozen=True, slots=True)
class Card:
    """One source. ``install`` is what would make it available, ``why`` why it is not."""

    id: str
    label: str
    description: str
    available: bool
    install: str | None
    why: Text
    url: str


@dataclass(frozen=True, slots=True)
class Shelf:
    title: Text
    cards: list[Card]


def choose(visit: Visit) -> HttpResponse:
    """The sources by category. Searching works without JavaScript, and at once with it."""
    wanted = visit.request.GET.get("q", "").strip()[:100]
    return visit.page("choose.html", _("Add a connection"), shelves=_shelves(visit, wanted), q=wanted)


def _shelves(visit: Visit, wanted: str) -> list[Shelf]:
    shelves: dict[str, list[Card]] = {category: [] for category in CATEGORIES}
    for summary in sources.summaries():
        if sources.is_allowed(summary["id"], visit.actor.organisation) and _fits(summary, wanted):
            shelves.setdefault(summary["category"], []).append(_card(summary))
    return [
        Shelf(CATEGORIES.get(category, category), sorted(cards, key=lambda card: card.label.casefold()))
        for category, cards in shelves.items()
        if cards
    ]


def _fits(summary: dict[str, Any], wanted: str) -> bool:
    text = f"{summary['label']} {summary['id']} {CATEGORIES.get(summary['category'], '')}".casefold()
    return all(word in text for word in wanted.casefold().split())


def _card(summary: dict[str, Any]) -> Card:
    adapter = sources.find(summary["id"])
    why: Text = ""
    if not summary["available"]:
        why = _("Its driver is not installed.") if adapter is not None else _("It cannot be loaded.")
    return Card(
        id=summary["id"],
        label=summary["label"],
        description=((adapter.__doc__ if adapter is not None else None) or "").strip().split("\n")[0],
        available=summary["available"],
        install=summary["install"],
        why=why,
        url=url("add_source", summary["id"]),
    )
