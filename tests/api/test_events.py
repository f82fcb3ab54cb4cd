"""The record: each action is one event, a refusal too, and without its event no action happens."""

from __future__ import annotations

from typing import Any

import pytest

from connections.models import APIKey, Event, Membership
from connections.services import connections, events
from connections.services.connections import Change
from connections.services.waiting import Deadline
from tests.catalogue import CANARY, Tenant, forget_events

FILE = {"path": "shop.sqlite3"}
QUERY = {"query": {"sql": "select 1 as one"}}


def recorded(tenant: Tenant | None, **wanted: Any) -> list[tuple[str, str, str]]:
    """The events of an organisation (None: of the platform) as action, result and code, oldest first."""
    organisation = tenant.organisation if tenant else None
    found = Event.objects.filter(organisation=organisation, **wanted).order_by("at", "id")
    return [(event.action, event.result, event.code) for event in found]


def test_each_action_is_on_record_with_who_what_and_which_version(acme: Tenant) -> None:
    forget_events()
    acme.sqlite()
    api = acme.api("admin")
    steps: list[tuple[Any, list[tuple[str, str, str]]]] = [
        (lambda: api.patch("connections/shop/", {"description": "x"}), [("connection.update", "ok", "")]),
        (
            lambda: api.post("connections/shop/status/"),
            [("connection.check", "started", ""), ("connection.check", "ok", "")],
        ),
        (
            lambda: api.post("connections/test/", {"source": "sqlite", "config": {"path": "no.sqlite3"}}),
            [("connection.test", "started", ""), ("connection.test", "failed", "invalid")],
        ),
        (
            lambda: api.post("connections/shop/preview/", QUERY),
            [("connection.preview", "started", ""), ("connection.preview", "ok", "")],
        ),
        (
            lambda: api.post("connections/shop/preview/?format=csv", QUERY).getvalue(),
            [("connection.export", "started", ""), ("connection.export", "ok", "")],
        ),
        (
            lambda: api.post("connections/shop/preview/", {"query": {"sql": "select * from none"}}),
            [("connection.preview", "started", ""), ("connection.preview", "failed", "query")],
        ),
        (
            lambda: api.post("connections/shop/describe/", QUERY),
            [("connection.describe", "started", ""), ("connection.describe", "ok", "")],
        ),
        (
            lambda: api.get("connections/shop/tables/"),
            [("connection.tables", "started", ""), ("connection.tables", "ok", "")],
        ),
        (
            lambda: api.get("connections/shop/columns/?path=orders"),
            [("connection.columns", "started", ""), ("connection.columns", "ok", "")],
        ),
        (lambda: api.delete("previews/some-request/"), [("job.cancel", "ok", "")]),
        (lambda: api.post("connections/shop/pause/", {"reason": "r"}), [("connection.pause", "ok", "")]),
        (lambda: api.post("connections/shop/resume/"), [("connection.resume", "ok", "")]),
        (lambda: api.post("connections/shop/clone/"), [("connection.clone", "ok", "")]),
        (lambda: api.post("api-keys/", {"name": "K", "role": "viewer"}), [("api_key.create", "ok", "")]),
        (
            lambda: api.delete(f"api-keys/{APIKey.objects.get(name='K').pk}/"),
            [("api_key.revoke", "ok", "")],
        ),
        (
            lambda: api.post("members/", {"email": "a@b.example", "role": "viewer"}),
            [("member.add", "failed", "unchanged")],
        ),
        (
            lambda: api.delete(f"members/{Membership.objects.get(user=acme.people['viewer']).pk}/"),
            [("member.remove", "ok", "")],
        ),
        (lambda: api.delete("connections/shop/"), [("connection.delete", "ok", "")]),
    ]
    for act, expected in steps:
        forget_events()
        act()
        found = recorded(acme)
        if expected[-1][2] == "invalid":  # what a missing file is called is the source's to say
            found = [(*each[:2], "invalid" if each[1] == "failed" else "") for each in found]
        assert found == expected
        event = Event.objects.latest("at")
        assert (event.actor_kind, event.actor_label.split(" (")[0]) == ("api_key", "admin key")
        assert event.request_id


def test_reading_leaves_no_event(acme: Tenant) -> None:
    acme.sqlite()
    forget_events()
    api = acme.api("admin")
    for path in ("", "connections/", "connections/shop/", "connections/shop/status/history/", "members/", "api-keys/"):
        assert api.get(path).status_code == 200
    assert recorded(acme) == []


