"""A source that lists no tables, or tells no columns of them, says so: at every door, and before anything is tried."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.urls import reverse

from connections.adapters.base import Adapter
from connections.adapters.config import Config, Query
from connections.adapters.contract import Category, Environment
from connections.adapters.egress import EgressPolicy
from connections.adapters.errors import InvalidError
from connections.adapters.limits import Deadline
from connections.models import Event
from connections.services import connections
from connections.services.connections import Change
from tests.catalogue import Tenant

WORDS = {"tables/": "lists no tables", "columns/?path=a": "tells no columns of tables"}


@pytest.fixture
def web(acme: Tenant) -> Any:
    change = Change(name="Web", config={"base_url": "https://example.com/v1"})
    return connections.create(acme.actor(), "http_api", change)


@pytest.mark.parametrize("path", WORDS)
def test_listing_what_a_source_does_not_list_is_refused_and_nothing_is_tried(acme: Tenant, web: Any, path: str) -> None:
    before = Event.objects.count()
    answer = acme.api("analyst").get(f"connections/web/{path}")
    body = answer.json()
    assert (answer.status_code, body["code"], body["transient"]) == (400, "invalid", False)
    assert body["detail"] == f"The source HTTP API {WORDS[path]}."
    assert "preview a query" in body["hint"]
    assert Event.objects.count() == before


def test_the_admin_says_so_too_and_offers_no_list(acme: Tenant, web: Any) -> None:
    browser = acme.browser("analyst")
    part = browser.post(reverse("admin:connections_connection_tables", args=[web.pk]))
    assert part.status_code == 200
    assert "The source HTTP API lists no tables." in part.content.decode()
    page = browser.get(reverse("admin:connections_connection_preview", args=[web.pk]))
    assert reverse("admin:connections_connection_tables", args=[web.pk]) not in page.content.decode()


class Nothing(Adapter[Config, Query]):
    """A source of somebody else with the hooks that every source has, and no more."""

    id, label, category = "nothing", "Nothing", Category.APPLICATION
    config_class, query_class = Config, Query

    def connect(self, deadline: Any) -> None:
        raise AssertionError("It was connected to.")

    def checks(self) -> Any:
        return []

    def rows(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("It was read.")

    def translate(self, exc: Exception) -> None:
        return None


def test_a_plug_in_without_the_hooks_refuses_before_it_connects() -> None:
    nothing = Nothing(Config.model_validate({}), Environment(EgressPolicy()))
    assert json.dumps(Nothing.capabilities()) == '["preview", "describe"]'
    with pytest.raises(InvalidError, match="The source Nothing lists no tables"):
        list(nothing.tables("", Deadline.after(5)))
    with pytest.raises(InvalidError, match="The source Nothing tells no columns"):
        nothing.columns(("a",), Deadline.after(5))
