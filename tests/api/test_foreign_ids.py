"""Ids of another organisation in bodies, nested values and lists refuse the request, and nothing is done.

The requests are made from the table of routes: a route that takes a body is here without being listed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.apps import apps
from django.test import Client

from connections.models import APIKey, Connection, Event, Membership, RingKey
from tests import matrix
from tests.catalogue import Tenant
from tests.routes import BODIES, METHODS, QUERIES, Things, routes, things_of

OWN = "api/v1/orgs/<slug:org>/"
Named = dict[str, str]


@pytest.fixture
def things(acme: Tenant) -> Things:
    return things_of(acme)


@pytest.fixture
def foreign(globex: Tenant) -> Named:
    """Names that a body or a query may have, each with another organisation's id."""
    connection = globex.sqlite("Theirs")
    organisation = str(globex.organisation.pk)
    member = str(Membership.objects.filter(organisation=globex.organisation)[0].pk)
    return {
        "organisation": organisation,
        "organisation_id": organisation,
        "org": "globex",
        "id": str(connection.pk),
        "pk": str(connection.pk),
        "slug": "theirs",
        "connection": "theirs",
        "connection_id": str(connection.pk),
        "member": member,
        "membership_id": member,
        "user": str(globex.people["viewer"].pk),
        "api_key": str(APIKey.objects.filter(organisation=globex.organisation)[0].pk),
        "request_id": "their-request",
    }


