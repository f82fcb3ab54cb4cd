"""Between rows and the sealing package: seal a connection's secrets, tell whether they open, hand them over.

Plaintext leaves this module in two ways only: to the supervisor, which writes it down one worker's pipe, and to
``services.drafts``, which joins kept secrets with new ones to validate and seal the whole.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

import orjson
from django.db import transaction
from django.db.models import Max, OuterRef, Subquery

from connections.adapters import snapshots
from connections.models import Connection, ConnectionSecrets, Organisation, OrganisationKey, Slot
from connections.sealing import organisation_keys
from connections.sealing.errors import KeyUnavailable, SealError
from connections.sealing.fingerprint import endpoint_fingerprint
from connections.sealing.keyring import KeyRing
from connections.sealing.secrets import SealedSecrets, SecretsPlace
from connections.services import counters, references, ring, sources, upgrading
from connections.services.errors import Locked, UsedUp
from connections.services.keys.record import record
from connections.services.locks import hold

_HINT = "Enter the secrets again, or ask the platform's operators for the key."


@dataclass(frozen=True, slots=True)
class SealingKey:
    """The data key that an organisation's secrets are sealed under now, opened."""

    version: int
    sealer: SealedSecrets


def new_key(
    organisation: Organisation,
    version: int = organisation_keys.FIRST_VERSION,
    *,
    but: Organisation | None = None,
) -> OrganisationKey:
    """A data key for ``organisation``, sealed and not saved. Raises ``KeyAway``, and ``RingRefused``.

    The keys of the organisation ``but`` are no evidence against the ring.
    """
    keys = KeyRing.from_settings()
    ring.require_usable(keys, but=but)
    key = organisation_keys.new_organisation_key(organisation.pk, version)
    with ring.reaching():
        wrapped = organisation_keys.wrap(key, keys)
    return OrganisationKey(organisation=organisation, version=version, ring_key=wrapped.kid, blob=wrapped.blob)


def make_key(organisation: Organisation, *, but: Organisation | None = None) -> OrganisationKey:
    """Give an organisation its next data key. Raises as ``new_key``, and ``UsedUp``.

    The version is new to its secrets too: after an erasure, no old blob looks as if the new key had sealed it.
    """
    held = organisation.keys.aggregate(newest=Max("version"))["newest"] or 0
    later = ConnectionSecrets.objects.filter(organisation=organisation, key_version__gt=held)
    named = {*later.values_list("key_version", flat=True)}
    version = next(number for number in count(held + 1) if number not in named)
    if version > counters.LAST:
        raise UsedUp(
            "A data key of this organisation was changed outside the catalogue: its version is the last there can be.",
            hint="Nothing was stored. Tell the platform's operators: the row must be mended, or the keys erased.",
        )
    row = new_key(organisation, version, but=but)
    row.save(force_insert=True)
    return row


def fingerprint(connection: Connection) -> str:
    """The fingerprint of where this connection's secrets go, by its settings as they are stored.

    It is under the version of the schema that they were stored under; empty where nothing is known of that.
    """
    adapter, values = sources.find(connection.source), connection.config
    if adapter is not None:
        known = snapshots.endpoint(adapter, connection.config, connection.schema_version)
        if known is None:
            return ""
        values = known
    return endpoint_fingerprint(connection.source, connection.schema_version, values)


def find(connection: Connection, slot: Slot) -> ConnectionSecrets | None:
    """The row of a slot, or None. Reads prefetched rows where there are."""
    if slot == Slot.CURRENT and not connection.secrets_generation:
        return None
    return next((row for row in connection.secrets_rows.all() if row.slot == slot), None)


def blob_digest(blob: bytes) -> str:
    return hashlib.blake2b(bytes(blob), digest_size=12).hexdigest()


def version(connection: Connection) -> str:
    """A text that changes with whatever is stored of the secrets in use, by whomever; empty where there are none.

    An adapter that was made of other bytes is not used any more: these must open first.
    """
    row = current(connection)
    if row is None:
        return ""
    sealed = row.__dict__.get("blob_digest") or blob_digest(row.blob)
    named = blob_digest(orjson.dumps(row.names, option=orjson.OPT_SORT_KEYS))
    return f"{sealed}.{named}.{row.generation}.{row.key_version}"


def current(connection: Connection) -> ConnectionSecrets | None:
    """The row of the secrets in use, or None when the connection has none."""
    return find(connection, Slot.CURRENT)


def names(connection: Connection, slot: Slot = Slot.CURRENT) -> dict[str, str]:
    """Dotted paths of the secrets that are set, each with when it was set (ISO 8601)."""
    row = find(connection, slot)
    return upgrading.by_name(connection, row.names) if row else {}


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
    place = _place(connection, row)
    if not place.endpoint_fingerprint:
        raise Locked("The secrets were saved under another version of the source than this one knows.", hint=_HINT)
    try:
        opened = references.opened(sealer.open(bytes(row.blob), place), row.names, row.references)
    except SealError as exc:
        ConnectionSecrets.objects.filter(pk=row.pk).update(problem=type(exc).__name__[:32])
        raise Locked("The stored secrets were changed outside the catalogue.", hint=_HINT) from None
    return upgrading.secrets(connection, opened)


