"""Whether the record is what was sealed: edits, deletions, other orders and missing ends are found.

Batches that were purged by policy are gone, and their seals stay. What the record says of its purges tells them from
batches that somebody deleted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db.models import Min, Q

from connections.models import Event, EventSeal, Organisation
from connections.services import seals

PLATFORM = "@platform"  # no slug has an @
PURGE = "record.purge"  # the action of the events that tell of a purge
_PAGE = 50  # seals read at once, each with its events


class Anchor(NamedTuple):
    """What a chain's head once was, kept outside the database."""

    number: int
    digest: str


NOTHING = Anchor(0, "")
"""Where a chain begins."""


@dataclass
class Verdict:
    """One chain. ``findings`` say in words what is wrong, and are empty when nothing is.

    ``events`` are there and sealed; ``purged`` were, in the batches up to that of the seal ``purged_to``.
    """

    chain: str
    head: Anchor | None = None
    events: int = 0
    purged: int = 0
    purged_to: int = 0
    unsealed: int = 0
    unsealed_since: datetime | None = None
    findings: list[str] = field(default_factory=list)


def chains() -> dict[str, UUID | None]:
    """Every chain by its name: the organisation's slug, the id of one that is no more, or ``@platform``."""
    slugs = dict(Organisation.objects.values_list("pk", "slug"))
    found = {*slugs, *_owners(EventSeal), *_owners(Event)}
    return {PLATFORM: None, **{slugs.get(pk, str(pk)): pk for pk in sorted(found, key=str)}}


def verify(chain: str, organisation_id: UUID | None, anchors: Collection[Anchor] = ()) -> Verdict:
    """Check the chain from its first seal to its last, against itself and against ``anchors``.

    It is read in pieces. Where some of it is purged meanwhile, it is checked again.
    """
    while True:
        purge = last_purge(organisation_id)
        verdict = _verify(chain, organisation_id, anchors, purge)
        if last_purge(organisation_id) == purge:
            return verdict


def _verify(chain: str, organisation_id: UUID | None, anchors: Collection[Anchor], purge: Anchor) -> Verdict:
    verdict, held = Verdict(chain), dict[int, str]()
    last = NOTHING
    for seal, events in sealed(organisation_id):
        if seal.number <= purge.number:
            verdict.findings += link(last, seal) + gone(seal, events, purge)
            verdict.purged += seal.events
        else:
            verdict.findings += link(last, seal) + batch(seal, events)
        verdict.events += len(events)
        last = Anchor(seal.number, seal.digest)
        held.update({last.number: last.digest} if last.number in {anchor.number for anchor in anchors} else {})
    verdict.purged_to = purge.number
    verdict.head = last if last.number else None
    verdict.findings += missing(last, purge)
    verdict.findings += [text for anchor in anchors if (text := _anchored(anchor, held, last))]
    if strangers := _strangers(organisation_id):
        verdict.findings.append(f"{strangers} events name a seal of another chain.")
    tail = Event.objects.filter(Q(organisation=organisation_id), seal=None)
    verdict.unsealed, verdict.unsealed_since = tail.count(), tail.aggregate(first=Min("at"))["first"]
    return verdict


def _owners(model: type[Event] | type[EventSeal]) -> set[UUID]:
    rows = model._default_manager.exclude(organisation=None).order_by()
    return set(rows.values_list("organisation_id", flat=True).distinct())


def last_purge(organisation_id: UUID | None) -> Anchor:
    """The last seal of the chain whose events were purged, as the record itself says; ``NOTHING`` where none were."""
    told = Event.objects.filter(
        Q(organisation=organisation_id), action=PURGE, result="ok", object_id=str(organisation_id or "")
    )
    return max((_anchor(detail) for detail in told.values_list("detail", flat=True).iterator()), default=NOTHING)


def _anchor(detail: object) -> Anchor:
    match detail:
        case {"through": int(number), "digest": str(digest)} if number > 0:
            return Anchor(number, digest)
    return NOTHING  # then what it would tell of is missing, and found to be


def sealed(organisation_id: UUID | None, after: int = -1) -> Iterator[tuple[EventSeal, list[Event]]]:
    """Each seal after that number, with its events by position.

    Pages go by number, so one that is repeated cannot make this endless.
    """
    while page := list(seals.of_chain(organisation_id).filter(number__gt=after)[:_PAGE]):
        events = defaultdict(list)
        for event in Event.objects.filter(seal__in=page).order_by("position", "at", "id"):
            events[event.seal_id].append(event)
        for seal in page:
            yield seal, events[seal.pk]
        after = page[-1].number


def link(last: Anchor, seal: EventSeal) -> list[str]:
    """What is wrong between a seal and the one before it."""
    if seal.number != last.number + 1:
        return [f"Seals {last.number + 1} to {seal.number - 1} are missing."]
    if seal.previous != last.digest:
        return [f"Seal {seal.number} does not follow on seal {last.number}."]
    return []


def batch(seal: EventSeal, events: list[Event]) -> list[str]:
    """What is wrong with a sealed batch."""
    if len(events) != seal.events:
        return [f"Seal {seal.number} has {len(events)} events; {seal.events} were sealed."]
    if [event.position for event in events] != list(range(1, len(events) + 1)):
        return [f"The events of seal {seal.number} are not numbered from 1 to {len(events)}."]
    if seals.digest(seal, events) != seal.digest:
        return [f"Seal {seal.number} or one of its events was changed, or their order was."]
    return []


def gone(seal: EventSeal, events: list[Event], purge: Anchor) -> list[str]:
    """What is wrong with a batch that the last purge went past, or ended with."""
    if events:
        return [f"Seal {seal.number} is said to be purged, and has {len(events)} events."]
    if seal.number == purge.number and seal.digest != purge.digest:
        return [f"Seal {seal.number} is not the one that the last purge ended with."]
    return []


def missing(last: Anchor, purge: Anchor) -> list[str]:
    """What is wrong where a chain ends at ``last``, or its purged part does."""
    if purge.number > last.number:
        return [f"Seals to {purge.number} are said to be purged; the chain ends at seal {last.number}."]
    return []


def _anchored(anchor: Anchor, held: dict[int, str], last: Anchor) -> str | None:
    if anchor.number > last.number:
        return f"The chain ends at seal {last.number}; it once reached seal {anchor.number}."
    if held.get(anchor.number) != anchor.digest:
        return f"Seal {anchor.number} is not the one that it once was."
    return None


def _strangers(organisation_id: UUID | None) -> int:
    claimed = Event.objects.filter(Q(organisation=organisation_id), seal__isnull=False)
    if organisation_id is None:
        return claimed.filter(seal__organisation__isnull=False).count()
    return claimed.filter(Q(seal__organisation__isnull=True) | ~Q(seal__organisation=organisation_id)).count()
