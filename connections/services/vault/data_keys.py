"""The data keys that an organisation's secrets are sealed under: made, opened, and made anew where one is lost."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from django.db.models import Max

from connections.models import ConnectionSecrets, Organisation, OrganisationKey
from connections.sealing import organisation_keys
from connections.sealing.errors import SealError
from connections.sealing.keyring import KeyRing
from connections.sealing.secrets import SealedSecrets
from connections.services import counters, ring
from connections.services.errors import UsedUp
from connections.services.keys.record import record
from connections.services.locks import hold


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
    ring.note(keys, keys.newest)
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
        found = SealingKey(row.version, SealedSecrets(ring.opened(keys, row)))
    except SealError:
        ring.require_sound(keys, row.ring_key, but=organisation)
        return None
    ring.note(keys, row.ring_key)
    return found
