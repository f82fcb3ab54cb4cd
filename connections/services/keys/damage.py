"""Organisation keys that do not open though the ring has their key: edited, cut, or moved from another organisation.

What they seal is locked. Whoever enters a secret of such an organisation again gives it a new data key.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from connections.models import Organisation, OrganisationKey
from connections.sealing.errors import KeyUnavailable, SealError
from connections.sealing.keyring import KeyRing
from connections.services import ring


@dataclass(frozen=True, slots=True)
class Damaged:
    """One such key: whose it is, its version, and the key of the ring that it names."""

    organisation: str
    version: int
    kid: str

    def __str__(self) -> str:
        return f"{self.organisation}, version {self.version}, under {self.kid}"


def damaged(organisation: Organisation | None = None, *, in_vault: bool = True) -> Iterator[Damaged]:
    """Open every organisation key, or one organisation's, and yield what does not open.

    A key that the ring does not have is lost, not damaged. Without ``in_vault``, those that only a vault opens are left
    out: each costs a request. Raises ``KeyAway``.
    """
    keys = KeyRing.from_settings()
    rows = OrganisationKey.objects.filter(ring_key__in=keys.ids).select_related("organisation").order_by("pk")
    if organisation is not None:
        rows = rows.filter(organisation=organisation)
    for row in rows.iterator():
        if in_vault or keys.transit(row.ring_key) is None:
            try:
                ring.opened(keys, row)
            except KeyUnavailable:
                continue
            except SealError:
                yield Damaged(row.organisation.slug, row.version, row.ring_key)


def doubted(keys: KeyRing, *, in_vault: bool = True) -> dict[str, str]:
    """Keys of the ring that rather have other bytes, each with what to say of it. Raises ``KeyAway``."""
    asked = [kid for kid in keys.ids if in_vault or keys.transit(kid) is None]
    return {kid: doubt for kid in asked if (doubt := ring.doubted(keys, kid))}
