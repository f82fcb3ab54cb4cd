"""Each organisation's random data key, and its sealed form under the deployment's key ring."""

import os
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from connections.sealing import blobs, transit
from connections.sealing.canonical import FORMAT, canonical_json
from connections.sealing.errors import KeyUnavailable, Tampered
from connections.sealing.keyring import KEY_BYTES, InMemoryOnly, KeyRing

FIRST_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """An organisation key sealed under the ring's key ``kid``: what the organisation's row stores."""

    blob: bytes = field(repr=False)
    kid: str


class OrganisationKey(InMemoryOnly):
    """An organisation's data key, in memory. ``repr`` shows whose it is, never the key."""

    __slots__ = ("_key", "organisation_id", "version")

    def __init__(self, key: bytes, organisation_id: UUID | str, version: int) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"An organisation key has {KEY_BYTES} bytes.")
        self._key = key
        self.organisation_id = str(organisation_id)
        self.version = version

    @property
    def key_id(self) -> str:
        """The id that blobs sealed under this key carry."""
        return f"org-{self.version}"

    def get(self, kid: str) -> bytes:
        """Return the key when ``kid`` names it. Raises KeyUnavailable for another version's id."""
        if kid != self.key_id:
            raise KeyUnavailable(kid)
        return self._key

    def __repr__(self) -> str:
        return f"<OrganisationKey {self.organisation_id} version {self.version}>"


def new_organisation_key(organisation_id: UUID | str, version: int = FIRST_VERSION) -> OrganisationKey:
    """Return a fresh random key for the organisation."""
    return OrganisationKey(os.urandom(KEY_BYTES), organisation_id, version)


def wrap(key: OrganisationKey, ring: KeyRing) -> WrappedKey:
    """Return ``key`` sealed under the ring's newest key. Raises KeyUnreachable when a vault keeps that, and is away."""
    kid = ring.newest
    payload, associated = key.get(key.key_id), _associated(key.organisation_id, key.version)
    name = ring.transit(kid)
    if name is not None:
        return WrappedKey(transit.wrap(payload, name, kid, associated), kid)
    return WrappedKey(blobs.seal(payload, ring.get(kid), kid, associated), kid)


def unwrap(wrapped: WrappedKey, ring: KeyRing, organisation_id: UUID | str, version: int) -> OrganisationKey:
    """Return the organisation's key. Raises UnknownFormat, KeyUnavailable (KeyUnreachable) or Tampered.

    ``organisation_id`` and ``version`` come from the row: a key moved to another organisation does not open.
    """
    if blobs.key_id_of(wrapped.blob) != wrapped.kid:
        raise Tampered
    associated = _associated(organisation_id, version)
    name = ring.transit(wrapped.kid)
    if name is not None:
        return OrganisationKey(transit.unwrap(wrapped.blob, name, associated), organisation_id, version)
    return OrganisationKey(blobs.open_(wrapped.blob, ring.get, associated), organisation_id, version)


def rewrap(wrapped: WrappedKey, ring: KeyRing, organisation_id: UUID | str, version: int) -> WrappedKey:
    """Return the same key sealed under the ring's newest key, or ``wrapped`` itself when it is already.

    Both the old and the new form are opened before it returns, so the old one may be overwritten.
    Raises as ``unwrap``.
    """
    key = unwrap(wrapped, ring, organisation_id, version)
    if wrapped.kid == ring.newest:
        return wrapped
    renewed = wrap(key, ring)
    unwrap(renewed, ring, organisation_id, version)
    return renewed


def _associated(organisation_id: UUID | str, version: int) -> bytes:
    return canonical_json([FORMAT, "organisation-key", str(organisation_id), version])
