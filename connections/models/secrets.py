"""Sealed secrets. The only column that matters is opaque; its meaning is in ``connections.sealing``."""

from __future__ import annotations

from typing import NoReturn

from django.db import models
from django.utils import timezone

from connections.models.base import Identified, ObjectField, TenantQuerySet
from connections.models.connections import Connection
from connections.models.tenancy import Organisation


class Slot(models.TextChoices):
    """Which of a connection's secrets a row holds: those in use, those being tried, those before."""

    PENDING = "pending"
    CURRENT = "current"
    PREVIOUS = "previous"


class SealedField(models.BinaryField):  # type: ignore[type-arg]
    """Sealed bytes. Looking rows up by them would only ever be a mistake or a probe."""

    def get_lookup(self, lookup_name: str) -> NoReturn:
        raise TypeError("Sealed bytes cannot be looked up.")

    def get_transform(self, lookup_name: str) -> NoReturn:
        raise TypeError("Sealed bytes cannot be looked up.")


class ConnectionSecrets(Identified):
    """All secrets of one connection in one slot, as one sealed blob.

    ``names`` maps each secret's dotted path to when it was set, in ISO 8601. ``fingerprint`` is that of the endpoint
    they were saved for. ``references`` maps the paths whose value is kept elsewhere to where, such as ``env:NAME``.
    ``expiries`` maps paths to when that secret ends, in ISO 8601, and who says so. A pending row tells how its test
    went; a previous one until when it may be taken back. ``problem`` is why the blob did not open when it was last
    tried; empty when it did.
    """

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="+")
    connection = models.ForeignKey(Connection, models.CASCADE, related_name="secrets_rows")
    slot = models.CharField(max_length=8, choices=Slot.choices)
    generation = models.PositiveIntegerField()
    key_version = models.PositiveIntegerField(default=1)
    blob = SealedField()
    names = ObjectField(default=dict)
    fingerprint = models.CharField(max_length=64)
    references = ObjectField(default=dict)
    expiries = ObjectField(default=dict)
    tested_at = models.DateTimeField(null=True)
    tested_ok = models.BooleanField(null=True)
    tested_code = models.CharField(max_length=64, blank=True)
    kept_until = models.DateTimeField(null=True)
    problem = models.CharField(max_length=32, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects = TenantQuerySet["ConnectionSecrets"].as_manager()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["connection", "slot"], name="one_row_per_slot"),
            models.UniqueConstraint(fields=["connection", "generation"], name="one_row_per_generation"),
        ]
