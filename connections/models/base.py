"""What all tables of an organisation share."""

from __future__ import annotations

import os
import time
import uuid
from typing import Any, ClassVar, Protocol, Self, TypeVar

from django.db import models

ModelT = TypeVar("ModelT", bound=models.Model)


class InOrganisation(Protocol):
    """Whoever acts for one organisation; ``services.actor.Actor`` is one."""

    @property
    def organisation_id(self) -> uuid.UUID: ...

    @property
    def reach(self) -> frozenset[uuid.UUID] | None:
        """The only connections that they may know of, by id; None for all."""


def uuid7() -> uuid.UUID:
    """A version 7 UUID (RFC 9562): 48 bits of milliseconds, then randomness, so that keys sort by age."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    return uuid.UUID(int=value)


class TenantQuerySet(models.QuerySet[ModelT]):
    """Rows that belong to an organisation."""

    def visible_to(self, actor: InOrganisation) -> Self:
        """The rows of the actor's organisation, and no others: of its connections, those within the actor's reach."""
        found = self.filter(organisation_id=actor.organisation_id)
        if actor.reach is None:
            return found
        named = {field.name for field in self.model._meta.concrete_fields}
        column = getattr(self.model, "reach_column", "connection" if "connection" in named else None)
        return found.filter(**{f"{column}__in": actor.reach}) if column is not None else found


class Identified(models.Model):
    """A row whose key is made before it is saved, so that sealed bytes can be bound to it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)

    class Meta:
        abstract = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.pk}>"


class ObjectField(models.JSONField):
    """A JSON object. What is stored and is none reads as an empty one: a broken row must break no page."""

    empty: ClassVar[type] = dict

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        try:
            found = super().from_db_value(value, expression, connection)
        except ValueError:
            return self.empty()
        return found if isinstance(found, self.empty) else self.empty()

    def deconstruct(self) -> Any:
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs  # the column is the same


class ListField(ObjectField):
    """A JSON list, read as ``ObjectField`` is."""

    empty = list
