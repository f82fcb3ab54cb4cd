"""Five thousand connections in an organisation: lists and pages take few queries, and open nothing sealed."""

from __future__ import annotations

from typing import Any

import pytest

from connections.models import Connection, ConnectionSecrets
from connections.sealing import organisation_keys
from connections.sealing.secrets import SealedSecrets
from connections.services import connections
from connections.services.connections import Change
from tests.catalogue import CANARY, Tenant

MANY = 5_000
CONFIG = {"host": "db.example.com", "port": 5432, "database": "sales", "user": "reader"}


@pytest.fixture
def crowd(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    """Five thousand connections with secrets. From here on, whoever opens anything fails."""
    change = Change(name="First", config=CONFIG, secrets={"password": CANARY})
    first = connections.create(acme.actor(), "postgresql", change)
    sealed = ConnectionSecrets.objects.get(connection=first)
    rows = [
        Connection(
            organisation=acme.organisation,
            slug=f"c-{number}",
            name=f"Connection {number}",
            source="postgresql",
            config=first.config,
            schema_version=first.schema_version,
            secrets_generation=sealed.generation,
        )
        for number in range(1, MANY)
    ]
    Connection.objects.bulk_create(rows, batch_size=500)
    copied = {name: getattr(sealed, name) for name in ("slot", "generation", "key_version", "names", "fingerprint")}
    ConnectionSecrets.objects.bulk_create(
        [
            ConnectionSecrets(organisation=acme.organisation, connection=row, blob=bytes(sealed.blob), **copied)
            for row in rows
        ],
        batch_size=500,
    )

    def refuse(*args: Any, **named: Any) -> Any:
        raise AssertionError("A list opened something sealed.")

    monkeypatch.setattr(SealedSecrets, "open", refuse)
    monkeypatch.setattr(organisation_keys, "unwrap", refuse)
    return acme


def test_lists_and_pages_of_five_thousand_take_few_queries_and_open_nothing(
    crowd: Tenant, django_assert_max_num_queries: Any
) -> None:
    api, browser = crowd.api("viewer"), crowd.browser("admin")
    for path in ("connections/", "connections/?search=connection+4", "connections/?state=unchecked"):
        with django_assert_max_num_queries(12):
            answer = api.get(path)
        assert answer.status_code == 200
        assert len(answer.json()["results"]) == 50
        assert CANARY not in answer.content.decode()
    for page in ("/admin/connections/connection/", "/admin/connections/connection/?p=40&q=connection"):
        with django_assert_max_num_queries(25):
            shown = browser.get(page)
        assert shown.status_code == 200, page
        assert CANARY not in shown.content.decode()
