"""What all tables of an organisation share."""

from __future__ import annotations

import os
import time
import uuid
from typing import Any, Protocol, Self, TypeVar

from django.db import models

ModelT = TypeVar("ModelT", bound=models.Model)


class InOrganisation(Protocol):
    """Whoever acts for one organisation; ``services.actor.Actor`` is one."""

    @property
    def organisation_id(self) -> uuid.UUID: ...


def uuid7() -> uuid.UUID:
    """A version 7 UUID (RFC 9562): 48 bits of milliseconds, then randomness, so that keys sort by age."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    return uuid.UUID(int=value)


class TenantQuerySet(models.QuerySet[ModelT]):
    """Rows that belong to an organisation."""

    def visible_to(self, actor: InOrganisation) -> Self:
        """The rows of the actor's organisation, and no others."""
        return self.filter(organisation_id=actor.organisation_id)


class Identified(models.Model):
    """A row whose key is made before it is saved, so that sealed bytes can be bound to it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)

    class Meta:
        abstract = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.pk}>"


JSONObject = dict[str, Any]
