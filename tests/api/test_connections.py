"""Connections over REST: create, read, change, list, delete, and every way to get it wrong."""

from __future__ import annotations

import json

import pytest

from connections.models import Connection, Event
from tests.catalogue import API, CANARY, Tenant

PG = {"host": "db.example.com", "port": 5432, "database": "sales", "user": "reader"}


def create(tenant: Tenant, **more: object) -> dict[str, object]:
    body = {"name": "Warehouse", "source": "postgresql", "config": PG, "secrets": {"password": CANARY}, **more}
    answer = tenant.api().post("connections/", body)
    assert answer.status_code == 201, answer.content
    return answer.json()


def pointers(answer: object) -> dict[str, str]:
    return {error["pointer"]: error["code"] for error in answer.json()["errors"]}  # type: ignore[attr-defined]


def test_a_new_connection_answers_with_its_place_its_etag_and_no_secret(acme: Tenant) -> None:
    body = {"name": "Warehouse", "source": "postgresql", "config": PG, "secrets": {"password": CANARY}}
    answer = acme.api().post("connections/", body)
    assert answer.status_code == 201
    assert answer["Location"] == "/api/v1/orgs/acme/connections/warehouse/"
    assert answer["ETag"] == '"1"'
    assert CANARY not in answer.content.decode()
    found = answer.json()
    assert found["secrets"]["password"]["set"] is True
    assert found["secrets"]["tls"]["key"] == {"set": False, "updated_at": None}
    assert (found["state"], found["status"], found["paused"]) == ("unchecked", None, None)
    assert acme.api("viewer").get("connections/warehouse/").json() == found


def test_a_name_that_is_taken_gets_the_next_slug(acme: Tenant) -> None:
    assert [create(acme)["slug"] for _ in range(3)] == ["warehouse", "warehouse-2", "warehouse-3"]


def test_a_slug_that_is_taken_is_a_conflict(acme: Tenant) -> None:
    create(acme, slug="mine")
    body = {"name": "Other", "source": "postgresql", "config": PG, "slug": "mine"}
    answer = acme.api().post("connections/", body)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"source": "postgresql", "config": PG}, {"/name": "required"}),
        ({"name": "X", "source": "nothing", "config": {}}, {"/source": "unknown"}),
        ({"name": "X", "config": PG}, {"/source": "unknown"}),
        ({"name": "X", "source": "postgresql", "config": PG, "owner": 1}, {"/owner": "unknown"}),
        ({"name": "X", "source": "postgresql", "config": {**PG, "port": "no"}}, {"/config/port": "invalid"}),
        ({"name": "X", "source": "postgresql", "config": {**PG, "port": 0}}, {"/config/port": "invalid"}),
        ({"name": "X", "source": "postgresql", "config": {"host": "h"}}, None),
        ({"name": "X", "source": "postgresql", "config": []}, {"/config": "invalid"}),
        ({"name": "X", "source": "postgresql", "config": {**PG, "password": "p"}}, {"/config/password": "secret"}),
        (
            {"name": "X", "source": "postgresql", "config": PG, "secrets": {"host": "h"}},
            {"/secrets/host": "not_secret"},
        ),
        (
            {"name": "X", "source": "postgresql", "config": PG, "secrets": {"password": "***"}},
            {"/secrets/password": "mask"},
        ),
        (
            {"name": "X", "source": "postgresql", "config": PG, "secrets": {"password": ""}},
            {"/secrets/password": "blank"},
        ),
        ({"name": "X", "source": "postgresql", "config": PG, "secrets": {"password": {"a": 1}}}, None),
        (
            {"name": "X", "source": "postgresql", "config": PG, "secrets": {"password": ["a"]}},
            {"/secrets/password": "invalid"},
        ),
        ({"name": "X", "source": "postgresql", "config": PG, "tags": "finance"}, {"/tags": "invalid"}),
        ({"name": "X", "source": "postgresql", "config": PG, "tags": [1]}, {"/tags/0": "invalid"}),
        ({"name": 5, "source": "postgresql", "config": PG}, {"/name": "invalid"}),
        ({"name": "X", "source": "postgresql", "config": PG, "slug": "No Slug"}, {"/slug": "invalid"}),
    ],
)
def test_a_wrong_body_is_named_with_its_place_and_saves_nothing(acme: Tenant, body: object, expected: object) -> None:
    answer = acme.api().post("connections/", body)
    assert answer.status_code == 400, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "invalid"
    if expected is not None:
        assert expected.items() <= pointers(answer).items()  # type: ignore[attr-defined]
    assert not Connection.objects.exists()


