"""Services keep organisations apart by themselves, whoever looked a row up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from connections import services
from connections.models import Connection, Event
from connections.services import connections, orders, queries, status
from connections.services.connections import Change
from connections.services.errors import NotFound
from tests.catalogue import Tenant

QUERY = {"sql": "select 1"}
SERVICES: dict[str, Callable[[Any, Connection], Any]] = {
    "read": lambda actor, row: services.read(row, QUERY, actor=actor),
    "preview": lambda actor, row: queries.preview(actor, row, orders.Request(QUERY)),
    "describe": lambda actor, row: queries.describe(actor, row, QUERY, {}),
    "tables": lambda actor, row: queries.tables(actor, row, search="", limit=5, after=None),
    "columns": lambda actor, row: queries.columns(actor, row, ["orders"]),
    "check": status.check,
    "last": status.last,
    "history": status.history,
    "test": lambda actor, row: status.test_changed(actor, row, {}, {}),
    "update": lambda actor, row: connections.update(actor, row, Change(name="Mine")),
    "delete": connections.delete,
    "pause": lambda actor, row: connections.pause(actor, row, "mine"),
    "resume": connections.resume,
    "clone": connections.clone,
}


@pytest.mark.parametrize("service", SERVICES)
def test_another_organisations_connection_is_not_there_for_any_service(
    acme: Tenant, globex: Tenant, service: str
) -> None:
    row = globex.sqlite()
    before = Event.objects.count()
    with pytest.raises(NotFound):
        SERVICES[service](acme.actor("admin"), row)
    assert Connection.objects.get(pk=row.pk).name == "Shop"
    assert Connection.objects.count() == 1
    assert Event.objects.count() == before
