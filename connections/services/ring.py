"""Whether CATALOG_KEYS holds the keys that sealed what is stored: judged before anything is sealed or marked.

A process may have other bytes under a known id, or a key that was retired. What it seals then opens nowhere else, and
what it does not open is no evidence against a row. Organisation keys are the evidence: one that opens proves the ring's
key, and where none does it is doubted. One damaged organisation key among others raises no doubt.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from connections.models import Event, Organisation, OrganisationKey
from connections.sealing import blobs, organisation_keys
from connections.sealing.errors import KeyUnreachable, SealError, UnknownFormat
from connections.sealing.keyring import KeyRing
from connections.sealing.organisation_keys import WrappedKey
from connections.services import walls
from connections.services.errors import KeyAway, RingRefused
from connections.services.logs import Seldom

told = Seldom(logging.getLogger(__name__))
"""What the vault of the root key did, and why a ring is refused, for operators."""

LOOKED: Final = 100
"""Organisation keys that are tried, newest first, before a key of the ring is doubted."""
LOOKED_IN_VAULT: Final = 3
GLANCED: Final = 20

RETIRE: Final = "key.retire"


def require_usable(ring: KeyRing, *, but: Organisation | None = None) -> None:
    """Before a data key is sealed: raise ``RingRefused`` where the newest key of ``ring`` is retired or doubted."""
    if retired(ring.newest):
        raise refused(
            f"The key {ring.newest} was retired, and is the newest of this process's CATALOG_KEYS: nothing is sealed "
            "under it. Give the process the CATALOG_KEYS that the others have; a new key needs an id of its own."
        )
    require_sound(ring, ring.newest, but=but)


def require_sound(ring: KeyRing, kid: str, *, but: Organisation | None = None) -> None:
    """Raise ``RingRefused`` where no organisation key under ``kid`` opens, of those that there are.

    The keys of the organisation ``but`` tell nothing. Raises ``KeyAway``.
    """
    closed = doubts(ring, kid, but=but)
    if closed:
        raise refused(sentence(kid, closed))


def doubts(ring: KeyRing, kid: str, *, but: Organisation | None = None) -> list[OrganisationKey]:
    """The organisation keys that speak against ``kid``: those that were tried, where none opens. Raises ``KeyAway``."""
    if kid not in ring.ids:
        return []
    most = LOOKED if ring.transit(kid) is None else LOOKED_IN_VAULT
    with walls.platform():
        rows = OrganisationKey.objects.filter(ring_key=kid).order_by("-pk").select_related("organisation")
        rows = rows if but is None else rows.exclude(organisation=but)
        return _closed(ring, rows[:most])


def glance(ring: KeyRing) -> dict[str, int]:
    """Doubted keys of ``ring`` that are held here, each with how many organisations' keys it does not open.

    Judges by the newest organisation keys alone, which costs one small query. A single one that does not open is rather
    damaged than sealed by another ring, and is not told.
    """
    with walls.platform():
        rows = list(OrganisationKey.objects.order_by("-pk")[:GLANCED])
    found = {}
    for kid in {row.ring_key for row in rows if row.ring_key in ring.ids and ring.transit(row.ring_key) is None}:
        closed = _closed(ring, (row for row in rows if row.ring_key == kid))
        if len({row.organisation_id for row in closed}) > 1:
            found[kid] = len(closed)
    return found


def retired(kid: str) -> bool:
    """Whether the platform's record says that ``kid`` may be taken out of CATALOG_KEYS."""
    with walls.platform():
        return Event.objects.filter(organisation=None, object_id=kid, action=RETIRE, result="ok").exists()


def refused(reason: str) -> RingRefused:
    """The error, told to operators in the log as well: whoever saves a secret is not told of keys."""
    told.tell(reason.rstrip("."))
    return RingRefused(reason)


def sentence(kid: str, closed: list[OrganisationKey]) -> str:
    """What is said of a key that ``closed`` speak against, and what to do."""
    whose = ", ".join(sorted({row.organisation.slug for row in closed})[:3])
    if len(closed) == 1:
        return (
            f"The one organisation key under {kid} that there is, of {whose}, does not open: either CATALOG_KEYS has "
            f"other bytes for {kid} than those that sealed it, or that row is damaged. Compare CATALOG_KEYS with "
            "another process's; a damaged key is replaced when somebody enters a secret of that organisation again."
        )
    return (
        f"None of the {len(closed)} newest organisation keys under {kid} opens ({whose} among them): CATALOG_KEYS of "
        f"this process has other bytes for {kid} than those that sealed them. Give it the right ones."
    )


def opened(ring: KeyRing, row: OrganisationKey) -> organisation_keys.OrganisationKey:
    """A row's data key. Raises as ``organisation_keys.unwrap`` does, and ``KeyAway``."""
    with reaching():
        return organisation_keys.unwrap(
            WrappedKey(bytes(row.blob), row.ring_key), ring, row.organisation_id, row.version
        )


@contextmanager
def reaching() -> Iterator[None]:
    """Inside, a key of the ring that is kept in a vault which is away is a failure that may pass, not a lock."""
    try:
        yield
    except KeyUnreachable as exc:
        told.tell(str(exc).rstrip("."))
        raise KeyAway(str(exc)) from None


def _closed(ring: KeyRing, rows: Iterable[OrganisationKey]) -> list[OrganisationKey]:
    """The rows, which name one key, that do not open with it; none where one opens. What is no blob tells nothing."""
    found = []
    for row in rows:
        try:
            if blobs.key_id_of(row.blob) != row.ring_key:
                continue
            opened(ring, row)
        except UnknownFormat:
            continue
        except SealError:
            found.append(row)
        else:
            return []
    return found
