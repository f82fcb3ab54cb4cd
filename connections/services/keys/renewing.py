"""Re-keying: an organisation gets a new data key, and its secrets are sealed again under it.

Slots, generations and places stay as they are, so a sealed value is bound to just what it was bound to before. The old
key goes when nothing needs it any more. A run that was killed is finished by the next one, which makes no further key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from django.db import transaction
from django.db.models import QuerySet, Subquery

from connections.models import Connection, ConnectionSecrets, Organisation, OrganisationKey
from connections.sealing import organisation_keys
from connections.sealing.errors import KeyUnavailable, SealError
from connections.sealing.keyring import KeyRing
from connections.sealing.secrets import SealedSecrets, SecretsPlace
from connections.services import ring, vault
from connections.services.keys.batches import batches
from connections.services.keys.record import record
from connections.services.keys.rewrapping import Progress
from connections.services.keys.swapping import Swap, swap
from connections.services.locks import hold

BATCH = 500
PASSES = 20  # each pass takes what was saved under the old key during the one before; a few are the rule

DataKeys = dict[int, organisation_keys.OrganisationKey]
"""An organisation's keys that open, by version."""


def rekey(organisation: Organisation, *, batch: int = BATCH, dry_run: bool = False) -> Iterator[Progress]:
    """Seal the organisation's secrets under a new data key; yield after each batch.

    An organisation without a key, which was erased, gets none. With ``dry_run``, every secret is opened and sealed
    again under a key that is then forgotten, and nothing is written. Raises ``KeyAway``, and ``RingRefused`` where
    CATALOG_KEYS is not what sealed the organisation's keys, both before anything is done.
    """
    if not organisation.keys.exists():
        return
    keys, target = _trial(organisation) if dry_run else _begin(organisation)
    total, apart = Progress(), keyless(organisation)
    if apart:
        yield Progress(locked=apart)
    for _ in range(PASSES):
        left = apart
        for rows in batches(_older(organisation, target), batch):
            swaps = _resealed(organisation, rows, keys, target)
            moved = len(swaps) if dry_run else _store(organisation, target, rows, swaps)
            left += len(rows) - len(swaps)
            total += Progress(moved, len(swaps) - moved)
            yield Progress(total.moved, total.changed, left)
        if dry_run or _finish(organisation, keys, target):
            return


def _begin(organisation: Organisation) -> tuple[DataKeys, organisation_keys.OrganisationKey]:
    """The keys that open and the newest among them: a new one, unless an earlier run left secrets behind."""
    with transaction.atomic():
        hold(Organisation.objects.filter(pk=organisation.pk))
        keys, newest = _open_keys(organisation)
        if newest not in keys or not _movable(organisation, keys, newest).exists():
            row = vault.make_key(organisation)
            keys, newest = _open_keys(organisation)
            record("key.renew", organisation, kind="organisationkey", thing=row.pk, detail={"version": newest})
    return keys, keys[newest]


def _trial(organisation: Organisation) -> tuple[DataKeys, organisation_keys.OrganisationKey]:
    ring.require_usable(KeyRing.from_settings())
    keys, newest = _open_keys(organisation)
    return keys, organisation_keys.new_organisation_key(organisation.pk, newest + 1)


def _open_keys(organisation: Organisation) -> tuple[DataKeys, int]:
    """The keys that open, and the newest version, which may be lost or damaged. Raises ``KeyAway``.

    Raises ``RingRefused`` where rather CATALOG_KEYS is not what sealed it.
    """
    keys, found = KeyRing.from_settings(), {}
    rows = list(OrganisationKey.objects.filter(organisation=organisation).order_by("version"))
    for row in rows:
        with suppress(SealError):
            found[row.version] = ring.opened(keys, row)
    if rows[-1].version not in found:
        ring.require_sound(keys, rows[-1].ring_key)
    return found, rows[-1].version


