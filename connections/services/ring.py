"""Whether CATALOG_KEYS holds the keys that sealed what is stored: judged before anything is sealed or marked.

A process may have other bytes under a known id, or a key that was retired. What it seals then opens nowhere else, and
what it does not open is no evidence against a row. So each key is noted when it first seals, by a proof that its bytes
alone give. Of one that is not noted, as an older version's or a vault's, organisation keys are the evidence: one that
opens proves the ring's key, and where none does it is doubted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from django.utils import timezone

from connections.models import Event, Organisation, OrganisationKey, RingKey
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

_OTHER_BYTES: Final = (
    "CATALOG_KEYS of this process has other bytes for {kid} than those that seal what is stored. "
    "Give it the right ones; a new key needs an id of its own."
)


def require_usable(ring: KeyRing, *, but: Organisation | None = None) -> None:
    """Before a data key is sealed: raise ``RingRefused`` where the newest key of ``ring`` is retired or doubted."""
    if retired(ring.newest):
        raise refused(
            f"The key {ring.newest} was retired, and is the newest of this process's CATALOG_KEYS: nothing is sealed "
            "under it. Give the process the CATALOG_KEYS that the others have; a new key needs an id of its own."
        )
    require_sound(ring, ring.newest, but=but)


def require_sound(ring: KeyRing, kid: str, *, but: Organisation | None = None) -> None:
    """Raise ``RingRefused`` where ``kid`` is doubted. The keys of the organisation ``but`` tell nothing."""
    doubt = doubted(ring, kid, but=but)
    if doubt:
        raise refused(doubt)


def doubted(ring: KeyRing, kid: str, *, but: Organisation | None = None) -> str:
    """Why ``ring`` rather has other bytes for ``kid`` than those that sealed under it; empty where nothing says so.

    By what is noted of it, or else by the organisation keys that were tried, where none opens. Raises ``KeyAway``.
    """
    if kid not in ring.ids:
        return ""
    if ring.transit(kid) is None and (proof := _noted(kid)):
        return "" if ring.proof(kid) == proof else _OTHER_BYTES.format(kid=kid)
    most = LOOKED if ring.transit(kid) is None else LOOKED_IN_VAULT
    with walls.platform():
        rows = OrganisationKey.objects.filter(ring_key=kid).order_by("-pk").select_related("organisation")
        rows = rows if but is None else rows.exclude(organisation=but)
        closed = _closed(ring, rows[:most])
    return _sentence(kid, closed) if closed else ""


def note(ring: KeyRing, kid: str) -> None:
    """Know ``kid`` by its bytes from here on, where it does not fail to open most of what is sealed under it.

    Raises ``RingRefused`` where it is known by other bytes, which somebody may have noted meanwhile.
    """
    if ring.transit(kid) is not None:
        return
    proof = ring.proof(kid)
    with walls.platform():
        if not _noted(kid):
            rows = OrganisationKey.objects.filter(ring_key=kid).order_by("-pk")[:LOOKED]
            closed = [row for row in rows if _speaks_against(ring, row)]
            if 2 * len(closed) >= max(len(rows), 1):
                return
            RingKey.objects.bulk_create([RingKey(kid=kid, proof=proof)], ignore_conflicts=True)
            RingKey.objects.filter(kid=kid, proof="").update(proof=proof)
        if _noted(kid) != proof:
            raise refused(_OTHER_BYTES.format(kid=kid))


def glance(ring: KeyRing) -> list[str]:
    """Doubted keys of ``ring`` that are held here: by what is noted, and of others by the newest organisation keys.

    That costs two small queries. Of a key that is not noted, a single organisation key that does not open is rather
    damaged than sealed by another ring, and is not told.
    """
    with walls.platform():
        noted = dict(RingKey.objects.exclude(proof="").values_list("kid", "proof"))
        rows = list(OrganisationKey.objects.order_by("-pk")[:GLANCED])
    here = [kid for kid in ring.ids if ring.transit(kid) is None]
    found = {kid for kid in here if kid in noted and ring.proof(kid) != noted[kid]}
    for kid in {row.ring_key for row in rows} & {*here} - {*noted}:
        closed = _closed(ring, (row for row in rows if row.ring_key == kid))
        if len({row.organisation_id for row in closed}) > 1:
            found.add(kid)
    return sorted(found)


def retire(kid: str) -> None:
    """Let nothing be sealed under ``kid`` from here on. Call it in the transaction that records it."""
    RingKey.objects.update_or_create(kid=kid, defaults={"retired_at": timezone.now()})


def retired(kid: str) -> bool:
    """Whether it was said of ``kid`` that it may be taken out of CATALOG_KEYS."""
    with walls.platform():
        return (
            RingKey.objects.filter(kid=kid, retired_at__isnull=False).exists()
            or Event.objects.filter(organisation=None, object_id=kid, action=RETIRE, result="ok").exists()
        )


def refused(reason: str) -> RingRefused:
    """The error, told to operators in the log as well: whoever saves a secret is not told of keys."""
    told.tell(reason.rstrip("."))
    return RingRefused(reason)


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


def _noted(kid: str) -> str:
    """What ``kid`` is known by; empty while nothing is noted of it."""
    with walls.platform():
        return RingKey.objects.filter(kid=kid).values_list("proof", flat=True).first() or ""


def _sentence(kid: str, closed: list[OrganisationKey]) -> str:
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


def _closed(ring: KeyRing, rows: Iterable[OrganisationKey]) -> list[OrganisationKey]:
    """The rows, which name one key, that do not open with it; none where one opens. What is no blob tells nothing."""
    found = []
    for row in rows:
        speaks = _speaks_against(ring, row)
        if speaks is False:
            return []
        if speaks:
            found.append(row)
    return found


def _speaks_against(ring: KeyRing, row: OrganisationKey) -> bool | None:
    """Whether a row does not open with the key that it names; None where it tells nothing of that."""
    try:
        if blobs.key_id_of(row.blob) != row.ring_key:
            return None
        opened(ring, row)
    except UnknownFormat:
        return None
    except SealError:
        return True
    return False
