"""Sealed bytes that somebody changed are not passed over because a session made of the right ones is still open."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from connections.models import ConnectionSecrets
from connections.services import connections, orders, queries
from connections.services.errors import Locked
from tests.catalogue import Tenant
from tests.servers.pausable import PausableServer

pytestmark = pytest.mark.django_db(transaction=True)
PREVIEW = {"query": {"sql": "select 1 as one"}}

Change = Callable[[ConnectionSecrets, ConnectionSecrets], None]


def _another(row: ConnectionSecrets, other: ConnectionSecrets) -> None:
    row.blob = other.blob


def _cut(row: ConnectionSecrets, other: ConnectionSecrets) -> None:
    row.blob = bytes(row.blob)[:-1]


def _empty(row: ConnectionSecrets, other: ConnectionSecrets) -> None:
    row.blob = b""


def _edited(row: ConnectionSecrets, other: ConnectionSecrets) -> None:
    blob = bytearray(row.blob)
    blob[-5] ^= 1
    row.blob = bytes(blob)


def _named_otherwise(row: ConnectionSecrets, other: ConnectionSecrets) -> None:
    row.names = {**row.names, "other": "2020-01-01T00:00:00Z"}


@pytest.mark.parametrize("change", [_another, _cut, _empty, _edited, _named_otherwise])
def test_changed_bytes_lock_a_connection_that_was_just_used(
    acme: Tenant, postgresql: PausableServer, change: Change
) -> None:
    acme.database("postgresql", postgresql, name="Warehouse")
    acme.database("postgresql", postgresql, name="Other")
    path = "connections/warehouse/preview/"
    api = acme.api("analyst")
    for _ in range(2):
        assert api.post(path, PREVIEW).status_code == 200
    row, other = (ConnectionSecrets.objects.get(connection__slug=slug) for slug in ("warehouse", "other"))
    as_saved = bytes(row.blob), dict(row.names)
    change(row, other)
    row.save()
    refused = api.post(path, PREVIEW)
    assert (refused.status_code, refused.json()["code"]) == (409, "locked")
    with pytest.raises(Locked):
        queries.preview(
            acme.actor("analyst"), connections.get(acme.actor(), "warehouse"), orders.Request(PREVIEW["query"])
        )
    row.blob, row.names = as_saved
    row.problem = ""
    row.save()
    assert api.post(path, PREVIEW).status_code == 200
