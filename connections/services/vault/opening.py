"""Secrets opened, and why they cannot be."""

from __future__ import annotations

from typing import Any

from django.db.models import OuterRef, Subquery

from connections.models import Connection, ConnectionSecrets, Organisation, OrganisationKey, Slot
from connections.sealing import organisation_keys
from connections.sealing.errors import KeyUnavailable, SealError
from connections.sealing.keyring import KeyRing
from connections.sealing.secrets import SealedSecrets
from connections.services import references, ring, sources, upgrading
from connections.services.errors import Locked
from connections.services.vault.place import fingerprint, place_of
from connections.services.vault.rows import find, is_due

_HINT = "Enter the secrets again, or ask the platform's operators for the key."


def problem(connection: Connection, slot: Slot = Slot.CURRENT) -> str | None:
    """Why the secrets cannot be opened, in words, or None. Tells by rows and key ids; opens nothing."""
    if slot == Slot.CURRENT and _has_none(connection):
        return None
    row = find(connection, slot)
    if row is None or not is_due(connection, row):
        return "The stored secrets are not the ones that were last saved."
    if row.problem:
        return "The stored secrets were changed outside the catalogue."
    if (reason := _elsewhere(connection, row)) is not None:
        return reason
    _, key = _with_key(row, connection.organisation)
    if key is None or key.kid not in KeyRing.from_settings().ids:
        return "The key that seals the secrets is not available."
    return None


def unseal(connection: Connection, slot: Slot = Slot.CURRENT) -> dict[str, Any]:
    """The connection's secrets, nested like its config: texts, and a ``Reference`` for each that is kept elsewhere.

    Raises ``Locked`` when they do not open here, and ``KeyAway`` while the vault that has their key is away.
    """
    if slot == Slot.CURRENT and _has_none(connection):
        return {}
    reason = problem(connection, slot)
    row = find(connection, slot)
    if reason or row is None:
        raise Locked(reason or "The stored secrets are missing.", hint=_HINT)
    row, wrapped = _with_key(row, connection.organisation)
    try:
        sealer = _sealer(connection.organisation, row.key_version, wrapped)
    except SealError:
        raise Locked("The key that seals the secrets is not available.", hint=_HINT) from None
    place = place_of(connection, row)
    if not place.endpoint_fingerprint:
        raise Locked("The secrets were saved under another version of the source than this one knows.", hint=_HINT)
    try:
        opened = references.opened(sealer.open(bytes(row.blob), place), row.names, row.references)
    except SealError as exc:
        ConnectionSecrets.objects.filter(pk=row.pk).update(problem=type(exc).__name__[:32])
        raise Locked("The stored secrets were changed outside the catalogue.", hint=_HINT) from None
    return upgrading.secrets(connection, opened)


def _with_key(
    row: ConnectionSecrets, organisation: Organisation
) -> tuple[ConnectionSecrets, organisation_keys.WrappedKey | None]:
    """The row and the wrapped key of its version, None when there is no such key.

    Both may have been read at different moments, with the organisation re-keyed in between. Then both are read anew,
    in one statement, which sees one moment.
    """
    key = next((key for key in organisation.keys.all() if key.version == row.key_version), None)
    if key is not None:
        return row, _wrapped(key)
    keys = OrganisationKey.objects.filter(organisation=OuterRef("organisation"), version=OuterRef("key_version"))
    fresh = (
        ConnectionSecrets.objects.filter(pk=row.pk, generation=row.generation, slot=row.slot)
        .annotate(key_blob=Subquery(keys.values("blob")), ring_key=Subquery(keys.values("ring_key")))
        .first()
    )
    if fresh is None or fresh.key_blob is None:
        return row, None
    return fresh, organisation_keys.WrappedKey(bytes(fresh.key_blob), fresh.ring_key)


def _wrapped(key: OrganisationKey) -> organisation_keys.WrappedKey:
    return organisation_keys.WrappedKey(bytes(key.blob), key.ring_key)


def _sealer(organisation: Organisation, version: int, wrapped: organisation_keys.WrappedKey | None) -> SealedSecrets:
    if wrapped is None:
        raise KeyUnavailable(f"org-{version}")
    with ring.reaching():
        return SealedSecrets(organisation_keys.unwrap(wrapped, KeyRing.from_settings(), organisation.pk, version))


def _elsewhere(connection: Connection, row: ConnectionSecrets) -> str | None:
    """Why the secrets of ``row`` are not for the endpoint of today, or None. Of newer settings it is not told."""
    adapter = sources.find(connection.source)
    if adapter is None:
        return None
    expected = fingerprint(connection)
    if expected:
        return "The secrets were saved for another endpoint." if row.fingerprint != expected else None
    if connection.schema_version > adapter.config_class.schema_version:
        return None
    return "The secrets were saved under a version of the source that is not known any more."


def _has_none(connection: Connection) -> bool:
    """Whether the connection never had secrets. One whose row is there had them, whatever its generation says."""
    return not connection.secrets_generation and all(row.slot != Slot.CURRENT for row in connection.secrets_rows.all())
