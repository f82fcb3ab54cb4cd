"""Who asks: a user or an API key, in one organisation, with a role."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from connections.models import Connection, Organisation, Role
from connections.services.errors import Forbidden, NotFound


class Owned(Protocol):
    @property
    def organisation_id(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Visit:
    """A superuser's look into an organisation that is not theirs: why, and until when."""

    id: str
    organisation_id: uuid.UUID
    person_id: int
    reason: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Stranger:
    """Who asks, in no organisation; the fields are as an ``Actor`` has them."""

    kind: str
    id: str
    label: str
    request_id: str = ""
    ip: str | None = None
    visit: None = None


@dataclass(frozen=True, slots=True)
class Actor:
    """``kind`` is ``user``, ``superuser``, ``api_key`` or ``system``; ``id`` is theirs in their own table.

    ``reach`` holds the ids of the only connections that there are for them; None is all of the organisation's.
    """

    kind: str
    id: str
    label: str
    organisation: Organisation = field(repr=False)
    role: Role
    request_id: str = ""
    ip: str | None = None
    user_id: int | None = None
    membership_id: uuid.UUID | None = None
    reach: frozenset[uuid.UUID] | None = None
    visit: Visit | None = None

    @property
    def organisation_id(self) -> uuid.UUID:
        return self.organisation.pk

    def may(self, role: Role) -> bool:
        """Whether this actor has the rights of ``role``."""
        return self.role.covers(role)

    def require(self, role: Role, *things: Owned | None) -> None:
        """Raise ``NotFound`` for what is another organisation's or out of reach, ``Forbidden`` without ``role``.

        Every service that is handed a row asks this first: who looked the row up is not its business.
        """
        if not all(thing is None or self.sees(thing) for thing in things):
            raise NotFound
        if not self.may(role):
            raise Forbidden(f"This needs the role {role.label.lower()}; yours is {self.role.label.lower()}.")

    def require_whole_reach(self) -> None:
        """Raise ``Forbidden`` for who reaches some connections only: what is new would not be one of them."""
        if self.reach is not None:
            raise Forbidden("This key is for some connections only, and cannot make or try others.")

    def sees(self, thing: Owned) -> bool:
        """Whether a row is of this actor's organisation and, where it is about a connection, within reach."""
        if thing.organisation_id != self.organisation_id:
            return False
        if self.reach is None:
            return True
        connection = thing.pk if isinstance(thing, Connection) else getattr(thing, "connection_id", None)
        return connection is None or connection in self.reach