def references_of(connection: Connection, slot: Slot = Slot.CURRENT) -> dict[str, str]:
    """Dotted paths of the secrets that are kept elsewhere, each with its reference."""
    row = find(connection, slot)
    return upgrading.by_name(connection, row.references) if row and row.references else {}


def seal(connection: Connection, secrets: dict[str, Any], set_at: dict[str, str], *, changed: bool) -> None:
    """Store ``secrets`` as the connection's current ones, bound to its endpoint as it is now.

    ``set_at`` gives each dotted path's time. ``changed`` moves the generation; a mere reseal does not.
    """
    with transaction.atomic():
        if changed:
            connection.secrets_generation = next_generation(connection)
        key = sealing_key(connection.organisation)
        row = ConnectionSecrets.objects.filter(connection=connection, slot=Slot.CURRENT).first()
        row = row or ConnectionSecrets(connection=connection, organisation_id=connection.organisation_id)
        row.slot, row.generation, row.names = Slot.CURRENT, connection.secrets_generation, set_at
        write(connection, row, secrets, key)
        connection.save(update_fields=["secrets_generation"])


def write(connection: Connection, row: ConnectionSecrets, secrets: dict[str, Any], key: SealingKey) -> None:
    """Save ``row``, whose slot, generation and names are set, with ``secrets`` sealed under ``key`` for this place."""
    row.key_version, row.fingerprint, row.problem = key.version, fingerprint(connection), ""
    row.references = references.column(secrets)
    row.blob = key.sealer.seal(references.sealable(secrets), _place(connection, row))
    row.save()
    forget_rows(connection)


def forget_rows(connection: Connection) -> None:
    """Read the connection's rows of secrets anew the next time: they were changed."""
    getattr(connection, "_prefetched_objects_cache", {}).pop("secrets_rows", None)


def sealing_key(organisation: Organisation) -> SealingKey:
    """The newest data key; a new one, on record, where that is damaged or the ring's key for it lost.

    So secrets can be entered again. Its row is locked until the transaction ends: no key is removed while something is
    being sealed under it. Raises ``KeyAway``, and ``RingRefused`` where rather this process's ring does not fit.
    """
    keys = KeyRing.from_settings()
    found = _opened(organisation, keys, _newest(organisation))
    if found is not None:
        return found
    hold(Organisation.objects.filter(pk=organisation.pk))  # one of several savers makes it
    newest = _newest(organisation)
    getattr(organisation, "_prefetched_objects_cache", {}).pop("keys", None)
    found = _opened(organisation, keys, newest)
    if found is not None:
        return found
    row = make_key(organisation, but=organisation)
    detail = {"version": row.version, **({"instead_of": newest.version} if newest is not None else {})}
    record("key.renew", organisation, kind="organisationkey", thing=row.pk, by="catalogue", detail=detail)
    return SealingKey(row.version, SealedSecrets(ring.opened(keys, row)))


def _newest(organisation: Organisation) -> OrganisationKey | None:
    return organisation.keys.select_for_update(no_key=True).order_by("-version").first()


def _opened(organisation: Organisation, keys: KeyRing, row: OrganisationKey | None) -> SealingKey | None:
    """The key of ``row``; None where it is missing, lost or damaged. Raises ``RingRefused`` and ``KeyAway``."""
    if row is None:
        return None
    try:
        return SealingKey(row.version, SealedSecrets(ring.opened(keys, row)))
    except SealError:
        ring.require_sound(keys, row.ring_key, but=organisation)
        return None


def next_generation(connection: Connection) -> int:
    """A generation above all that the connection's rows have or had. Raises ``UsedUp``."""
    used = connection.secrets_rows.order_by("-generation").values_list("generation", flat=True).first() or 0
    return counters.after(max(used, connection.secrets_generation, connection.staged_generation))


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


def is_due(connection: Connection, row: ConnectionSecrets) -> bool:
    """Whether the row is of the generation that its slot can have now, by the connection's own row."""
    if row.slot == Slot.PENDING:
        return row.generation == connection.staged_generation > connection.secrets_generation
    return row.generation == connection.secrets_generation - (row.slot == Slot.PREVIOUS)


def kept_until(row: ConnectionSecrets) -> datetime | None:
    """The moment that the secrets of ``row`` are bound to: only previous ones are."""
    return row.kept_until if row.slot == Slot.PREVIOUS else None


def _place(connection: Connection, row: ConnectionSecrets) -> SecretsPlace:
    return SecretsPlace(
        organisation_id=connection.organisation_id,
        connection_id=connection.pk,
        slot=Slot(row.slot).value,  # type: ignore[arg-type]
        generation=row.generation,
        endpoint_fingerprint=fingerprint(connection),
        names=row.names,
        kept_until=kept_until(row),
    )
