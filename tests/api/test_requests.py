"""How requests are read and answers are shaped: bodies, media types, the order of refusals, lists."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from connections.models import Connection, StatusCheck
from connections.sealing.secrets import SealedSecrets
from connections.services import connections
from connections.services.connections import Change
from tests.catalogue import API, Tenant

PG = {"host": "db.example.com", "database": "sales", "user": "reader"}
CREATE = {"name": "X", "source": "postgresql", "config": PG}
DEEP = {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": 1}}}}}}}}
QUERY = {"query": {"sql": "select 1 as one"}}


def raw(api: API, method: str, path: str, body: bytes, content_type: str = "application/json", **headers: str) -> Any:
    url = f"/api/v1/orgs/{api.org}/{path}"
    return api._client.generic(method, url, body, content_type, headers={**api._headers, **headers})


def test_refusals_come_in_their_order(acme: Tenant, globex: Tenant) -> None:
    """401, then 404 for what is not the caller's, then 403, then the format asked for, then the body."""
    acme.sqlite()
    wrong = {"Accept": "image/png"}
    path, body = "connections/shop/", b"{"
    assert raw(API("acme", None), "PATCH", path, body, "text/plain", **wrong).status_code == 401
    assert raw(API("acme", globex.keys["admin"]), "PATCH", path, body, "text/plain", **wrong).status_code == 404
    assert raw(acme.api("editor"), "PATCH", "connections/no/", body, "text/plain", **wrong).status_code == 404
    assert raw(acme.api("viewer"), "PATCH", path, body, "text/plain", **wrong).status_code == 403
    assert raw(acme.api("editor"), "PATCH", path, body, "text/plain", **wrong).status_code == 406
    assert raw(acme.api("editor"), "PATCH", path, body, "text/plain").status_code == 415
    assert raw(acme.api("editor"), "PATCH", path, body).status_code == 400
    assert API("acme", None).get("/sources/", Accept="image/png").status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "a", "name": "b"}',
        b'{"name": "a", "config": {"host": 1, "host": 2}}',
        b"[" * 200_000,
        b'{"name": ' * 50_000,
        b'{"name": "\\ud800"}',
        b'{"\\udc00": 1}',
        b'{"version": 1e999}',
        b'{"version": -Infinity}',
        b'{"version": ' + b"9" * 5000 + b"}",
        b"\xff",
        b"{}x",
        b"null",
    ],
    ids=lambda body: body[:20].decode(errors="replace"),
)
def test_a_body_that_readers_disagree_on_is_a_400(acme: Tenant, body: bytes) -> None:
    acme.sqlite()
    for method, path in (("PATCH", "connections/shop/"), ("POST", "connections/shop/preview/"), ("POST", "members/")):
        answer = raw(acme.api("admin"), method, path, body)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid"), answer.content


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("connections/", {**CREATE, "name": "a\0b"}),
        ("connections/", {**CREATE, "config": {**PG, "host": "a\0b"}}),
        ("connections/", {**CREATE, "secrets": {"password": "a\0b"}}),
        ("connections/", {**CREATE, "config": {**PG, "port": 10**40}}),
        (
            "connections/",
            {**CREATE, "config": {**PG, "tls": {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": 1}}}}}}}}}},
        ),
        ("connections/shop/pause/", {"reason": "a\0b"}),
        ("api-keys/", {"name": "a\0b", "role": "viewer"}),
        ("connections/shop/preview/", {**QUERY, "offset": 10**40}),
        ("connections/shop/preview/", {**QUERY, "parameters": {"x": [[1]]}}),
    ],
)
def test_odd_values_are_a_400(acme: Tenant, path: str, body: dict[str, Any]) -> None:
    acme.sqlite()
    answer = acme.api("admin").post(path, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid"), answer.content


def test_a_large_body_is_taken_off_the_wire_before_it_is_refused(acme: Tenant) -> None:
    taken = 0

    class Wire(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            nonlocal taken
            part = super().read(size)
            taken += len(part)
            return part

    for size, least in ((3_000_000, 3_000_000), (9_000_000, 8_000_000)):
        taken = 0
        sent: Any = {"wsgi.input": Wire(b"x" * size), "CONTENT_LENGTH": str(size), "CONTENT_TYPE": "application/json"}
        answer = Client().generic(
            "POST",
            "/api/v1/orgs/acme/connections/",
            headers=acme.api("editor")._headers,
            **sent,
        )
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert least <= taken <= 8_100_000


def test_bodies_that_may_be_left_out_may_be_left_out(acme: Tenant) -> None:
    acme.sqlite()
    api = acme.api("editor")
    for method, path, status in (
        ("POST", "connections/shop/status/", 200),
        ("POST", "connections/shop/resume/", 200),
        ("POST", "connections/shop/clone/", 201),
        ("DELETE", "connections/shop/", 204),
    ):
        if method == "POST":
            unknown = api(method, path, {"nonsense": 1})
            assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (400, "/nonsense")
        answer = api._client.generic(
            method, f"/api/v1/orgs/acme/{path}", b"", "application/json", headers=api._headers, CONTENT_LENGTH="0"
        )
        assert answer.status_code == status, (path, answer.content)


def test_a_merge_patch_is_taken_where_it_is_meant(acme: Tenant) -> None:
    acme.sqlite()
    api, body = acme.api("editor"), json.dumps({"description": "x"}).encode()
    assert raw(api, "PATCH", "connections/shop/", body, "application/merge-patch+json").status_code == 200
    assert raw(api, "POST", "connections/", body, "application/merge-patch+json").status_code == 415


def test_if_match_takes_a_list_and_a_star(acme: Tenant) -> None:
    acme.sqlite()
    api = acme.api("editor")
    for header, status in (('"7", "1"', 200), ("*", 200), ('"1"', 412), ("nonsense", 412)):
        answer = api.patch("connections/shop/", {"description": header}, **{"If-Match": header})
        assert answer.status_code == status, header


def test_a_method_that_a_path_lacks_is_a_405_that_names_the_others(acme: Tenant) -> None:
    acme.sqlite()
    for method, path, allow in (
        ("PUT", "connections/shop/", "GET, HEAD, PATCH, DELETE"),
        ("OPTIONS", "connections/", "GET, HEAD, POST"),
        ("GET", "connections/shop/preview/", "POST"),
    ):
        answer = acme.api("admin")(method, path)
        assert (answer.status_code, answer.json()["code"], answer["Allow"]) == (405, "method_not_allowed", allow)


def test_what_django_refuses_by_itself_has_the_same_shape(acme: Tenant) -> None:
    answer = Client(headers={"Host": "evil.example"}).get("/api/v1/sources/")
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert answer.json()["request_id"] == answer["X-Request-ID"]


@pytest.mark.parametrize("path", ["connections/", "members/", "api-keys/", "events/", "connections/shop/tables/"])
@pytest.mark.parametrize("cursor", ["cD1ub25zZW5zZQ==", "cD0lMDA=", "bz0xMDAwMDAwMDAwMA==", "%00", "W1tbMV1dXQ==", "é"])
def test_a_cursor_of_somebodys_making_is_a_400(acme: Tenant, path: str, cursor: str) -> None:
    acme.sqlite()
    answer = acme.api("admin").get(f"{path}?cursor={cursor}")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/cursor")


def test_the_history_of_checks_comes_in_pages_newest_first(acme: Tenant) -> None:
    acme.sqlite()
    api = acme.api("analyst")
    made = [api.post("connections/shop/status/").json() for _ in range(5)]
    seen, link = [], "connections/shop/status/history/?page_size=2"
    while link:
        answer = api.get(link.removeprefix("http://testserver/api/v1")).json()
        seen += answer["results"]
        assert len(answer["results"]) <= 2
        link = answer["next"]
    assert seen == made[::-1]
    assert api.get("connections/shop/status/").json() == made[-1]
    assert StatusCheck.objects.count() == 5


def test_a_paused_connection_is_not_used_at_all(acme: Tenant) -> None:
    acme.sqlite()
    api = acme.api("editor")
    api.post("connections/shop/pause/", {"reason": "Maintenance"})
    for answer in (
        api.post("connections/shop/preview/", QUERY),
        api.post("connections/shop/status/"),
        api.post("connections/shop/describe/", QUERY),
        api.get("connections/shop/tables/"),
        api.get("connections/shop/columns/?path=orders"),
        api.post("connections/test/", {"connection": "shop"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "paused")
        assert "Maintenance" in answer.json()["detail"]


def test_a_change_that_asks_for_a_check_is_saved_only_if_it_passes(acme: Tenant) -> None:
    acme.sqlite()
    (row := Connection.objects.get()).config["path"] = "gone.sqlite3"
    row.save()
    api = acme.api("editor")
    for body in ({"config": {"path": "none.sqlite3"}}, {"description": "x"}):
        answer = api.patch("connections/shop/?check=true", body)
        assert (answer.status_code, answer.json()["code"], answer.json()["check"]["ok"]) == (422, "check_failed", False)
    assert (Connection.objects.get().version, Connection.objects.get().description) == (1, "")
    assert api.patch("connections/shop/?check=true", {"config": {"path": "shop.sqlite3"}}).status_code == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("text/csv;q=0.1, application/json", "application/json"),
        ("image/png, application/x-ndjson;q=0.5", "application/x-ndjson"),
        ("text/csv;q=0, */*", "application/json"),
    ],
)
def test_the_format_that_is_liked_best_is_given(acme: Tenant, accept: str, content_type: str) -> None:
    acme.sqlite()
    answer = acme.api("analyst").post("connections/shop/preview/", QUERY, Accept=accept)
    answer.getvalue()
    assert answer["Content-Type"].startswith(content_type)


@pytest.mark.django_db(transaction=True)
def test_a_failure_of_the_first_row_is_an_error_and_no_body(acme: Tenant) -> None:
    acme.sqlite()
    body = {"query": {"sql": "select abs(-9223372036854775807 - id) from orders"}}
    for form in ("csv", "ndjson", "arrow", "parquet"):
        answer = acme.api("analyst").post(f"connections/shop/preview/?format={form}", body)
        assert (answer.status_code, answer.json()["code"]) == (422, "query")


def many(tenant: Tenant, count: int) -> None:
    for number in range(count):
        change = Change(name=f"C{number}", config=PG, secrets={"password": "hunter2 hunter2"})
        connections.create(tenant.actor("editor"), "postgresql", change)


def test_a_list_costs_the_same_queries_however_long_and_opens_no_secret(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*args: Any) -> None:
        raise AssertionError("A secret was opened.")

    counts = []
    for add in (2, 198):
        many(acme, add)
        monkeypatch.setattr(SealedSecrets, "open", opened)
        with CaptureQueriesContext(
            database,
        ) as queries:
            answer = acme.api("viewer").get("connections/?page_size=200")
        monkeypatch.undo()
        counts.append(sum("set_config" not in query["sql"] for query in queries))  # row security's own, where it is on
        assert all(row["secrets"]["password"]["set"] for row in answer.json()["results"])
    assert len(answer.json()["results"]) == 200
    assert counts[1] <= counts[0] <= 8


def test_five_thousand_connections_list_and_filter_quickly(acme: Tenant) -> None:
    organisation = acme.organisation
    Connection.objects.bulk_create(
        Connection(organisation=organisation, slug=f"c{n}", name=f"C{n}", source="postgresql", config=PG, tags=["even"])
        for n in range(5000)
    )
    api = acme.api("viewer")
    assert reverse("api:connections", args=["acme"]) == "/api/v1/orgs/acme/connections/"
    for query, most in (("", 5), ("?q=c49", 5), ("?tag=even", 5), ("?state=unchecked", 20)):
        started = time.monotonic()
        assert len(api.get(f"connections/{query}").json()["results"]) == 50
        assert time.monotonic() - started < most
