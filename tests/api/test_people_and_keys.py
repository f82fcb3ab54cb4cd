"""Members and API keys over REST, and what becomes of a caller whose rights end."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core import serializers
from django.utils import timezone

from connections.models import APIKey, Event, Membership, Organisation
from tests.catalogue import API, Tenant


def member_id(tenant: Tenant, role: str) -> str:
    return str(Membership.objects.get(organisation=tenant.organisation, user=tenant.people[role]).pk)


def new_key(tenant: Tenant, maker: str = "admin", **body: Any) -> Any:
    answer = tenant.api(maker).post("api-keys/", {"name": "Made", "role": "viewer", **body})
    assert answer.status_code == 201, answer.content
    return answer.json()


# Members -------------------------------------------------------------------------------------------------------


def test_members_are_listed_to_administrators(acme: Tenant, globex: Tenant) -> None:
    found = acme.api("admin").get("members/").json()["results"]
    assert {(each["user"], each["email"], each["role"]) for each in found} == {
        (f"acme-{role}", f"{role}@acme.example", role) for role in acme.people
    }
    assert all(each.keys() == {"id", "user", "email", "role"} for each in found)


def test_adding_a_member_answers_alike_for_known_and_unknown_people(acme: Tenant, globex: Tenant) -> None:
    api = acme.api("admin")
    known = api.post("members/", {"email": "viewer@globex.example", "role": "editor"})
    unknown = api.post("members/", {"email": "viewer@nowhere.example", "role": "editor"})
    again = api.post("members/", {"email": "VIEWER@globex.example", "role": "editor"})
    assert known.status_code == unknown.status_code == again.status_code == 201
    assert known.json() == {"email": "viewer@globex.example", "role": "editor"}
    assert unknown.json() == {"email": "viewer@nowhere.example", "role": "editor"}
    assert known["Location"] == unknown["Location"]
    assert Membership.objects.filter(organisation=acme.organisation).count() == 5


def test_the_record_tells_of_no_role_that_was_not_given(acme: Tenant, globex: Tenant) -> None:
    api = acme.api("admin")
    for email in ("viewer@acme.example", "viewer@nowhere.example", "viewer@globex.example"):
        assert api.post("members/", {"email": email, "role": "admin"}).status_code == 201
    assert Membership.objects.get(user=acme.people["viewer"]).role == "viewer"
    told = Event.objects.filter(action="member.add").order_by("at", "id")
    found = [(each.object_label, each.result, each.code, each.changes, each.detail) for each in told]
    unchanged: tuple[Any, ...] = ("failed", "unchanged", {}, {"role": "admin"})
    assert found == [
        ("viewer@acme.example", *unchanged),
        ("viewer@nowhere.example", *unchanged),  # whoever reads the record is not told which of the two it was
        ("viewer@globex.example", "ok", "", {"role": [None, "admin"]}, {}),
    ]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/role"),
        ({"email": "a@b.example", "role": "owner"}, "/role"),
        ({"email": "a@b.example", "role": ["admin"]}, "/role"),
        ({"role": "viewer"}, "/email"),
        ({"email": "no address", "role": "viewer"}, "/email"),
        ({"email": "a@b.example", "role": "viewer", "user": 1}, "/user"),
    ],
)
def test_a_wrong_member_is_named(acme: Tenant, body: dict[str, Any], pointer: str) -> None:
    answer = acme.api("admin").post("members/", body)
    assert (answer.status_code, [error["pointer"] for error in answer.json()["errors"]]) == (400, [pointer])


def test_the_last_administrator_cannot_go(acme: Tenant) -> None:
    api, last = acme.api("admin"), f"members/{member_id(acme, 'admin')}/"
    for answer in (api.delete(last), api.patch(last, {"role": "viewer"})):
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    promoted = api.patch(f"members/{member_id(acme, 'editor')}/", {"role": "admin"})
    assert (promoted.status_code, promoted.json()["role"]) == (200, "admin")
    assert api.delete(last).status_code == 204


def test_an_administrator_who_is_deactivated_does_not_count(acme: Tenant) -> None:
    api = acme.api("admin")
    api.patch(f"members/{member_id(acme, 'editor')}/", {"role": "admin"})
    get_user_model()._default_manager.filter(pk=acme.people["editor"].pk).update(is_active=False)
    assert api.delete(f"members/{member_id(acme, 'admin')}/").status_code == 409


def test_what_is_not_the_organisations_is_404_before_rights_and_body(acme: Tenant, globex: Tenant) -> None:
    theirs = f"members/{member_id(globex, 'viewer')}/"
    key = f"api-keys/{APIKey.objects.get(organisation=globex.organisation, name='viewer key').pk}/"
    for role in ("viewer", "admin"):
        assert acme.api(role).patch(theirs, {"garbage": True}).status_code == 404
        assert acme.api(role).delete(theirs).status_code == 404
        assert acme.api(role).delete(key).status_code == 404


# Keys ----------------------------------------------------------------------------------------------------------


def test_a_key_is_shown_once_and_stored_as_a_hash(acme: Tenant) -> None:
    made = new_key(acme)
    assert made.keys() == {"id", "name", "role", "prefix", "connections", "expires_at", "last_used_at", "key"}
    assert made["key"].startswith(made["prefix"] + "_")
    listed = acme.api("admin").get("api-keys/")
    assert made["key"] not in listed.content.decode()
    assert {"id": made["id"], "name": "Made"}.items() <= listed.json()["results"][0].items()
    row = APIKey.objects.get(pk=made["id"])
    assert row.digest == hashlib.sha256(made["key"].encode()).hexdigest()
    secret = made["key"].rpartition("_")[2]
    assert secret not in serializers.serialize("json", [*APIKey.objects.all(), *Event.objects.all()])
    assert API("acme", made["key"]).get("connections/").status_code == 200


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: key[:-1],
        lambda key: key + "A",
        lambda key: key.upper(),
        lambda key: key[:-1] + ("A" if key[-1] != "A" else "B"),
        lambda key: "ck_" + "a" * 12 + key[15:],
        lambda key: key[3:],
        lambda key: key.replace("_", "-"),
        lambda key: "é" * 59,
        lambda key: "",
    ],
)
def test_a_malformed_or_wrong_key_is_a_401(acme: Tenant, spoil: Any) -> None:
    api = API("acme", None)
    answer = api.get("connections/", Authorization=f"Bearer {spoil(acme.keys['admin'])}")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    other = api.get("connections/", Authorization="Basic " + acme.keys["admin"])
    assert (other.status_code, other.json().keys()) == (401, answer.json().keys())


def test_a_revoked_key_is_a_401_at_once(acme: Tenant) -> None:
    made = new_key(acme)
    assert acme.api("admin").delete(f"api-keys/{made['id']}/").status_code == 204
    assert API("acme", made["key"]).get("connections/").status_code == 401
    assert acme.api("admin").delete(f"api-keys/{made['id']}/").status_code == 404
    assert made["id"] not in acme.api("admin").get("api-keys/").content.decode()


def test_an_expired_key_is_a_401(acme: Tenant) -> None:
    made = new_key(acme, expires_at=(timezone.now() + timedelta(days=1)).isoformat())
    assert API("acme", made["key"]).get("connections/").status_code == 200
    APIKey.objects.filter(pk=made["id"]).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert API("acme", made["key"]).get("connections/").status_code == 401


@pytest.mark.parametrize(
    "expires_at",
    [
        "yesterday",
        "2020-01-01T00:00:00Z",
        "2090-01-01T00:00:00",
        5,
        "9999-12-31T23:59:59-23:00",
        "2090-13-01T00:00:00Z",
    ],
)
def test_a_wrong_expiry_is_named(acme: Tenant, expires_at: Any) -> None:
    answer = acme.api("admin").post("api-keys/", {"name": "X", "role": "viewer", "expires_at": expires_at})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/expires_at")


def test_a_key_has_at_most_its_makers_role_as_it_is_now(acme: Tenant) -> None:
    api = acme.api("admin")
    assert api.patch(f"members/{member_id(acme, 'editor')}/", {"role": "admin"}).status_code == 200
    acme.browser("editor")
    made = acme.browser("editor").post(
        "/api/v1/orgs/acme/api-keys/", {"name": "Strong", "role": "admin"}, content_type="application/json"
    )
    key = API("acme", made.json()["key"])
    assert key.get("members/").status_code == 200
    api.patch(f"members/{member_id(acme, 'editor')}/", {"role": "viewer"})
    assert key.get("members/").status_code == 403
    assert key.get("").json()["role"] == "viewer"


def test_a_key_dies_with_its_makers_membership(acme: Tenant) -> None:
    api = acme.api("admin")
    api.patch(f"members/{member_id(acme, 'editor')}/", {"role": "admin"})
    made = acme.browser("editor").post(
        "/api/v1/orgs/acme/api-keys/", {"name": "Mine", "role": "viewer"}, content_type="application/json"
    )
    key = API("acme", made.json()["key"])
    assert key.get("connections/").status_code == 200
    api.delete(f"members/{member_id(acme, 'editor')}/")
    assert key.get("connections/").status_code == 401


def test_a_key_belongs_to_one_organisation_though_its_maker_is_in_two(acme: Tenant, globex: Tenant) -> None:
    Membership.objects.create(organisation=globex.organisation, user=acme.people["admin"], role="admin")
    assert API("globex", acme.keys["admin"]).get("connections/").status_code == 404
    assert [each["slug"] for each in acme.api("admin").get("/orgs/").json()["results"]] == ["acme"]
    both = acme.browser("admin").get("/api/v1/orgs/").json()["results"]
    assert {each["slug"] for each in both} == {"acme", "globex"}


# Whose rights end ----------------------------------------------------------------------------------------------


def test_a_suspended_organisation_takes_no_key_and_is_not_there(acme: Tenant) -> None:
    Organisation.objects.filter(pk=acme.organisation.pk).update(suspended_at=timezone.now())
    assert acme.api("admin").get("connections/").status_code == 401
    assert acme.browser("admin").get("/api/v1/orgs/acme/connections/").status_code == 404
    assert acme.browser("admin").get("/api/v1/orgs/").json() == {"results": []}


def test_a_deactivated_person_has_neither_session_nor_keys(acme: Tenant) -> None:
    browser = acme.browser("admin")
    get_user_model()._default_manager.filter(pk=acme.people["admin"].pk).update(is_active=False)
    assert acme.api("admin").get("connections/").status_code == 401
    assert browser.get("/api/v1/orgs/acme/connections/").status_code == 401


def test_a_membership_that_ended_is_gone_from_the_running_session(acme: Tenant) -> None:
    browser = acme.browser("viewer")
    assert browser.get("/api/v1/orgs/acme/").json()["role"] == "viewer"
    acme.api("admin").delete(f"members/{member_id(acme, 'viewer')}/")
    assert browser.get("/api/v1/orgs/acme/").status_code == 404


def test_a_session_needs_its_csrf_token_to_write(acme: Tenant) -> None:
    browser = acme.browser("editor")
    browser.handler.enforce_csrf_checks = True
    acme.sqlite()
    path = "/api/v1/orgs/acme/connections/shop/"
    refused = browser.patch(path, {"description": "x"}, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert browser.get(path).status_code == 200
    browser.cookies["csrftoken"] = token = "a" * 32
    allowed = browser.patch(path, {"description": "x"}, content_type="application/json", headers={"X-CSRFToken": token})
    assert allowed.status_code == 200


def test_a_key_made_by_a_key_ends_no_later_than_that_one(acme: Tenant) -> None:
    ends = (timezone.now() + timedelta(days=3)).replace(microsecond=0)
    maker = {"name": "Maker", "role": "admin", "expires_at": ends.isoformat()}
    by_key = API(acme.slug, acme.api("admin").post("api-keys/", maker).json()["key"])
    child = by_key.post("api-keys/", {"name": "Child", "role": "admin"})
    assert (child.status_code, datetime.fromisoformat(child.json()["expires_at"])) == (201, ends)
    grandchild = API(acme.slug, child.json()["key"]).post("api-keys/", {"name": "Third", "role": "viewer"})
    assert datetime.fromisoformat(grandchild.json()["expires_at"]) == ends
    sooner = {"name": "Sooner", "role": "viewer", "expires_at": (ends - timedelta(days=1)).isoformat()}
    assert by_key.post("api-keys/", sooner).status_code == 201
    later = by_key.post("api-keys/", {**sooner, "expires_at": (ends + timedelta(seconds=1)).isoformat()})
    assert (later.status_code, later.json()["errors"][0]["pointer"]) == (400, "/expires_at")
    assert "The key that makes it ends before" in later.json()["detail"]
    endless = acme.api("admin").post("api-keys/", {"name": "Endless", "role": "viewer"})
    assert endless.json()["expires_at"] is None
    made = Event.objects.filter(action="api_key.create", actor_kind="api_key").count()
    assert made == 5
