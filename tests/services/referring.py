"""Connections whose password is kept elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from connections.models import Connection
from connections.services import connections, drafts, sources
from connections.services.connections import Change
from connections.services.errors import Unresolved
from tests.catalogue import Tenant

CONFIG = {"host": "db.example.com", "port": 5432, "database": "sales", "user": "reader"}


def allow(tenant: Tenant, *patterns: str) -> None:
    tenant.organisation.references = list(patterns)
    tenant.organisation.save()


def make(tenant: Tenant, ref: Any, **config: Any) -> Connection:
    change = Change(name="Warehouse", config=CONFIG | config, secrets={"password": {"ref": ref}})
    return connections.create(tenant.actor(), "postgresql", change)


def looked_up(row: Connection) -> Any:
    """What would be handed to a worker for the password."""
    adapter = sources.find(row.source)
    assert adapter is not None
    return drafts.settings_of(adapter, Connection.objects.get(pk=row.pk))["password"]


def unresolved(row: Connection) -> Unresolved:
    with pytest.raises(Unresolved) as caught:
        looked_up(row)
    assert (caught.value.code, caught.value.field) == ("locked", "/secrets/password")
    return caught.value