def _older(organisation: Organisation, target: organisation_keys.OrganisationKey) -> QuerySet[ConnectionSecrets]:
    return ConnectionSecrets.objects.filter(organisation=organisation, key_version__lt=target.version)


def keyless(organisation: Organisation) -> int:
    """How many secrets name a version later than any key has: their rows were edited, and nothing opens them."""
    newest = organisation.keys.order_by("-version").values("version")[:1]
    return ConnectionSecrets.objects.filter(organisation=organisation, key_version__gt=Subquery(newest)).count()


def _movable(organisation: Organisation, keys: DataKeys, newest: int) -> QuerySet[ConnectionSecrets]:
    """Secrets under an older key that opens; not those that are known to be spoilt."""
    older = [version for version in keys if version < newest]
    return ConnectionSecrets.objects.filter(organisation=organisation, key_version__in=older, problem="")


def _resealed(
    organisation: Organisation,
    rows: Sequence[ConnectionSecrets],
    keys: DataKeys,
    target: organisation_keys.OrganisationKey,
) -> list[Swap]:
    found = []
    for row in rows:
        try:
            found.append(_reseal(organisation, row, keys, target))
        except KeyUnavailable:
            continue  # locked: it stays as it is until its key is back or its secrets are entered again
        except SealError as exc:
            same = ConnectionSecrets.objects.filter(pk=row.pk, generation=row.generation, key_version=row.key_version)
            same.update(problem=type(exc).__name__[:32])
    return found


def _reseal(
    organisation: Organisation, row: ConnectionSecrets, keys: DataKeys, target: organisation_keys.OrganisationKey
) -> Swap:
    """The row under the new key, opened once there. Raises SealError when it does not open where it stands."""
    if row.key_version not in keys:
        raise KeyUnavailable(f"org-{row.key_version}")
    place = SecretsPlace(
        organisation_id=organisation.pk,
        connection_id=row.connection_id,
        slot=row.slot,  # type: ignore[arg-type]
        generation=row.generation,
        endpoint_fingerprint=row.fingerprint,
        names=row.names,
        kept_until=vault.kept_until(row),
    )
    blob = bytes(row.blob)
    renewed = SealedSecrets(keys[row.key_version]).reseal(blob, place, place, key=target)
    SealedSecrets(target).open(renewed, place)
    return Swap(
        row.pk,
        {"generation": row.generation, "slot": row.slot, "key_version": row.key_version, "blob": blob},
        {"key_version": target.version, "blob": renewed},
    )


def _store(
    organisation: Organisation,
    target: organisation_keys.OrganisationKey,
    rows: Sequence[ConnectionSecrets],
    swaps: list[Swap],
) -> int:
    """Write ``swaps``, of some of ``rows``. Their connections are locked first, as by everybody who saves secrets.

    Otherwise this and a save could each hold one slot of a connection and wait for the other's.
    """
    with transaction.atomic():
        hold(Connection.objects.filter(pk__in={row.connection_id for row in rows}))
        moved = swap(ConnectionSecrets, swaps)
        if moved:
            detail = {"version": target.version, "secrets": moved}
            record("key.reseal", organisation, kind="organisation", thing=organisation.pk, detail=detail)
    return moved


def _finish(organisation: Organisation, keys: DataKeys, target: organisation_keys.OrganisationKey) -> bool:
    """Remove older keys that nothing needs. False when something was saved under one of them meanwhile.

    Whoever saves secrets holds a lock on the row of its key, so no secret can come to a key that is being removed.
    """
    with transaction.atomic():
        for row in organisation.keys.select_for_update().filter(version__lt=target.version).order_by("pk"):
            if not ConnectionSecrets.objects.filter(organisation=organisation, key_version=row.version).exists():
                detail = {"version": row.version}
                record("key.remove", organisation, kind="organisationkey", thing=row.pk, detail=detail)
                row.delete()
        return not _movable(organisation, keys, target.version).exists()
