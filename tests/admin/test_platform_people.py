"""What superusers do to people is on record: the platform's, and that of each organisation which they are in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from connections.models import Event
from tests.api.test_no_record_no_action import no_event_is_taken
from tests.catalogue import Tenant

PEOPLE = "/admin/auth/user/"
PASSWORD = "a new pass for Ada 4711"


@pytest.fixture
def platform(superuser: Any) -> Client:
    browser = Client()
    browser.force_login(superuser, backend="connections.admin.backend.MembershipBackend")
    return browser


def form_of(person: Any, **changed: Any) -> dict[str, Any]:
    """What a browser sends of the form; a box that is off is not sent."""
    fields = {"username": person.username, "email": person.email, "first_name": "", "last_name": ""}
    boxes = {name: getattr(person, name) for name in ("is_active", "is_staff", "is_superuser")}
    fields |= {name: value for name, value in (boxes | changed).items() if value is not False}
    return fields


def told(action: str) -> dict[str | None, list[Any]]:
    """The events of ``action``, by organisation: by whom, about whom, and what changed."""
    found: dict[str | None, list[Any]] = {}
    for event in Event.objects.filter(action=action).select_related("organisation"):
        slug = event.organisation.slug if event.organisation else None
        found.setdefault(slug, []).append((event.actor_label, event.object_label, event.changes))
    return found


def test_a_member_who_is_made_a_superuser_is_on_both_records(acme: Tenant, globex: Tenant, platform: Client) -> None:
    person = acme.people["viewer"]
    answer = platform.post(f"{PEOPLE}{person.pk}/change/", form_of(person, is_superuser=True))
    assert answer.status_code == 302
    event = ("platform (platform)", "acme-viewer", {"is_superuser": [False, True]})
    assert told("person.change") == {None: [event], "acme": [event]}


@pytest.mark.parametrize(
    "sent",
    [
        {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true", "set-password": "1"},
        {"usable_password": "false", "unset-password": "1"},
    ],
)
def test_an_organisation_reads_that_a_members_password_was_set_by_the_platform(
    acme: Tenant, platform: Client, sent: dict[str, str]
) -> None:
    person = acme.people["admin"]
    assert platform.post(f"{PEOPLE}{person.pk}/password/", sent).status_code == 302
    event: tuple[str, str, dict[str, Any]] = ("platform (platform)", "acme-admin", {})
    assert told("person.password") == {None: [event], "acme": [event]}
    assert PASSWORD not in json.dumps(list(Event.objects.values()), default=str)
    assert "person.password" in [event["action"] for event in acme.api("admin").get("events/").json()["results"]]


def test_somebody_new_is_on_the_platforms_record(platform: Client) -> None:
    sent = {"username": "ada", "email": "ada@example.com", "usable_password": "true"}
    assert platform.post(f"{PEOPLE}add/", {**sent, "password1": PASSWORD, "password2": PASSWORD}).status_code == 302
    changes = {"username": [None, "ada"], "email": [None, "ada@example.com"]}
    assert told("person.add") == {None: [("platform (platform)", "ada", changes)]}
    assert PASSWORD not in json.dumps(list(Event.objects.values()), default=str)


@pytest.mark.django_db(transaction=True)
def test_where_the_record_takes_nothing_nobody_is_changed(acme: Tenant, platform: Client) -> None:
    person = acme.people["viewer"]
    platform.raise_request_exception = False
    sent = {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true", "set-password": "1"}
    before = list(get_user_model()._default_manager.order_by("pk").values())
    with no_event_is_taken():
        answers = [
            platform.post(f"{PEOPLE}{person.pk}/change/", form_of(person, is_superuser=True)),
            platform.post(f"{PEOPLE}{person.pk}/password/", sent),
            platform.post(f"{PEOPLE}add/", {"username": "ada", **sent}),
        ]
    assert [answer.status_code for answer in answers] == [500, 500, 500]
    assert list(get_user_model()._default_manager.order_by("pk").values()) == before


# Their own password ------------------------------------------------------------------------------------------------


def own(tenant: Tenant) -> tuple[Any, Client, dict[str, str]]:
    """A member, as logged in, and what a browser sends to change the member's password."""
    person = tenant.people["viewer"]
    person.set_password("the old pass 4711")
    person.save()
    browser = tenant.browser("viewer")
    browser.raise_request_exception = False
    sent = {"old_password": "the old pass 4711", "new_password1": PASSWORD, "new_password2": PASSWORD}
    return person, browser, sent


def test_a_password_of_ones_own_that_is_changed_is_on_the_platforms_record(acme: Tenant) -> None:
    person, browser, sent = own(acme)
    assert browser.post("/admin/password_change/", {**sent, "old_password": "wrong"}).status_code == 200
    assert told("person.password") == {}
    assert browser.post("/admin/password_change/", sent).status_code == 302
    assert told("person.password") == {None: [("acme-viewer", "acme-viewer", {})]}
    event = Event.objects.get(action="person.password")
    assert (event.actor_kind, event.actor_id, event.object_id) == ("user", str(person.pk), str(person.pk))
    person.refresh_from_db()
    assert person.check_password(PASSWORD)
    assert browser.get("/admin/").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_a_password_of_ones_own_is_not_changed_where_no_event_is_taken(acme: Tenant) -> None:
    person, browser, sent = own(acme)
    with no_event_is_taken():
        assert browser.post("/admin/password_change/", sent).status_code >= 500
    person.refresh_from_db()
    assert person.check_password("the old pass 4711")
