"""Rotation: organisation keys are sealed again under the ring's newest key. No secret is touched.

Each batch is one transaction: its rows, by compare and swap, and the event that tells of them. So a run can be killed
and started again, and two runs, or a run and a save, do not harm one another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from connections.models import Organisation, OrganisationKey
from connections.sealing import organisation_keys
from connections.sealing.errors import SealError
from connections.sealing.keyring import KeyRing
from connections.services import ring as rings
from connections.services.keys.record import record
from connections.services.keys.swapping import Swap, swap
from connections.services.locks import hold

BATCH = 1000
COLUMNS = ("pk", "organisation_id", "version", "ring_key", "blob")

Row = tuple[UUID, UUID, int, str, bytes]
"""What ``COLUMNS`` hold. A model's instance for each row would take as long as its ciphers."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Since the start: ``moved`` to the newer key, ``changed`` by somebody else meanwhile, ``locked`` and so left."""

    moved: int = 0
    changed: int = 0
    locked: int = 0

    def __add__(self, other: Progress) -> Progress:
        return Progress(self.moved + other.moved, self.changed + other.changed, self.locked + other.locked)


def rotate(
    organisation: Organisation | None = None, *, batch: int = BATCH, dry_run: bool = False
) -> Iterator[Progress]:
    """Re-wrap what is not under the ring's newest key, of all organisations or one; yield after each batch.

    With ``dry_run``, every key is opened and sealed again, and nothing is written. Raises ``KeyAway`` at the first key
    that needs a vault which is away: what was told as moved is, and the next run goes on from there. Raises
    ``RingRefused``, before anything is done, where nothing may be sealed under the newest key.
    """
    ring = KeyRing.from_settings()
    rings.require_usable(ring)
    if not dry_run:
        rings.note(ring, ring.newest)
    waiting = OrganisationKey.objects.exclude(ring_key=ring.newest).order_by("pk")
    if organisation is not None:
        waiting = waiting.filter(organisation=organisation)
    found = waiting.values_list(*COLUMNS)
    total, rows = Progress(), list(found[:batch])
    while rows:
        swaps = [swap for row in rows if (swap := _rewrapped(row, ring)) is not None]
        moved = len(swaps) if dry_run else _store(swaps, waiting, ring, organisation)
        total += Progress(moved, len(swaps) - moved, len(rows) - len(swaps))
        yield total
        rows = list(found.filter(pk__gt=rows[-1][0])[:batch])


def _rewrapped(row: Row, ring: KeyRing) -> Swap | None:
    """The row's key under the newest ring key, already opened once; None when the key does not open."""
    pk, organisation_id, version, ring_key, blob = row
    wrapped = organisation_keys.WrappedKey(bytes(blob), ring_key)
    try:
        with rings.reaching():
            renewed = organisation_keys.rewrap(wrapped, ring, organisation_id, version)
    except SealError:
        return None
    return Swap(
        pk,
        {"ring_key": wrapped.kid, "blob": wrapped.blob},
        {"ring_key": renewed.kid, "blob": renewed.blob},
    )


def _store(
    swaps: list[Swap], waiting: QuerySet[OrganisationKey], ring: KeyRing, organisation: Organisation | None
) -> int:
    with transaction.atomic():
        if swaps:
            hold(waiting.filter(pk__range=(swaps[0].pk, swaps[-1].pk)))  # their own ids would take longer to send
        moved = swap(OrganisationKey, swaps)
        if moved:
            record("key.rewrap", organisation, kind="ringkey", thing=ring.newest, detail={"organisation_keys": moved})
    return moved
