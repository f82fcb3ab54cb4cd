"""Every denied attempt is on a record: the organisation's where it is known whose it is, the platform's elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from connections.models import APIKey, Event
from connections.services import ended_keys
from tests.api.test_no_record_no_action import no_event_is_taken
from tests.api.test_restricted_keys import restricted
from tests.catalogue import API, Tenant, forget_events

PREVIEW = {"query": {"sql": "select 1"}}


def denied(**where: Any) -> list[Event]:
    return list(Event.objects.filter(action="access.denied", **where).order_by("at", "pk"))


def login(person: Any) -> Client:
    browser = Client()
    browser.force_login(person, backend="connections.admin.backend.MembershipBackend")
    return browser


# A key for some connections only ------------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", ["depot", "nothing"])
@pytest.mark.parametrize(
    ("method", "path", "body", "asked"),
    [
        ("GET", "connections/{}/", None, "GET connection"),
        ("PATCH", "connections/{}/", {"name": "x"}, "PATCH connection"),
        ("DELETE", "connections/{}/", None, "DELETE connection"),
        ("POST", "connections/{}/preview/", PREVIEW, "POST preview"),
        ("POST", "connections/{}/secrets/promote/", {}, "POST promote"),
        ("POST", "connections/test/", {"connection": "{}"}, "POST test"),
    ],
)
def test_a_restricted_keys_attempt_at_another_connection_is_one_event(
    acme: Tenant, slug: str, method: str, path: str, body: Any, asked: str
) -> None:
    acme.sqlite("Shop")
    acme.sqlite("Depot")
    api = restricted(acme, "shop")
    forget_events()
    sent = {name: value.format(slug) if isinstance(value, str) else value for name, value in (body or {}).items()}
    assert api(method, path.format(slug), sent if body is not None else None).status_code == 404
    [event] = Event.objects.all()
    assert (event.organisation_id, event.action, event.code) == (acme.organisation.pk, "access.denied", "not_found")
    assert event.detail == {"asked": asked, "connection": slug}
    assert event.actor_label.startswith("Some (ck_")


# Nobody's organisation ----------------------------------------------------------------------------------------------


def test_a_superusers_attempt_without_a_reason_is_on_the_platforms_record(acme: Tenant, superuser: Any) -> None:
    row = acme.sqlite("Shop")
    browser = login(superuser)
    forget_events()
    assert browser.get("/api/v1/orgs/acme/connections/shop/").status_code == 404
    for path in (f"/admin/connections/connection/{row.pk}/change/", "/admin/connections/event/"):
        assert browser.get(path).status_code == 403
    events = denied()
    assert [(event.organisation_id, event.code) for event in events] == [
        (None, "not_found"),
        (None, "forbidden"),
        (None, "forbidden"),
    ]
    assert {(event.actor_kind, event.actor_label) for event in events} == {("superuser", superuser.get_username())}
    assert events[0].detail == {"asked": "GET connection", "organisation": "acme"}
    assert events[1].detail == {"asked": "GET admin:connections_connection_change"}


def test_the_attempt_of_a_person_in_no_organisation_is_on_the_platforms_record(acme: Tenant) -> None:
    acme.sqlite("Shop")
    browser = login(get_user_model()._default_manager.create_user("loose", email="loose@example.com"))
    forget_events()
    assert browser.get("/api/v1/orgs/acme/connections/shop/").status_code == 404
    assert browser.get("/admin/connections/connection/").status_code == 302
    assert browser.post("/admin/logout/").status_code == 302
    assert [(event.organisation_id, event.actor_label, event.detail["asked"]) for event in denied()] == [
        (None, "loose", "GET connection"),
        (None, "loose", "GET admin:connections_connection_changelist"),
    ]


def test_whoever_is_not_logged_in_leaves_no_event(acme: Tenant) -> None:
    forget_events()
    assert Client().get("/admin/connections/connection/").status_code == 302
    assert API("acme", None).get("connections/").status_code == 401
    assert Event.objects.count() == 0


# A key that has ended -----------------------------------------------------------------------------------------------


def _revoke(tenant: Tenant, key: APIKey) -> None:
    APIKey.objects.filter(pk=key.pk).update(revoked_at=timezone.now())


def _let_expire(tenant: Tenant, key: APIKey) -> None:
    APIKey.objects.filter(pk=key.pk).update(expires_at=timezone.now() - timedelta(seconds=1))


def _make_inactive(tenant: Tenant, key: APIKey) -> None:
    type(key.membership.user)._default_manager.filter(pk=key.membership.user_id).update(is_active=False)


def _suspend(tenant: Tenant, key: APIKey) -> None:
    type(tenant.organisation)._default_manager.filter(pk=tenant.organisation.pk).update(suspended_at=timezone.now())


def key_of(tenant: Tenant, role: str = "editor") -> APIKey:
    return APIKey.objects.get(organisation=tenant.organisation, prefix=tenant.keys[role].split("_")[1])


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (_revoke, "revoked"),
        (_let_expire, "expired"),
        (_make_inactive, "its maker may not log in"),
        (_suspend, "the organisation is suspended"),
    ],
)
def test_an_attempt_by_a_key_that_has_ended_is_on_its_organisations_record(
    acme: Tenant, end: Callable[[Tenant, APIKey], None], why: str
) -> None:
    acme.sqlite("Shop")
    key = key_of(acme)
    end(acme, key)
    forget_events()
    assert acme.api("editor").post("connections/shop/preview/", PREVIEW).status_code == 401
    [event] = Event.objects.all()
    assert (event.organisation_id, event.actor_id, event.object_id) == (acme.organisation.pk, str(key.pk), str(key.pk))
    assert (event.action, event.result, event.code) == ("access.denied", "denied", "unauthenticated")
    assert event.detail == {"asked": "POST preview", "ended": why, "attempts": 1}


def test_a_program_that_goes_on_with_a_revoked_key_does_not_fill_the_record(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    _revoke(acme, key_of(acme))
    forget_events()
    for _ in range(20):
        assert acme.api("editor").get("connections/").status_code == 401
    assert [event.detail["attempts"] for event in denied()] == [1]
    moment = time.monotonic() + ended_keys.SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: moment)
    assert acme.api("editor").delete("connections/shop/").status_code == 401
    assert [event.detail["attempts"] for event in denied()] == [1, 20]


def test_a_key_that_nobody_ever_had_leaves_no_event(acme: Tenant) -> None:
    text = acme.keys["editor"]
    forget_events()
    other = text[:-1] + ("A" if text[-1] != "A" else "B")
    for wrong in (other, "ck_" + "a" * 12 + "_" + "b" * 43, "nonsense"):
        assert API("acme", wrong).get("connections/").status_code == 401
    assert Event.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_what_could_not_be_recorded_of_an_ended_key_is_recorded_with_its_next_attempt(acme: Tenant) -> None:
    _revoke(acme, key_of(acme))
    forget_events()
    with no_event_is_taken():
        assert acme.api("editor").get("connections/").status_code >= 500
    assert acme.api("editor").get("connections/").status_code == 401
    assert [event.detail["attempts"] for event in denied()] == [2]


def test_more_keys_than_are_counted_do_not_grow_what_is_held() -> None:
    attempts = ended_keys._Attempts()
    keys = [key.pk for key in (APIKey() for _ in range(ended_keys.MOST + 10))]
    assert all(attempts.add(key) == 1 for key in keys)
    assert len(attempts._counts) == ended_keys.MOST
    assert attempts.add(keys[-1]) == 0
    assert attempts.add(keys[0]) == 1
