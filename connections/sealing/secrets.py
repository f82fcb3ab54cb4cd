"""A connection's secrets, sealed as one blob that opens in one place only.

The place is the associated data: organisation, connection, slot, generation, endpoint fingerprint and names.

The slot is part of it. Without it, an attacker who can write the table could swap two whole rows of one
connection (generation, fingerprint, names and blob together) and have an old or untested secret used as the
current one, with every value in agreement. So promotion (pending to current, current to previous) reseals:
``SealedSecrets.reseal`` costs a fraction of a millisecond and hands no plaintext to its caller.

What a slot cannot hold against is an older *whole* row of the same slot, put back from a backup. Pass the
generation that the connection's own row says is current, not the one beside the blob, and that is refused too.

Previous secrets are bound to the moment until which they are kept as well: put back after it, they have that same
moment or do not open. Blobs that were sealed before they were bound to it open for as long as such secrets are kept.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args
from uuid import UUID

from django.conf import settings

from connections.sealing import blobs
from connections.sealing.canonical import FORMAT, canonical_json
from connections.sealing.errors import Tampered
from connections.sealing.organisation_keys import OrganisationKey

Slot = Literal["pending", "current", "previous"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretsPlace:
    """Where a blob belongs. It holds nothing secret.

    ``names`` are the names of the secrets inside, in any order. ``kept_until`` binds previous secrets, to the second;
    those of other slots have none.
    """

    organisation_id: UUID | str
    connection_id: UUID | str
    slot: Slot
    generation: int
    endpoint_fingerprint: str
    names: Iterable[str]
    kept_until: datetime | None = None

    def __post_init__(self) -> None:
        if self.slot not in get_args(Slot):
            raise ValueError(f"A slot is one of {', '.join(get_args(Slot))}.")
        if isinstance(self.names, str):
            raise TypeError("Names are a collection of texts, not one text.")
        if self.kept_until is not None and self.slot != "previous":
            raise ValueError("Only previous secrets are kept until a moment.")
        object.__setattr__(self, "names", tuple(sorted(set(self.names))))

    def associated(self) -> bytes:
        """Return the associated data: canonical JSON of a list that starts with the format and the purpose."""
        parts = [
            FORMAT,
            "connection-secrets",
            str(self.organisation_id),
            str(self.connection_id),
            self.slot,
            self.generation,
            self.endpoint_fingerprint,
            self.names,
        ]
        if self.kept_until is not None:
            parts.append(self.kept_until.astimezone(UTC).isoformat(timespec="seconds"))
        return canonical_json(parts)


class SealedSecrets:
    """Seals and opens the secrets of one organisation's connections."""

    __slots__ = ("_key",)

    def __init__(self, key: OrganisationKey) -> None:
        self._key = key

    def seal(self, secrets: Mapping[str, Any], place: SecretsPlace) -> bytes:
        """Return the blob of ``secrets``: nested mappings whose leaves are texts.

        Raises TypeError for another kind of leaf, and ValueError for another organisation's place.
        """
        if not self._owns(place):
            raise ValueError("The place belongs to another organisation than the key.")
        _refuse_other_leaves(secrets)
        payload = json.dumps(_plain(secrets), separators=(",", ":")).encode("ascii")
        key_id = self._key.key_id
        return blobs.seal(payload, self._key.get(key_id), key_id, place.associated())

    def open(self, blob: blobs.Stored, place: SecretsPlace) -> dict[str, Any]:
        """Return the secrets as they were sealed. Raises UnknownFormat, KeyUnavailable or Tampered."""
        if not self._owns(place):
            raise Tampered
        try:
            payload = blobs.open_(blob, self._key.get, place.associated())
        except Tampered:
            if place.kept_until is None or not _is_kept_still(blob):
                raise
            payload = blobs.open_(blob, self._key.get, replace(place, kept_until=None).associated())
        secrets: dict[str, Any] = json.loads(payload)
        return secrets

    def reseal(
        self, blob: blobs.Stored, place: SecretsPlace, new_place: SecretsPlace, *, key: OrganisationKey | None = None
    ) -> bytes:
        """Return the secrets of ``blob``, which belongs to ``place``, sealed for ``new_place``.

        For promotion between slots, for a schema upgrade that touches the endpoint, and, with ``key``, for a
        new organisation key. Raises as ``open``, and ValueError when connection or organisation would change.
        """
        if (str(place.organisation_id), str(place.connection_id)) != (
            str(new_place.organisation_id),
            str(new_place.connection_id),
        ):
            raise ValueError("Secrets never move to another connection: they must be entered again.")
        return SealedSecrets(key or self._key).seal(self.open(blob, place), new_place)

    def _owns(self, place: SecretsPlace) -> bool:
        return str(place.organisation_id) == self._key.organisation_id

    def __repr__(self) -> str:
        return f"<SealedSecrets {self._key.organisation_id}>"


def _is_kept_still(blob: blobs.Stored) -> bool:
    """Whether previous secrets that were sealed when ``blob`` was can be taken back still, by what that tells."""
    hours: float = settings.CATALOG_PREVIOUS_SECRETS_HOURS
    return blobs.sealed_at(blob) > datetime.now(UTC) - timedelta(hours=hours)


def _refuse_other_leaves(secrets: Mapping[str, Any]) -> None:
    for value in secrets.values():
        if not isinstance(value, str | Mapping):
            raise TypeError(f"A secret is a text, not {type(value).__name__}.")
        if isinstance(value, Mapping):
            _refuse_other_leaves(value)


def _plain(secrets: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) if isinstance(value, Mapping) else str(value) for name, value in secrets.items()}
