"""Each organisation's random data key, and its sealed form under the deployment's key ring."""

import hmac
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
    return _seal(key, ring, _associated(key.organisation_id, key.version))


def unwrap(wrapped: WrappedKey, ring: KeyRing, organisation_id: UUID | str, version: int) -> OrganisationKey:
    """Return the organisation's key. Raises UnknownFormat, KeyUnavailable (KeyUnreachable) or Tampered.

    ``organisation_id`` and ``version`` come from the row: a key moved to another organisation does not open.
    """
    payload = _open(wrapped, ring, _associated(organisation_id, version))
    return OrganisationKey(payload, organisation_id, version)


def rewrap(wrapped: WrappedKey, ring: KeyRing, organisation_id: UUID | str, version: int) -> WrappedKey:
    """Return the same key sealed under the ring's newest key, or ``wrapped`` itself when it is already.

    Both the old and the new form are opened before it returns, and hold the same key, so the old one may be
    overwritten. Raises as ``unwrap``.
    """
    associated = _associated(organisation_id, version)  # of all three steps: to spell it out takes as long as a MAC
    key = OrganisationKey(_open(wrapped, ring, associated), organisation_id, version)
    if wrapped.kid == ring.newest:
        return wrapped
    renewed = _seal(key, ring, associated)
    if not hmac.compare_digest(_open(renewed, ring, associated), key.get(key.key_id)):
        raise Tampered
    return renewed


def _seal(key: OrganisationKey, ring: KeyRing, associated: bytes) -> WrappedKey:
    kid, payload = ring.newest, key.get(key.key_id)
    name = ring.transit(kid)
    if name is not None:
        return WrappedKey(transit.wrap(payload, name, kid, associated), kid)
    return WrappedKey(blobs.seal(payload, ring.get(kid), kid, associated), kid)


def _open(wrapped: WrappedKey, ring: KeyRing, associated: bytes) -> bytes:
    if blobs.key_id_of(wrapped.blob) != wrapped.kid:
        raise Tampered
    name = ring.transit(wrapped.kid)
    if name is not None:
        return transit.unwrap(wrapped.blob, name, associated)
    return blobs.open_(wrapped.blob, ring.get, associated)


def _associated(organisation_id: UUID | str, version: int) -> bytes:
    return canonical_json([FORMAT, "organisation-key", str(organisation_id), version])