@pytest.mark.parametrize(
    "raw", [b"{", b"[1]", b'"x"', b'{"name": "a", "name": "b"}', b'{"name": NaN}', b"\xff\xfe", b"", b"[" * 100_000]
)
def test_what_is_not_a_json_object_is_a_400(acme: Tenant, raw: bytes) -> None:
    api = acme.api()
    answer = api._client.post(
        "/api/v1/orgs/acme/connections/", data=raw, content_type="application/json", headers=api._headers
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


def test_a_body_over_a_megabyte_is_a_413(acme: Tenant) -> None:
    answer = acme.api().post("connections/", {"name": "x" * 1_100_000})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_another_media_type_is_a_415(acme: Tenant) -> None:
    api = acme.api()
    answer = api._client.post(
        "/api/v1/orgs/acme/connections/", data="name=x", content_type="text/plain", headers=api._headers
    )
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


def test_an_answer_in_a_format_that_is_not_ours_is_a_406(acme: Tenant) -> None:
    answer = acme.api().get("connections/", Accept="text/html")
    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")


def test_a_change_merges_config_and_moves_the_version(acme: Tenant) -> None:
    create(acme)
    answer = acme.api().patch("connections/warehouse/", {"config": {"database": "other"}})
    assert answer.status_code == 200
    assert answer.json()["config"] == {**create(acme)["config"], "database": "other"}  # type: ignore[dict-item]
    assert (answer.json()["version"], answer["ETag"]) == (2, '"2"')


def test_source_slug_and_id_never_change(acme: Tenant) -> None:
    create(acme)
    for name in ("source", "slug", "id", "organisation", "created_by", "state"):
        answer = acme.api().patch("connections/warehouse/", {name: "x"})
        assert (answer.status_code, pointers(answer)) == (400, {f"/{name}": "unknown"})


def test_a_stale_version_is_refused_by_header_and_by_body(acme: Tenant) -> None:
    create(acme)
    acme.api().patch("connections/warehouse/", {"name": "New"})
    stale = acme.api().patch("connections/warehouse/", {"name": "X"}, **{"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    stale = acme.api().patch("connections/warehouse/", {"name": "X", "version": 1})
    assert (stale.status_code, stale.json()["code"]) == (409, "version_conflict")
    assert acme.api().delete("connections/warehouse/", **{"If-Match": '"1"'}).status_code == 412
    assert acme.api().delete("connections/warehouse/", **{"If-Match": '"2"'}).status_code == 204


def test_an_endpoint_change_asks_for_the_kept_secret_again(acme: Tenant) -> None:
    create(acme)
    answer = acme.api().patch("connections/warehouse/", {"config": {"host": "other.example.com"}})
    assert (answer.status_code, answer.json()["code"]) == (400, "reentry_required")
    assert pointers(answer) == {"/secrets/password": "reentry_required"}


def test_what_belongs_to_another_organisation_is_not_there(acme: Tenant, globex: Tenant) -> None:
    create(globex)
    theirs = API("globex", acme.keys["admin"])
    for answer in (
        theirs.get("connections/warehouse/"),
        theirs.patch("connections/warehouse/", {"nonsense": 1}),
        theirs.post("connections/", {}),
        acme.api().get("connections/warehouse/"),
        acme.api().get("/nonsense/"),
    ):
        body = answer.json()
        assert (answer.status_code, body["code"], body["detail"]) == (404, "not_found", "Not found.")


def test_nobody_gets_a_401_that_says_how_to_log_in(acme: Tenant) -> None:
    for key in (None, "ck_aaaaaaaaaaaa_" + "a" * 43, "nonsense"):
        answer = API("acme", key).get("connections/")
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert answer["WWW-Authenticate"].startswith("Bearer")


def test_a_viewer_may_read_and_not_write(acme: Tenant) -> None:
    create(acme)
    viewer = acme.api("viewer")
    assert viewer.get("connections/").status_code == 200
    answer = viewer.post("connections/", {"garbage": True})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert viewer.delete("connections/warehouse/").status_code == 403


def test_lists_filter_and_page(acme: Tenant) -> None:
    for number in range(5):
        create(acme, name=f"C{number}", tags=["even"] if number % 2 == 0 else [], environment="production")
    acme.sqlite("Shop")

    def slugs(query: str) -> list[str]:
        return [row["slug"] for row in acme.api().get(f"connections/?{query}").json()["results"]]

    assert slugs("") == ["shop", "c4", "c3", "c2", "c1", "c0"]
    assert slugs("tag=even") == ["c4", "c2", "c0"]
    assert slugs("source=sqlite") == ["shop"]
    assert slugs("environment=production&q=C3") == ["c3"]
    assert slugs("status=unknown&state=unchecked&source=sqlite") == ["shop"]
    assert slugs("status=ok") == []
    first = acme.api().get("connections/?page_size=4").json()
    assert len(first["results"]) == 4
    second = acme.api().get(first["next"].removeprefix("http://testserver/api/v1")).json()
    assert [row["slug"] for row in second["results"]] == ["c1", "c0"]
    assert second["next"] is None


@pytest.mark.parametrize(
    "query", ["page_size=0", "page_size=x", "page_size=201", "cursor=!!", "status=maybe", "state=x"]
)
def test_a_wrong_query_parameter_is_a_400_that_names_it(acme: Tenant, query: str) -> None:
    answer = acme.api().get(f"connections/?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert pointers(answer).keys() == {"/" + query.split("=")[0]}


def test_pausing_and_resuming_are_idempotent(acme: Tenant) -> None:
    create(acme)
    for _ in range(2):
        answer = acme.api().post("connections/warehouse/pause/", {"reason": "Maintenance"})
        assert answer.status_code == 200
        assert answer.json()["paused"]["reason"] == "Maintenance"
        assert (answer.json()["state"], answer.json()["version"]) == ("paused", 2)
    preview = acme.api().post("connections/warehouse/preview/", {"query": {"sql": "select 1"}})
    assert (preview.status_code, preview.json()["code"]) == (409, "paused")
    for _ in range(2):
        answer = acme.api().post("connections/warehouse/resume/")
        assert (answer.json()["paused"], answer.json()["version"]) == (None, 3)


def test_a_clone_has_no_secrets(acme: Tenant) -> None:
    create(acme, tags=["a"])
    answer = acme.api().post("connections/warehouse/clone/", {"name": "Copy"})
    assert (answer.status_code, answer["Location"]) == (201, "/api/v1/orgs/acme/connections/copy/")
    assert answer.json()["secrets"]["password"] == {"set": False, "updated_at": None}
    assert (answer.json()["config"]["host"], answer.json()["tags"]) == ("db.example.com", ["a"])


def test_a_url_becomes_settings_and_is_not_echoed(acme: Tenant) -> None:
    url = "postgresql://reader:s3cr%40t@db.example.com:5433/sales?sslmode=require"
    answer = acme.api().post("/sources/postgresql/parse-url/", {"url": url})
    assert answer.status_code == 200
    assert answer.json()["secrets"] == ["password"]
    assert answer.json()["config"] == {
        "host": "db.example.com", "port": 5433, "user": "reader", "database": "sales", "tls": {"mode": "require"}
    }  # fmt: skip
    assert "s3cr" not in answer.content.decode()
    made = acme.api().post("connections/", {"name": "From URL", "source": "postgresql", "url": url})
    assert (made.status_code, made.json()["secrets"]["password"]["set"]) == (201, True)
    wrong = acme.api().post("/sources/postgresql/parse-url/", {"url": "postgresql://u:s3cr@h/db?service=x"})
    assert (wrong.status_code, "s3cr" in wrong.content.decode()) == (400, False)


def test_every_change_is_recorded_without_secrets(acme: Tenant) -> None:
    create(acme)
    acme.api().patch("connections/warehouse/", {"name": "New", "secrets": {"password": "other-secret"}})
    acme.api().delete("connections/warehouse/")
    events = Event.objects.filter(object_kind="connection").order_by("at", "id")
    assert [event.action for event in events] == ["connection.create", "connection.update", "connection.delete"]
    assert events[1].changes == {"name": ["Warehouse", "New"], "secrets": ["password"]}
    kept = json.dumps([[event.changes, event.detail, event.object_label] for event in events])
    assert CANARY not in kept
    assert "other-secret" not in kept


def test_answers_carry_the_request_id_and_are_never_stored(acme: Tenant) -> None:
    answer = acme.api().get("connections/", **{"X-Request-ID": "my-request-1"})
    assert answer["X-Request-ID"] == "my-request-1"
    assert answer["Cache-Control"] == "no-store"
    assert float(answer["X-Process-Time"]) >= 0
    assert acme.api().get("connections/", **{"X-Request-ID": "bad id"})["X-Request-ID"] != "bad id"
