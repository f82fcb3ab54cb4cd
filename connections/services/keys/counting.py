"""How many organisation keys and secrets each key seals, and so what still needs it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, Max, OuterRef, QuerySet, Subquery

from connections.models import ConnectionSecrets, Organisation, OrganisationKey
from connections.sealing import blobs
from connections.sealing.errors import UnknownFormat
from connections.sealing.keyring import KeyRing


@dataclass(frozen=True, slots=True)
class RingKey:
    """A key of the ring, or one that is missing from it though something needs it.

    ``state`` is ``newest``, ``in ring`` or ``missing``. ``secrets`` are connections' sealed secrets, one a slot.
    """

    kid: str
    state: str
    organisation_keys: int
    secrets: int


@dataclass(frozen=True, slots=True)
class Version:
    """A version that organisation keys have: in how many organisations, and how many secrets it seals."""

    version: int
    organisation_keys: int
    secrets: int


@dataclass(frozen=True, slots=True)
class Counts:
    """``behind``: secrets under an older version than their organisation's newest; ``keyless``: under an erased one."""

    ring: list[RingKey]
    versions: list[Version]
    behind: int
    keyless: int


def counts(organisation: Organisation | None = None) -> Counts:
    """Count all organisations' keys and secrets, or one's."""
    ring = KeyRing.from_settings()
    secrets = _secrets_by_ring_key(organisation)
    needed = needs(organisation)
    kids = [*sorted({*needed} - {*ring.ids}), *ring.ids]
    return Counts(
        ring=[RingKey(kid, _state(kid, ring), needed[kid], secrets[kid]) for kid in kids],
        versions=_versions(organisation),
        behind=_with_keys(organisation).filter(key_version__lt=F("newest")).count(),
        keyless=_with_keys(organisation).filter(ring=None).count(),
    )


def needs(organisation: Organisation | None = None) -> Counter[str]:
    """How many organisation keys need each key of the ring.

    A row whose column and blob name different keys counts for both: nobody can tell which of them would mend it.
    """
    found: Counter[str] = Counter()
    for kid, blob in _keys(organisation).values_list("ring_key", "blob").iterator():
        found.update({kid, _header(blob) or kid})
    return found


def by_ring_key(organisation: Organisation | None = None) -> dict[str, int]:
    """How many organisation keys name each ring key: what an event tells before and after."""
    rows = _keys(organisation).order_by().values_list("ring_key").annotate(Count("pk"))
    return dict(sorted(rows))


def _header(blob: blobs.Stored) -> str | None:
    try:
        return blobs.key_id_of(blob)
    except UnknownFormat:
        return None


def _state(kid: str, ring: KeyRing) -> str:
    if kid == ring.newest:
        return "newest"
    return "in ring" if kid in ring.ids else "missing"


def _keys(organisation: Organisation | None) -> QuerySet[OrganisationKey]:
    return OrganisationKey.objects.filter(**({"organisation": organisation} if organisation else {}))


def _secrets(organisation: Organisation | None) -> QuerySet[ConnectionSecrets]:
    return ConnectionSecrets.objects.filter(**({"organisation": organisation} if organisation else {}))


def _with_keys(organisation: Organisation | None) -> QuerySet[Any]:
    """Secrets, each with its ring key (``ring``) and its organisation's newest version (``newest``)."""
    theirs = OrganisationKey.objects.filter(organisation=OuterRef("organisation")).order_by()
    newest = theirs.values("organisation").annotate(newest=Max("version")).values("newest")
    ring = theirs.filter(version=OuterRef("key_version")).values("ring_key")
    return _secrets(organisation).annotate(ring=Subquery(ring), newest=Subquery(newest))


def _secrets_by_ring_key(organisation: Organisation | None) -> Counter[str]:
    rows = _with_keys(organisation).order_by().values_list("ring").annotate(count=Count("pk"))
    return Counter({kid: count for kid, count in rows if kid is not None})


def _versions(organisation: Organisation | None) -> list[Version]:
    keys = dict(_keys(organisation).order_by().values_list("version").annotate(Count("pk")))
    secrets = dict(_secrets(organisation).order_by().values_list("key_version").annotate(Count("pk")))
    return [Version(v, keys.get(v, 0), secrets.get(v, 0)) for v in sorted({*keys, *secrets})]