def asked(tenant: Tenant, method: str, path: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {tenant.keys['admin']}"}
    sent: dict[str, Any] = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
    answer = Client().generic(method, path, **sent, headers=headers)
    if answer.streaming:
        answer.getvalue()
    return answer


def contents(tenant: Tenant | None = None) -> dict[str, Any]:
    """All rows but events and what the use of a key leaves; of one organisation, or of all."""
    found = {}
    for model in apps.get_app_config("connections").get_models():
        if model is Event:
            continue
        rows = model._base_manager.order_by("pk")
        if tenant is not None:
            if model is RingKey:  # of the deployment
                continue
            owner = "pk" if model.__name__ == "Organisation" else "organisation"
            rows = rows.filter(**{owner: tenant.organisation.pk})
        found[model.__name__] = [{k: v for k, v in row.items() if k != "last_used_at"} for row in rows.values()]
    return found


def bodies() -> Iterator[tuple[str, str]]:
    """Each method and route of an organisation that may take a body."""
    table = matrix.read(METHODS)
    for route in routes():
        for method in ("POST", "PATCH") if route.startswith(OWN) else ():
            if 405 not in table[route][method]:
                yield method, route


def nested(value: Any, name: str, theirs: str) -> Iterator[Any]:
    """``value`` with a foreign id put into each of its objects, one at a time."""
    if isinstance(value, dict):
        yield {**value, name: theirs}
        for key, part in value.items():
            for changed in nested(part, name, theirs):
                yield {**value, key: changed}


@pytest.mark.parametrize(("method", "route"), list(bodies()), ids=lambda part: part.removeprefix(OWN) or "org")
def test_a_foreign_id_anywhere_in_a_body_refuses_the_request(
    method: str, route: str, acme: Tenant, things: Things, foreign: Named
) -> None:
    before = contents()
    for name, theirs in foreign.items():
        for body in nested(BODIES.get(f"{method} {route}", {}), name, theirs):
            if name == "slug" and route == f"{OWN}connections/":
                continue  # of a new connection: any organisation may have one of this name
            answer = asked(acme, method, things.path(route), body)
            assert answer.status_code in (400, 404), (body, answer.content)
            assert "Theirs" not in answer.content.decode(), body
    assert contents() == before


@pytest.mark.parametrize("route", [route for route in routes() if route.startswith(OWN)])
def test_a_foreign_id_in_a_query_string_changes_no_answer(
    route: str, acme: Tenant, globex: Tenant, things: Things, foreign: Named
) -> None:
    if matrix.read(METHODS)[route]["GET"][4] != 200:
        return  # it is not for reading
    path = things.path(route) + QUERIES.get(route, "")
    plain = asked(acme, "GET", path)
    extra = "&".join(f"{name}={theirs}" for name, theirs in foreign.items())
    more = f"{extra}&search=Theirs&ordering=-config&fields=secrets&include=organisation&expand=all"
    answer = asked(acme, "GET", f"{path}{'&' if '?' in path else '?'}{more}")
    if route.endswith("/events/"):
        assert answer.status_code == 200
        assert "Theirs" not in answer.content.decode()
        return
    assert answer.status_code in (plain.status_code, 400), answer.content
    if answer.status_code == plain.status_code and "tables" not in route and "columns" not in route:
        assert answer.json() == plain.json()
    assert "Theirs" not in answer.content.decode()


def test_deleting_with_ids_of_others_in_the_body_deletes_nothing_of_theirs(
    acme: Tenant, globex: Tenant, things: Things, foreign: Named
) -> None:
    before = contents(globex)
    table = matrix.read(METHODS)
    for route in routes():
        if route.startswith(OWN) and 405 not in table[route]["DELETE"]:
            asked(acme, "DELETE", things.path(route), {**foreign, "ids": list(foreign.values())})
    assert contents(globex) == before


@pytest.mark.parametrize("at", [0, 5, 9])
def test_one_foreign_connection_among_ten_refuses_a_whole_key(acme: Tenant, globex: Tenant, at: int) -> None:
    slugs = [acme.sqlite(f"Own {number}").slug for number in range(9)]
    theirs = globex.sqlite("Theirs")
    before = contents()
    for entry in ("theirs", str(theirs.pk)):
        wanted = [*slugs[:at], entry, *slugs[at:]]
        answer = acme.api("admin").post("api-keys/", {"name": "K", "role": "viewer", "connections": wanted})
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["pointer"] == f"/connections/{at}"
    assert contents() == before


def test_edits_of_anothers_connection_are_not_tested(acme: Tenant, globex: Tenant) -> None:
    """Its slug, its id, and a slug that is nobody's are answered alike, and its source hears of nothing."""
    theirs = globex.sqlite("Theirs")
    told = []
    for slug in ("theirs", str(theirs.pk), "nobody-s"):
        answer = acme.api("admin").post("connections/test/", {"connection": slug, "config": {"path": "x.sqlite3"}})
        told.append((answer.status_code, {k: v for k, v in answer.json().items() if k != "request_id"}))
    assert told[0][0] == 404
    assert told[0] == told[1] == told[2]
    assert not Event.objects.filter(action="connection.test").exists()


def test_a_cursor_of_anothers_list_shows_ones_own_rows_only(acme: Tenant, globex: Tenant) -> None:
    for tenant in (acme, globex):
        for number in range(3):
            tenant.sqlite(f"{tenant.slug} {number}")
    link = globex.api("viewer").get("connections/?page_size=1").json()["next"]
    cursor = link.partition("cursor=")[2].partition("&")[0]
    found = acme.api("viewer").get(f"connections/?cursor={cursor}").json()["results"]
    assert all(row["name"].startswith("acme") for row in found)


@pytest.mark.parametrize("name", ["organisation", "org", "organisation_id", "created_by", "managed_by", "source", "id"])
def test_a_connection_does_not_move_to_another_organisation(acme: Tenant, globex: Tenant, name: str) -> None:
    acme.sqlite("Shop")
    for method, path, more in (
        ("PATCH", "connections/shop/", {}),
        ("POST", "connections/", {"name": "N", "source": "sqlite", "config": {"path": "x.sqlite3"}}),
    ):
        if name == "source" and method == "POST":
            continue
        answer = acme.api("admin")(method, path, {**more, name: str(globex.organisation.pk)})
        assert answer.status_code == 400
    assert not Connection.objects.filter(organisation=globex.organisation).exists()
    assert Connection.objects.count() == 1


def test_a_search_reads_no_secret_and_no_relation(acme: Tenant, globex: Tenant) -> None:
    acme.sqlite("Shop")
    for text in ("globex", "Globex", "acme-editor", ".*", "^S", "path", "shop.sqlite3", "%", "sqlite%"):
        found = acme.api("viewer").get(f"connections/?q={text}").json()
        assert found["results"] == [], text


@pytest.mark.django_db(transaction=True)
def test_the_same_slug_request_id_and_query_never_bring_anothers_rows(acme: Tenant, globex: Tenant) -> None:
    """Interleaved, and again on warm adapters."""
    from django.db import connection

    for tenant, count in ((acme, 3), (globex, 5)):
        tenant.sqlite("Shop", rows=count)

    def read(turn: int) -> tuple[str, int]:
        tenant = (acme, globex)[turn % 2]
        answer = tenant.api("analyst").post(
            "connections/shop/preview/", {"query": {"table": ["orders"]}}, **{"X-Request-ID": "one-request-id"}
        )
        connection.close()
        assert answer.status_code == 200, answer.content
        return tenant.slug, len(answer.json()["rows"])

    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(read, range(24)))
    assert set(told) == {("acme", 3), ("globex", 5)}
