"""Keys for some connections only: for them the others are not there, by whatever door."""

from __future__ import annotations

from typing import Any

import pytest

from connections.models import APIKey, Connection, Event
from connections.services import api_keys, connections, orders, queries, status
from connections.services.actor import Actor
from connections.services.connections import Change
from connections.services.errors import Forbidden, NotFound
from tests.catalogue import API, Tenant

QUERY = {"query": {"sql": "select count(*) as n from orders"}}


@pytest.fixture
def two(acme: Tenant) -> Tenant:
    acme.sqlite("Shop")
    acme.sqlite("Depot")
    return acme


def restricted(tenant: Tenant, *slugs: str, role: str = "editor") -> API:
    body = {"name": "Some", "role": role, "connections": list(slugs)}
    answer = tenant.api("admin").post("api-keys/", body)
    assert answer.status_code == 201, answer.content
    return API(tenant.slug, answer.json()["key"])


def actor_of(api: API) -> Actor:
    found = api_keys.recognise(api._headers["Authorization"].removeprefix("Bearer "))
    assert found is not None
    return api_keys.actor_of(found)


def test_a_key_tells_which_connections_it_reaches(two: Tenant) -> None:
    body = {"name": "Some", "role": "viewer", "connections": ["shop"]}
    assert two.api("admin").post("api-keys/", body).json()["connections"] == ["shop"]
    assert two.api("admin").post("api-keys/", {**body, "connections": None}).json()["connections"] is None
    listed = two.api("admin").get("api-keys/").json()["results"]
    assert [each["connections"] for each in listed[:3]] == [None, ["shop"], None]
    event = Event.objects.filter(action="api_key.create").order_by("at")[len(two.keys)]
    assert event.changes["connections"] == [None, ["shop"]]


def test_a_restricted_key_uses_its_connections_as_its_role_may(two: Tenant) -> None:
    api = restricted(two, "shop")
    assert api.post("connections/shop/preview/", QUERY).json()["rows"] == [[3]]
    assert api.post("connections/shop/status/").json()["ok"] is True
    assert api.patch("connections/shop/", {"description": "Changed"}).status_code == 200
    assert api.post("connections/test/", {"connection": "shop", "config": {}}).status_code == 200
    assert api.delete("connections/shop/").status_code == 204
    assert api.get("connections/").json()["results"] == []


def test_the_other_connections_are_not_there(two: Tenant) -> None:
    api = restricted(two, "shop")
    assert [each["slug"] for each in api.get("connections/").json()["results"]] == ["shop"]
    assert api.get("connections/?q=depot").json()["results"] == []
    assert api.get("connections/?tag=&source=sqlite&state=unchecked").json()["results"][0]["slug"] == "shop"
    asked = [
        api.get("connections/depot/"),
        api.patch("connections/depot/", {"description": "Mine"}),
        api.delete("connections/depot/"),
        api.get("connections/depot/status/"),
        api.post("connections/depot/status/"),
        api.get("connections/depot/status/history/"),
        api.post("connections/depot/preview/", QUERY),
        api.post("connections/depot/preview/?format=csv", QUERY),
        api.post("connections/depot/describe/", QUERY),
        api.get("connections/depot/tables/"),
        api.get("connections/depot/columns/?path=orders"),
        api.post("connections/depot/pause/", {"reason": ""}),
        api.post("connections/depot/resume/"),
        api.post("connections/depot/clone/"),
        api.post("connections/test/", {"connection": "depot", "config": {}}),
        api.get("connections/nowhere/"),
    ]
    told = [{**each.json(), "request_id": None} for each in asked]
    assert [each.status_code for each in asked] == [404] * len(asked)
    assert all(each == told[-1] for each in told)
    assert Connection.objects.get(slug="depot").description == ""


