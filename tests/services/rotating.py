"""Connections on their way from one secret to the next."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from connections.models import Connection, ConnectionSecrets, Event, Slot
from connections.services import connections, rotation, vault
from connections.services.connections import Change
from tests.catalogue import Tenant

NOWHERE = {"host": "127.0.0.1", "port": 1, "database": "sales", "user": "reader", "tls": {"mode": "disable"}}


def elsewhere(tenant: Tenant, **secrets_: Any) -> Connection:
    """A connection to where nobody answers."""
    change = Change(name="Elsewhere", config=NOWHERE, secrets=secrets_ or {"password": "first"})
    return connections.create(tenant.actor(), "postgresql", change)


def load(tenant: Tenant, row: Connection) -> Connection:
    return connections.get(tenant.actor(), row.slug)


def stage(tenant: Tenant, row: Connection, password: str | None = "second") -> rotation.Staged:
    return rotation.stage(tenant.actor(), load(tenant, row), {"password": password})


def passed(tenant: Tenant, row: Connection, password: str | None = "second") -> Connection:
    """The connection with pending secrets whose test, we say, went well."""
    stage(tenant, row, password)
    ConnectionSecrets.objects.filter(connection=row, slot=Slot.PENDING).update(
        tested_ok=True, tested_at=timezone.now(), tested_code=""
    )
    return load(tenant, row)


def promoted(tenant: Tenant, row: Connection, password: str = "second") -> Connection:
    return rotation.promote(tenant.actor(), passed(tenant, row, password))


def stored(tenant: Tenant, row: Connection, slot: Slot = Slot.CURRENT) -> Any:
    return vault.unseal(load(tenant, row), slot)


def kept(row: Connection) -> list[str]:
    return sorted(ConnectionSecrets.objects.filter(connection=row).values_list("slot", flat=True))


def actions(row: Connection) -> list[tuple[str, str]]:
    rows = Event.objects.filter(object_id=str(row.pk)).order_by("at", "id").values_list("action", "result")
    return [(action, result) for action, result in rows if action != "connection.preview"]
