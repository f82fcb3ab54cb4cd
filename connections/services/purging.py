"""Old events go, by policy: whole sealed batches, oldest first, each checked before. On PostgreSQL only.

Seals stay, so that the chain is still one and heads that were kept elsewhere still fit. The record says what went: an
event in the chain and one in the platform's, in the transaction that deletes. ``verification`` goes by these.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from connections.models import Event, EventSeal
from connections.services import verification
from connections.services.errors import CatalogueError
from connections.services.keys.record import record
from connections.services.locks import try_lock
from connections.services.verification import Anchor

MOST = 50_000
"""Events that are enough for one transaction."""


class NotPurged(CatalogueError):
    """Why nothing is deleted."""

    code = "conflict"
    title = "Nothing was purged"


@dataclass
class Part:
    """Consecutive batches of a chain, up to ``through``, that are due. With ``findings``, nothing of it is deleted."""

    chain: str
    first: int
    through: Anchor
    seals: int = 0
    events: int = 0
    findings: list[str] = field(default_factory=list)


def cutoff(days: int | None, *, dry_run: bool) -> datetime | None:
    """What is older may go, by ``CATALOG_EVENTS_KEEP_DAYS``, or by ``days`` where that is longer; None: nothing.

    Raises ``NotPurged`` where ``days`` is shorter than the policy, unless it is a dry run.
    """
    keep = settings.CATALOG_EVENTS_KEEP_DAYS
    if days is None and not keep:
        return None
    if days is not None and not dry_run and (not keep or days < keep):
        kept = f"for {keep} days" if keep else "for ever"
        raise NotPurged(f"CATALOG_EVENTS_KEEP_DAYS keeps events {kept}. Change the policy first, or add --dry-run.")
    return timezone.now() - timedelta(days=keep if days is None else days)


def require_possible(*, dry_run: bool) -> None:
    """Raise ``NotPurged`` where the database deletes no event for this login."""
    if connection.vendor != "postgresql":
        raise NotPurged(
            "In SQLite events are kept for ever: it knows no owner of tables, so what let a purge through would let "
            "everybody through. Keep the catalogue in PostgreSQL to purge."
        )
    with connection.cursor() as cursor:
        cursor.execute(
            "select pg_has_role(relowner, 'usage'), current_user from pg_class where oid = %s::regclass",
            [Event._meta.db_table],
        )
        owner, login = cursor.fetchone()
    if not owner and not dry_run:
        raise NotPurged(
            f"The login {login} does not own the table of events, and the database deletes events for its owner only. "
            "Run this with the DATABASE_URL that `migrate` is run with."
        )


def purge(before: datetime, *, dry_run: bool = False) -> Iterator[Part]:
    """Delete what is older than ``before``, in every chain. Each part is committed, and told, by itself.

    A batch goes when its seal and all its events are older. A part that is not as it was sealed is evidence: it
    stays, and its chain is left there. Of several runs at once one does the work.
    """
    require_possible(dry_run=dry_run)
    for name, organisation_id in verification.chains().items():
        yield from _rehearse(name, organisation_id, before) if dry_run else _chain(name, organisation_id, before)


def _rehearse(name: str, organisation_id: UUID | None, before: datetime) -> Iterator[Part]:
    last, is_purged = verification.last_purge(organisation_id), True
    while True:
        part = _due(name, organisation_id, last, before, is_purged=is_purged)
        if part.seals or part.findings:
            yield part
        if part.findings or part.events < MOST:
            return
        last, is_purged = part.through, False


def _chain(name: str, organisation_id: UUID | None, before: datetime) -> Iterator[Part]:
    while True:
        with transaction.atomic():
            if not try_lock(f"purge {organisation_id}"):
                return
            part = _due(name, organisation_id, verification.last_purge(organisation_id), before)
            if part.seals and not part.findings:
                _delete(organisation_id, part)
                _tell(organisation_id, part, before)
        if part.seals or part.findings:
            yield part
        if part.findings or part.events < MOST:
            return


def _due(name: str, organisation_id: UUID | None, last: Anchor, before: datetime, *, is_purged: bool = True) -> Part:
    """The batches after ``last`` that are older than ``before``, until there are ``MOST`` events.

    Up to ``last`` they are gone, or, where it is not ``is_purged``, would be.
    """
    part = Part(name, last.number + 1, last)
    batches = verification.sealed(organisation_id, after=last.number - is_purged)
    part.findings = _as_told(batches, last) if last.number and is_purged else []
    for seal, events in batches:
        if part.findings or part.events >= MOST or not _is_older(before, seal, events):
            break
        part.findings = verification.link(part.through, seal) + verification.batch(seal, events)
        if not part.findings:
            part.seals, part.events = part.seals + 1, part.events + len(events)
            part.through = Anchor(seal.number, seal.digest)
    return part


def _as_told(batches: Iterator[tuple[EventSeal, list[Event]]], last: Anchor) -> list[str]:
    """What is wrong with the batch that the last purge ended with, the first of ``batches``."""
    seal, events = next(batches, (None, []))
    if seal is None or seal.number != last.number:
        return verification.missing(verification.NOTHING, last)
    return verification.gone(seal, events, last)


def _is_older(before: datetime, seal: EventSeal, events: list[Event]) -> bool:
    return seal.sealed_at < before and all(event.at < before for event in events)


def _delete(organisation_id: UUID | None, part: Part) -> None:
    numbers = (part.first, part.through.number)
    batches = EventSeal.objects.filter(Q(organisation=organisation_id), number__range=numbers)
    with connection.cursor() as cursor:
        cursor.execute("select set_config('catalog.purge', 'on', true)")  # to the end of this transaction
        gone, _ = Event.objects.filter(seal__in=batches.values("pk")).delete()
        cursor.execute("select set_config('catalog.purge', 'off', true)")
    if gone != part.events:
        raise RuntimeError(f"{gone} events were found in batches of {part.events}. Nothing was purged; run it again.")


def _tell(organisation_id: UUID | None, part: Part, before: datetime) -> None:
    """Record the purge: in the chain itself, and in the platform's where that is another."""
    detail = {
        "before": before.isoformat(timespec="seconds"),
        "first": part.first,
        "through": part.through.number,
        "digest": part.through.digest,
        "seals": part.seals,
        "events": part.events,
    }
    thing = organisation_id or ""
    for chain in dict.fromkeys((organisation_id, None)):
        record(verification.PURGE, chain, kind="record", thing=thing, object_label=part.chain, detail=detail)