def test_a_service_that_is_handed_another_row_does_not_see_it(two: Tenant) -> None:
    actor, depot = actor_of(restricted(two, "shop")), Connection.objects.get(slug="depot")
    for service in (
        lambda: queries.preview(actor, depot, orders.Request({"sql": "select 1"})),
        lambda: queries.tables(actor, depot, search="", limit=5, after=None),
        lambda: status.check(actor, depot),
        lambda: status.history(actor, depot),
        lambda: connections.update(actor, depot, Change(name="Mine")),
        lambda: connections.delete(actor, depot),
    ):
        with pytest.raises(NotFound):
            service()
    with pytest.raises(Forbidden):
        connections.clone(actor, Connection.objects.get(slug="shop"))


def test_a_restricted_key_makes_nothing_new(two: Tenant) -> None:
    api = restricted(two, "shop")
    new = {"name": "New", "source": "sqlite", "config": {"path": "shop.sqlite3"}}
    for answer in (
        api.post("connections/", new),
        api.post("connections/test/", {"source": "sqlite", "config": new["config"]}),
        api.post("connections/shop/clone/"),
        api.get("members/"),
        api.post("members/", {"email": "a@b.example", "role": "viewer"}),
        api.get("api-keys/"),
        api.post("api-keys/", {"name": "More", "role": "viewer"}),
        api.get("events/"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert Connection.objects.count() == 2


def test_a_restricted_key_is_no_administrators_even_if_its_row_says_so(two: Tenant) -> None:
    answer = two.api("admin").post("api-keys/", {"name": "X", "role": "admin", "connections": ["shop"]})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/role")
    api = restricted(two, "shop")
    APIKey.objects.filter(restricted=True).update(role="admin")
    assert api.get("").json()["role"] == "editor"


@pytest.mark.parametrize(
    ("slugs", "pointer"),
    [
        ([], "/connections"),
        ("shop", "/connections"),
        ({"shop": True}, "/connections"),
        (["shop"] * 501, "/connections"),
        ([None], "/connections/0"),
        (["shop", ["depot"]], "/connections/1"),
        (["shop", "no\0where"], "/connections/1"),
        (["shop", "nowhere"], "/connections/1"),
        (["shop", "theirs", "depot"], "/connections/1"),
    ],
)
def test_one_connection_that_is_not_the_organisations_refuses_the_whole_key(
    two: Tenant, globex: Tenant, slugs: Any, pointer: str
) -> None:
    globex.sqlite("Theirs")
    before = APIKey.objects.count()
    answer = two.api("admin").post("api-keys/", {"name": "Some", "role": "viewer", "connections": slugs})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert APIKey.objects.count() == before


def test_a_key_whose_connections_are_gone_reaches_none(two: Tenant) -> None:
    api = restricted(two, "shop")
    assert two.api("editor").delete("connections/shop/").status_code == 204
    two.sqlite("Shop")
    assert api.get("connections/").json()["results"] == []
    assert api.get("connections/shop/").status_code == 404
    assert two.api("admin").get("api-keys/").json()["results"][0]["connections"] == []


def test_the_admin_offers_the_organisations_connections_for_a_key(two: Tenant, globex: Tenant) -> None:
    globex.sqlite("Theirs")
    browser = two.browser("admin")
    form = browser.get("/admin/connections/apikey/add/").content.decode()
    assert "Depot (depot)" in form
    assert "theirs" not in form
    sent = {"name": "Robot", "role": "analyst", "connections": ["depot"]}
    assert "ck_" in browser.post("/admin/connections/apikey/add/", sent).content.decode()
    key = APIKey.objects.get(name="Robot")
    assert (key.restricted, api_keys.reached(key)) == (True, ["depot"])
    assert "depot" in browser.get("/admin/connections/apikey/").content.decode()
    refused = browser.post("/admin/connections/apikey/add/", {**sent, "name": "Other", "connections": ["theirs"]})
    assert "not one of the available choices" in refused.content.decode()
    assert not APIKey.objects.filter(name="Other").exists()


def test_the_use_of_a_key_is_noted_at_most_once_a_minute(two: Tenant) -> None:
    api = two.api("viewer")
    key = APIKey.objects.get(organisation=two.organisation, name="viewer key")
    assert key.last_used_at is None
    api.get("connections/")
    key.refresh_from_db()
    first = key.last_used_at
    assert first is not None
    api.get("connections/")
    key.refresh_from_db()
    assert key.last_used_at == first