def test_a_forbidden_attempt_is_on_the_organisations_record(acme: Tenant) -> None:
    acme.sqlite()
    forget_events()
    assert acme.api("viewer").patch("connections/shop/", {"name": "X"}).status_code == 403
    assert recorded(acme) == [("access.denied", "denied", "forbidden")]
    event = Event.objects.get()
    assert (event.object_label, event.detail) == ("Shop", {"asked": "PATCH connection"})
    assert event.actor_label.startswith("viewer key")


def test_an_attempt_to_send_a_kept_secret_elsewhere_is_on_record(acme: Tenant) -> None:
    config = {"host": "db.example.com", "database": "d", "user": "u"}
    change = Change(name="Warehouse", config=config, secrets={"password": CANARY})
    row = connections.create(acme.actor(), "postgresql", change)
    forget_events()
    elsewhere = {"config": {"host": "elsewhere.example.com"}}
    for answer in (
        acme.api().patch("connections/warehouse/", elsewhere),
        acme.api().post("connections/test/", {"connection": "warehouse", **elsewhere}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (400, "reentry_required")
    assert recorded(acme) == [("access.denied", "denied", "reentry_required")] * 2
    found = Event.objects.order_by("at")
    assert [event.detail["asked"] for event in found] == ["connection.update", "connection.test"]
    assert {(event.object_id, event.actor_label.split(" (")[0]) for event in found} == {(str(row.pk), "editor key")}


@pytest.mark.parametrize("kind", ["key", "session"])
def test_an_attempt_at_anothers_is_on_ones_own_record_without_names_and_on_the_platforms_with_them(
    acme: Tenant, globex: Tenant, kind: str
) -> None:
    globex.sqlite("Secret plans")
    forget_events()
    path = "/orgs/globex/connections/secret-plans/"
    if kind == "key":
        assert acme.api("editor").get(path).status_code == 404
    else:
        assert acme.browser("editor").get(f"/api/v1{path}").status_code == 404
    assert recorded(acme) == recorded(None) == [("access.denied", "denied", "not_found")]
    assert recorded(globex) == []
    own = Event.objects.get(organisation=acme.organisation)
    assert "globex" not in repr((own.detail, own.object_label, own.changes))
    assert "secret" not in repr((own.detail, own.object_label, own.changes)).lower()
    assert Event.objects.get(organisation=None).detail["organisation"] == "globex"


def test_an_id_of_anothers_in_ones_own_path_is_on_record(acme: Tenant, globex: Tenant) -> None:
    theirs = Membership.objects.get(user=globex.people["viewer"]).pk
    forget_events()
    assert acme.api("admin").delete(f"members/{theirs}/").status_code == 404
    assert recorded(acme) == [("access.denied", "denied", "not_found")]


def test_a_mistyped_name_in_ones_own_organisation_is_no_attempt_at_anothers(acme: Tenant) -> None:
    forget_events()
    assert acme.api("editor").get("connections/nothing/").status_code == 404
    assert recorded(acme) == []


def test_administrators_read_their_own_record_newest_first(acme: Tenant, globex: Tenant) -> None:
    acme.sqlite()
    globex.sqlite()
    page = acme.api("admin").get("events/?page_size=3").json()
    assert [event["at"] for event in page["results"]] == sorted(
        (event["at"] for event in page["results"]), reverse=True
    )
    assert page["results"][0].keys() >= {"id", "at", "actor", "action", "object", "result", "changes", "request_id"}
    assert page["results"][0]["action"] == "connection.create"
    assert page["results"][0]["object"]["label"] == "Shop"
    everything, link = [], "events/?page_size=3"
    while link:
        answer = acme.api("admin").get(link.removeprefix("http://testserver/api/v1")).json()
        everything += [event["id"] for event in answer["results"]]
        link = answer["next"]
    assert len(everything) == len(set(everything)) == Event.objects.filter(organisation=acme.organisation).count()


def test_work_that_fails_by_a_bug_is_on_record_as_failed(acme: Tenant) -> None:
    forget_events()
    with pytest.raises(ZeroDivisionError), events.work(acme.actor(), "connection.check", until=Deadline(5)):
        raise ZeroDivisionError
    assert recorded(acme) == [("connection.check", "started", ""), ("connection.check", "failed", "internal")]
