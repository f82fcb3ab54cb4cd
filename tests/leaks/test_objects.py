"""What the services give and take shows no secret where somebody prints, logs or pickles it."""

from __future__ import annotations

from connections.adapters.registry import registry
from connections.services import connections, drafts, orders, vault
from connections.services.connections import Change
from connections.testing.leaks import Canaries
from tests.catalogue import Tenant


def test_objects_of_the_services_show_no_secret(acme: Tenant) -> None:
    canaries = Canaries()
    config = {"host": "127.0.0.1", "port": 1, "database": "d", "user": "u"}
    change = Change(name="Driven", config=config, secrets={"password": canaries.make()})
    canaries.look("the repr of a change", repr(change))
    row = connections.create(acme.actor(), "postgresql", change)
    adapter = registry["postgresql"]
    canaries.look_at("an actor", acme.actor())
    canaries.look_at("a connection", row)
    canaries.look_at("its rows of secrets", list(row.secrets_rows.all()))
    canaries.look_at("a draft", drafts.changed(adapter, row, {}, {}))
    canaries.look("an adapter's config", repr(adapter.config_class.model_validate(drafts.settings_of(adapter, row))))
    canaries.look("the repr of another change", repr(Change(config=row.config, secrets=vault.unseal(row))))
    canaries.look_at("a request", orders.Request(query={"sql": "select 1"}))
