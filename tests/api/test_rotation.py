"""Staged rotation over REST."""

from __future__ import annotations

from typing import Any

import pytest

from connections.models import ConnectionSecrets, Event, Slot
from tests.catalogue import API, CANARY, Tenant
from tests.routes import with_secrets_in_every_slot

NOWHERE = {"host": "127.0.0.1", "port": 1, "database": "sales", "user": "reader", "tls": {"mode": "disable"}}
ROW = "connections/rotating/"
SECRETS = ROW + "secrets/"


@pytest.fixture
def api(acme: Tenant) -> API:
    with_secrets_in_every_slot(acme)
    return acme.api("editor")


def shown(api: API) -> Any:
    return api.get(ROW).json()["rotation"]


def test_staging_answers_with_what_is_pending_and_how_its_test_went(api: API) -> None:
    answer = api.post(SECRETS + "stage/", {"secrets": {"password": "fourth"}})
    body = answer.json()
    assert (answer.status_code, answer["ETag"]) == (200, '"2"')
    assert (body["check"]["ok"], body["check"]["code"]) == (False, "unreachable")
    pending = body["rotation"]["pending"]
    assert (pending["secrets"], pending["ok"], pending["code"]) == (["password"], False, "unreachable")
    assert pending["staged_at"] <= pending["tested_at"]
    assert body["secrets"]["password"]["set"] is True
    assert shown(api)["pending"] == pending
    assert api.get("connections/").json()["results"][0]["rotation"]["pending"] == pending


def test_promoting_and_taking_back(api: API) -> None:
    before = api.get(ROW).json()
    promoted = api.post(SECRETS + "promote/")
    assert (promoted.status_code, promoted.json()["rotation"]["pending"]) == (200, None)
    assert promoted.json()["rotation"]["previous"]["until"] > before["rotation"]["previous"]["until"]
    assert promoted.json()["secrets"]["password"]["updated_at"] > before["secrets"]["password"]["updated_at"]
    back = api.post(SECRETS + "rollback/")
    assert (back.status_code, back.json()["secrets"]) == (200, before["secrets"])
    assert back.json()["version"] == before["version"] + 2


def test_what_failed_its_test_is_not_promoted_and_the_check_tells_why(api: API) -> None:
    api.post(SECRETS + "stage/", {"secrets": {"password": "fourth"}})
    refused = api.post(SECRETS + "promote/")
    assert (refused.status_code, refused.json()["code"]) == (422, "check_failed")
    assert refused.json()["check"]["steps"][-1]["name"]
    assert shown(api)["pending"]["ok"] is False


def test_discarding_is_done_once_and_for_all(api: API) -> None:
    assert [api.delete(SECRETS + "stage/").status_code for _ in range(2)] == [204, 204]
    assert shown(api)["pending"] is None
    refused = api.post(SECRETS + "promote/")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")


def test_stale_versions_are_refused_by_header_and_by_body(api: API) -> None:
    stale = {"If-Match": '"7"'}
    for path in ("promote/", "rollback/"):
        assert api.post(SECRETS + path, {}, **stale).status_code == 412
        assert api.post(SECRETS + path, {"version": 7}).json()["code"] == "version_conflict"
    assert api.delete(SECRETS + "stage/", **stale).status_code == 412
    sent = {"secrets": {"password": "x"}}
    assert api.post(SECRETS + "stage/", sent, **stale).status_code == 412
    assert api.post(SECRETS + "stage/", {**sent, "version": 7}).status_code == 409
    assert api.post(SECRETS + "promote/", {}, **{"If-Match": '"1"'}).status_code == 200


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/secrets"),
        ({"secrets": {}}, "/secrets"),
        ({"secrets": CANARY}, "/secrets"),
        ({"secrets": {"password": "***"}}, "/secrets/password"),
        ({"secrets": {"password": [CANARY]}}, "/secrets/password"),
        ({"secrets": {"nonsense": CANARY}}, "/secrets/nonsense"),
        ({"secrets": {"password": CANARY}, "config": {"host": "evil.example.com"}}, "/config"),
    ],
)
def test_a_wrong_body_is_told_where_and_echoes_nothing(api: API, body: Any, pointer: str) -> None:
    answer = api.post(SECRETS + "stage/", body)
    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert "C4n4ry" not in answer.content.decode()


def test_no_answer_and_no_event_holds_a_staged_secret(acme: Tenant) -> None:
    api = acme.api("admin")
    api.post("connections/", {"name": "W", "source": "postgresql", "config": NOWHERE, "secrets": {"password": CANARY}})
    path = "connections/w/secrets/"
    answers = [api.post(path + "stage/", {"secrets": {"password": CANARY + "2"}}), api.post(path + "promote/")]
    ConnectionSecrets.objects.filter(slot=Slot.PENDING).update(tested_ok=True)
    answers += [
        api.post(path + "promote/"),
        api.post(path + "rollback/"),
        api.get("connections/w/"),
        api.get("events/"),
    ]
    assert [answer.status_code for answer in answers] == [200, 422, 200, 200, 200, 200]
    for answer in answers:
        assert "C4n4ry" not in answer.content.decode() + str(answer.headers)
    assert "C4n4ry" not in repr(list(Event.objects.values())) + repr(list(ConnectionSecrets.objects.values()))


def test_a_probe_is_set_shown_and_removed(api: API) -> None:
    assert api.get(ROW).json()["probe"] is None
    set_ = api.patch(ROW, {"probe": {"sql": "select 1"}})
    assert (set_.json()["probe"], set_.json()["version"]) == ({"sql": "select 1"}, 2)
    assert set_.json()["rotation"]["pending"]["ok"] is None
    assert api.patch(ROW, {"probe": None}).json()["probe"] is None
    for wrong, pointer in (({"sql": ""}, "/probe/sql"), ({"nonsense": 1}, "/probe/nonsense"), ("select 1", "/probe")):
        answer = api.patch(ROW, {"probe": wrong})
        assert answer.status_code == 400
        assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    made = api.post(
        "connections/", {"name": "P", "source": "postgresql", "config": NOWHERE, "probe": {"sql": "select 2"}}
    )
    assert made.json()["probe"] == {"sql": "select 2"}


def test_a_list_costs_no_more_queries_for_connections_that_rotate(
    acme: Tenant, django_assert_max_num_queries: Any
) -> None:
    api = acme.api("viewer")
    acme.sqlite()
    with django_assert_max_num_queries(50) as plain:
        api.get("connections/")
    with_secrets_in_every_slot(acme)
    with django_assert_max_num_queries(len(plain)):
        assert len(api.get("connections/").json()["results"]) == 2
