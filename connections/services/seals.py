"""The record's chain: committed events are sealed in batches, and each seal covers the one before it.

A seal's digest is SHA-256 of canonical JSON: the format, the seal's own columns, its events in the order of (at, id).
What is not sealed yet is the tail. An event that is committed late has its place in a later batch.

Whoever can write the database can also make a chain anew. So keep heads elsewhere: ``verify`` takes them as anchors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from connections.models import Event, EventSeal
from connections.sealing.canonical import canonical_json
from connections.services.locks import try_lock

FORMAT = "catalog-events-1"
BATCH = 1000  # events in one seal
CONTENT = (
    "id",
    "organisation_id",
    "at",
    "actor_kind",
    "actor_id",
    "actor_label",
    "action",
    "object_kind",
    "object_id",
    "object_label",
    "object_version",
    "result",
    "code",
    "changes",
    "detail",
    "request_id",
    "ip",
)
"""The columns of an event that its seal covers: all but ``seal`` and ``position``."""


def seal(*, batch: int = BATCH) -> int:
    """Seal what is committed and not sealed yet, in every chain; return how many events that were.

    Safe to run several times at once: a chain that another run is at work on is left to it.
    """
    waiting = Event.objects.filter(seal=None).order_by().values_list("organisation_id", flat=True).distinct()
    return sum(sum(_seal_chain(organisation_id, batch)) for organisation_id in list(waiting))


def digest(seal: EventSeal, events: Iterable[Event]) -> str:
    """The digest that ``seal`` should have, in hex."""
    chain = str(seal.organisation_id) if seal.organisation_id else None
    head = [FORMAT, chain, seal.number, seal.previous, _plain(seal.sealed_at)]
    return hashlib.sha256(canonical_json([*head, [_content(event) for event in events]])).hexdigest()


def of_chain(organisation_id: UUID | None) -> QuerySet[EventSeal]:
    """The seals of an organisation's chain, or of the platform's for None, first to last."""
    return EventSeal.objects.filter(Q(organisation=organisation_id)).order_by("number")


def _seal_chain(organisation_id: UUID | None, size: int) -> Iterator[int]:
    sealed = size
    while sealed == size:
        sealed = _seal_batch(organisation_id, size)
        yield sealed


@transaction.atomic
def _seal_batch(organisation_id: UUID | None, size: int) -> int:
    if not try_lock(f"seal {organisation_id}"):
        return 0
    waiting = Event.objects.filter(Q(organisation=organisation_id), seal=None)
    events = list(waiting.order_by("at", "id")[:size])
    if not events:
        return 0
    head = of_chain(organisation_id).last()
    made = EventSeal(
        organisation_id=organisation_id,
        number=head.number + 1 if head else 1,
        previous=head.digest if head else "",
        events=len(events),
    )
    made.digest = digest(made, events)
    made.save(force_insert=True)
    _assign(made, events)
    return len(events)


def _assign(seal: EventSeal, events: Sequence[Event]) -> None:
    """Give ``events`` their seal and positions. Raises RuntimeError when one was sealed meanwhile."""
    meta, name = Event._meta, connection.ops.quote_name
    own_id, seal_id = meta.get_field("id"), meta.get_field("seal")
    rows = [
        (seal_id.get_db_prep_save(seal.pk, connection), position, own_id.get_db_prep_save(event.pk, connection))
        for position, event in enumerate(events, start=1)
    ]
    sql = f"update {name(meta.db_table)} set seal_id = %s, position = %s where id = %s and seal_id is null"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.executemany(sql, rows)
        if cursor.rowcount != len(rows):
            raise RuntimeError("An event was sealed by somebody else meanwhile. Nothing was sealed; run it again.")


def _content(event: Event) -> list[Any]:
    return [_plain(getattr(event, name)) for name in CONTENT]


def _plain(value: Any) -> Any:
    """``value`` as JSON has it: ids and times as text, the latter in UTC to the microsecond."""
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value
