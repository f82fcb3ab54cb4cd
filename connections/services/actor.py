"""Who asks: a user or an API key, in one organisation, with a role."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, Protocol

from connections.models import Organisation, Role
from connections.services.errors import Forbidden, NotFound


class Owned(Protocol):
    @property
    def organisation_id(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Actor:
    """``kind`` is ``user``, ``superuser``, ``api_key`` or ``system``; ``id`` is theirs in their own table."""

    kind: str
    id: str
    label: str
    organisation: Organisation = field(repr=False)
    role: Role
    request_id: str = ""
    ip: str | None = None
    user_id: int | None = None
    membership_id: uuid.UUID | None = None

    @property
    def organisation_id(self) -> uuid.UUID:
        return self.organisation.pk

    def may(self, role: Role) -> bool:
        """Whether this actor has the rights of ``role``."""
        return self.role.covers(role)

    def require(self, role: Role, *things: Owned | None) -> None:
        """Raise ``NotFound`` for a thing that is another organisation's, ``Forbidden`` without the rights of ``role``.

        Every service that is handed a row asks this first: who looked the row up is not its business.
        """
        if any(thing is not None and thing.organisation_id != self.organisation_id for thing in things):
            raise NotFound
        if not self.may(role):
            raise Forbidden(f"This needs the role {role.label.lower()}; yours is {self.role.label.lower()}.")
