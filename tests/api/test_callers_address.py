"""The record names the caller's address: what our own proxies saw, never what the caller wrote."""

from __future__ import annotations

from typing import Any

import pytest

from connections.models import Event
from tests.catalogue import Tenant

FORGED = "203.0.113.9"
CALLER = "198.51.100.7"
PROXY = "10.0.0.2"


@pytest.mark.parametrize(
    ("proxies", "header", "recorded"),
    [
        (0, f"{FORGED}, {CALLER}", "127.0.0.1"),
        (1, CALLER, CALLER),
        (1, f"{FORGED}, {CALLER}", CALLER),
        (2, f"{FORGED}, {CALLER}, {PROXY}", CALLER),
        (2, CALLER, "127.0.0.1"),
        (1, "unknown", "127.0.0.1"),
        (1, "", "127.0.0.1"),
    ],
)
def test_an_event_has_the_address_that_the_outermost_own_proxy_saw(
    settings: Any, acme: Tenant, proxies: int, header: str, recorded: str
):
    settings.CATALOG_PROXIES = proxies
    body = {"name": "Made by", "source": "sqlite", "config": {"path": "shop.sqlite3"}}
    assert acme.api().post("connections/", body, **{"X-Forwarded-For": header}).status_code == 201
    assert Event.objects.get(action="connection.create").ip == recorded
