"""Verifying: every sealed secret is opened where it stands, so that a spoilt one is known before it is used.

Nothing is sealed and no plaintext leaves this module. A row that does not open is marked with why, and shows as locked
on every page from then on; one that opens again, as after a backup was put back, loses its mark.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from connections.models import ConnectionSecrets, Organisation, OrganisationKey
from connections.sealing.errors import KeyUnavailable, SealError, Tampered
from connections.sealing.keyring import KeyRing
from connections.sealing.secrets import SealedSecrets, SecretsPlace
from connections.services import references, ring, vault
from connections.services.keys.batches import batches
from connections.services.keys.damage import doubted
from connections.services.keys.record import record

BATCH = 500
OPENS = "opens"
KEY_UNAVAILABLE = "KeyUnavailable"
NOT_THE_LAST = "not the last saved"
OTHER_ENDPOINT = "another endpoint"
DOUBTED = "organisation key or CATALOG_KEYS"
UNMARKED = (KEY_UNAVAILABLE, DOUBTED)
"""What says nothing of the row itself: its mark stays as it is."""

Sealers = dict[tuple[object, int], SealedSecrets | str]
"""By organisation and version of its key: what opens secrets, or why nothing does."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A sealed secret that does not open where it stands, and why: an error's name, or one of this module's words."""

    organisation: str
    connection: str
    slot: str
    problem: str


def verify(
    organisation: Organisation | None = None, *, batch: int = BATCH
) -> Iterator[tuple[Counter[str], list[Finding]]]:
    """Open all sealed secrets, or one organisation's; after each batch, its counts by problem and what was found.

    Runs beside everything else: a row is marked only if it still is what was opened. Raises ``KeyAway`` when a vault
    that has keys is away, and ``RingRefused`` when CATALOG_KEYS opens no organisation key: neither tells of the rows.
    """
    keys = KeyRing.from_settings()
    doubts = _doubts(keys)
    sealers: Sealers = {}
    rows = ConnectionSecrets.objects.select_related("connection", "organisation")
    if organisation is not None:
        rows = rows.filter(organisation=organisation)
    total: Counter[str] = Counter()
    for found in batches(rows, batch):
        judged = [(row, _judge(row, keys, doubts, sealers)) for row in found]
        _mark(organisation, judged)
        counts = Counter(problem for _, problem in judged)
        total += counts
        yield counts, [_finding(row, problem) for row, problem in judged if problem != OPENS]
    _tell(organisation, total)


def _doubts(keys: KeyRing) -> Collection[str]:
    """Keys of the ring that open nothing, beside others that do. Raises ``RingRefused`` where there are no others."""
    found = doubted(keys)
    if found and {*OrganisationKey.objects.filter(ring_key__in=keys.ids).values_list("ring_key", flat=True)} <= {
        *found
    }:
        raise ring.refused(" ".join(found.values()))
    return found


def _judge(row: ConnectionSecrets, keys: KeyRing, doubts: Collection[str], sealers: Sealers) -> str:
    sealer = _sealer(row, keys, doubts, sealers)
    if isinstance(sealer, str):
        return sealer
    try:
        references.opened(sealer.open(bytes(row.blob), _place(row)), row.names, row.references)
    except SealError as exc:
        return type(exc).__name__
    return _misplaced(row)


def _sealer(row: ConnectionSecrets, keys: KeyRing, doubts: Collection[str], sealers: Sealers) -> SealedSecrets | str:
    name = (row.organisation_id, row.key_version)
    if name not in sealers:
        sealers[name] = _opened_key(row, keys, doubts)
    return sealers[name]


def _opened_key(row: ConnectionSecrets, keys: KeyRing, doubts: Collection[str]) -> SealedSecrets | str:
    key = row.organisation.keys.filter(version=row.key_version).first()
    if key is None:
        return KEY_UNAVAILABLE
    try:
        return SealedSecrets(ring.opened(keys, key))
    except KeyUnavailable:
        return KEY_UNAVAILABLE
    except SealError:  # of the key: with it, every secret it seals
        return DOUBTED if key.ring_key in doubts else Tampered.__name__


def _place(row: ConnectionSecrets) -> SecretsPlace:
    return SecretsPlace(
        organisation_id=row.organisation_id,
        connection_id=row.connection_id,
        slot=row.slot,  # type: ignore[arg-type]
        generation=row.generation,
        endpoint_fingerprint=row.fingerprint,
        names=row.names,
        kept_until=vault.kept_until(row),
    )


def _misplaced(row: ConnectionSecrets) -> str:
    """What opens may still be an old row put back, or stand under settings that lead elsewhere."""
    if not vault.is_due(row.connection, row):
        return NOT_THE_LAST
    return OPENS if row.fingerprint == vault.fingerprint(row.connection) else OTHER_ENDPOINT


@transaction.atomic
def _mark(organisation: Organisation | None, judged: list[tuple[ConnectionSecrets, str]]) -> None:
    """Note on each row why it does not open, on record. A missing key, or a wrong place, shows without a mark."""
    noted: Counter[str] = Counter()
    for row, problem in judged:
        mark = "" if problem in (OPENS, NOT_THE_LAST, OTHER_ENDPOINT) else problem
        if problem not in UNMARKED and row.problem != mark:
            same = ConnectionSecrets.objects.filter(pk=row.pk, generation=row.generation, key_version=row.key_version)
            noted[mark or OPENS] += same.filter(problem=row.problem).update(problem=mark[:32])
    if noted.total():
        record("key.mark", organisation, kind="organisation", thing=_thing(organisation), detail=dict(+noted))


def _finding(row: ConnectionSecrets, problem: str) -> Finding:
    return Finding(row.organisation.slug, row.connection.slug, row.slot, problem)


def _tell(organisation: Organisation | None, total: Counter[str]) -> None:
    result = "ok" if set(total) <= {OPENS} else "failed"
    with transaction.atomic():
        told = {"kind": "organisation", "thing": _thing(organisation), "detail": dict(total)}
        record("key.verify", organisation, result=result, **told)


def _thing(organisation: Organisation | None) -> Any:
    return organisation.pk if organisation else "all"
