"""A superuser looks into an organisation: never by accident, not for long, and the organisation reads why."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections.models import Connection, Event, Membership
from connections.services import connections, standing, tenancy, visits
from connections.services.connections import Change
from connections.services.errors import Invalid, NotFound
from tests.catalogue import CANARY, Tenant

REASON = "Ticket 4711: previews of the shop fail"
LIST = "/admin/connections/connection/"
API = "/api/v1/orgs/acme/connections/"


@pytest.fixture
def platform(superuser: Any) -> Client:
    browser = Client()
    browser.force_login(superuser, backend="connections.admin.backend.MembershipBackend")
    return browser


def look_in(browser: Client, slug: str = "acme", **sent: str) -> Any:
    return browser.post("/admin/organisation/", {"organisation": slug, **sent})


def let_in(browser: Client, door: str, slug: str, email: str) -> int:
    """Make somebody an administrator, and return the status as the API has it."""
    sent = {"email": email, "role": "admin"}
    if door == "api":
        return browser.post(f"/api/v1/orgs/{slug}/members/", sent, content_type="application/json").status_code
    status = browser.post("/admin/connections/membership/add/", sent).status_code
    return {302: 201}.get(status, status)


def test_a_reason_is_asked_for_before_anything_is_seen(acme: Tenant, platform: Client) -> None:
    acme.sqlite("Shop")
    asked = look_in(platform)
    assert asked.status_code == 200
    assert "Why do you look into Acme Air?" in asked.content.decode()
    assert "Shop" not in asked.content.decode()
    assert platform.get(LIST).status_code == 403
    assert platform.get(API).status_code == 404
    assert not Event.objects.filter(action=visits.ACTION).exists()


SILENT = [
    "\u200b" * 10,
    "\u202e" * 10,
    "\u2800" * 12,
    "\u3164" * 12,
    "\u00ad" * 12,
    "\u200b \u200b" * 9,
    "a" + "\u0301" * 12,
]


@pytest.mark.parametrize("reason", ["", "   ", "because", "a  b      c     ", "x" * 501, ".-" * 9, *SILENT])
def test_a_reason_that_says_nothing_is_refused(acme: Tenant, platform: Client, reason: str) -> None:
    assert look_in(platform, reason=reason).status_code == 200
    assert platform.get(LIST).status_code == 403
    assert not Event.objects.filter(action=visits.ACTION).exists()


def test_the_organisation_reads_who_came_and_why_and_what_they_did(acme: Tenant, platform: Client) -> None:
    acme.sqlite("Shop")
    assert look_in(platform, reason=REASON).status_code == 302
    assert "Shop" in platform.get(LIST).content.decode()
    changed = platform.patch(f"{API}shop/", {"description": "Mended"}, content_type="application/json")
    assert changed.status_code == 200
    shown = acme.api("admin").get("events/").json()["results"]
    by_action = {event["action"]: event for event in shown if event["actor"]["kind"] == "superuser"}
    came, did = by_action[visits.ACTION], by_action["connection.update"]
    assert came["actor"]["label"] == "platform (platform)"
    assert came["detail"]["visit"]["reason"] == REASON
    assert did["detail"]["visit"] == came["detail"]["visit"]
    assert uuid.UUID(came["detail"]["visit"]["id"]).version == 7
    overview = acme.browser("admin").get("/admin/").content.decode()
    assert REASON in overview
    assert REASON not in acme.browser("editor").get("/admin/").content.decode()
    record = acme.browser("admin").get("/admin/connections/event/?action=organisation.visit").content.decode()
    assert "platform (platform)" in record


def test_what_is_hidden_in_a_reason_is_shown_wherever_the_organisation_reads_it(acme: Tenant, platform: Client) -> None:
    assert look_in(platform, reason=f"{REASON} \u202e\u2800\u200b").status_code == 302
    event, browser = Event.objects.get(action=visits.ACTION), acme.browser("admin")
    for path in ("/admin/", f"/admin/connections/event/{event.pk}/change/"):
        shown = browser.get(path).content.decode()
        assert f"{REASON} ⟨U+202E⟩⟨U+2800⟩⟨U+200B⟩" in shown
        assert not {"\u202e", "\u2800", "\u200b"} & set(shown)


def test_a_visit_ends_by_itself(acme: Tenant, platform: Client) -> None:
    look_in(platform, reason=REASON)
    session = platform.session
    session[visits.SESSION_KEY] = {**session[visits.SESSION_KEY], "until": timezone.now().isoformat()}
    session.save()
    assert platform.get(LIST).status_code == 403
    assert platform.get(API).status_code == 404
    assert look_in(platform).status_code == 200


def test_a_visit_is_to_one_organisation(acme: Tenant, globex: Tenant, platform: Client) -> None:
    look_in(platform, reason=REASON)
    assert platform.get("/api/v1/orgs/globex/connections/").status_code == 404
    assert look_in(platform, "globex").status_code == 200
    assert platform.get(API).status_code == 200
    look_in(platform, "globex", reason=REASON)
    assert platform.get("/api/v1/orgs/globex/connections/").status_code == 200
    assert platform.get(API).status_code == 404


def test_whoever_is_no_superuser_begins_no_visit(acme: Tenant, globex: Tenant) -> None:
    browser = globex.browser("admin")
    assert look_in(browser, reason=REASON).status_code == 404
    assert browser.get(API).status_code == 404
    with pytest.raises(NotFound):
        visits.begin(globex.people["admin"], "acme", REASON)


def test_a_superuser_who_is_a_member_needs_no_reason(acme: Tenant, platform: Client, superuser: Any) -> None:
    Membership.objects.create(organisation=acme.organisation, user=superuser, role="viewer")
    assert look_in(platform).status_code == 302
    assert platform.patch(f"{API}x/", {}, content_type="application/json").status_code == 404
    assert platform.post(API, {}, content_type="application/json").status_code == 403


def test_whoever_visits_cannot_stay(acme: Tenant, platform: Client, superuser: Any) -> None:
    superuser.email = "platform@example.com"
    superuser.save()
    look_in(platform, reason=REASON)
    sent = {"email": superuser.email.upper(), "role": "admin"}
    members = "/api/v1/orgs/acme/members/"
    assert platform.post(members, sent, content_type="application/json").status_code == 403
    platform.post("/admin/connections/membership/add/", sent)
    assert not Membership.objects.filter(user=superuser).exists()
    denied = Event.objects.filter(action="access.denied", organisation=acme.organisation, actor_kind="superuser")
    assert denied.exists()


@pytest.mark.parametrize("door", ["admin", "api"])
def test_an_organisation_that_lost_its_members_is_not_taken_over(
    acme: Tenant, platform: Client, superuser: Any, door: str
) -> None:
    Membership.objects.filter(organisation=acme.organisation).delete()
    look_in(platform, reason=REASON)
    assert let_in(platform, door, "acme", superuser.email) == 403
    assert not Membership.objects.filter(organisation=acme.organisation).exists()
    denied = Event.objects.filter(action="access.denied", organisation=acme.organisation, actor_kind="superuser")
    assert denied.get().detail["visit"]["reason"] == REASON


@pytest.mark.parametrize("door", ["admin", "api"])
def test_a_superuser_may_be_the_first_member_there_ever_was_and_the_record_begins_with_why(
    superuser: Any, platform: Client, door: str
) -> None:
    platform.post("/admin/connections/organisation/add/", {"name": "Initech", "slug": "initech"})
    look_in(platform, "initech", reason=REASON)
    assert let_in(platform, door, "initech", superuser.email) == 201
    member = Membership.objects.get(organisation__slug="initech")
    assert (member.user, member.role) == (superuser, "admin")
    told = Event.objects.filter(organisation=member.organisation).order_by("at", "id")
    assert [event.action for event in told] == ["organisation.create", visits.ACTION, "member.add"]
    assert {event.detail["visit"]["reason"] for event in told[1:]} == {REASON}
    member.delete()
    assert let_in(platform, door, "initech", superuser.email) == 403, "Once was enough."


@pytest.mark.parametrize("door", ["admin", "api"])
def test_a_visitor_may_let_somebody_else_in_and_the_record_says_why(
    superuser: Any, platform: Client, globex: Tenant, door: str
) -> None:
    platform.post("/admin/connections/organisation/add/", {"name": "Initech", "slug": "initech"})
    look_in(platform, "initech", reason=REASON)
    assert let_in(platform, door, "initech", "viewer@globex.example") == 201
    assert Membership.objects.get(organisation__slug="initech").user == globex.people["viewer"]
    assert let_in(platform, door, "initech", superuser.email) == 403
    shown = Event.objects.get(organisation__slug="initech", action="member.add")
    assert shown.detail["visit"]["reason"] == REASON


def test_another_persons_visit_opens_nothing(acme: Tenant, superuser: Any) -> None:
    visit = visits.begin(superuser, "acme", REASON)
    assert tenancy.actor_of(superuser, "acme", visit=visit).visit == visit
    for wrong in (
        replace(visit, person_id=superuser.pk + 1),
        replace(visit, organisation_id=uuid.uuid4()),
        replace(visit, until=timezone.now()),
    ):
        with pytest.raises(NotFound):
            tenancy.actor_of(superuser, "acme", visit=wrong)
    with pytest.raises(Invalid):
        visits.begin(superuser, "acme", None)
    with pytest.raises(NotFound):
        visits.begin(superuser, "nowhere", REASON)


def test_what_runs_for_a_visit_ends_with_it(acme: Tenant, superuser: Any) -> None:
    visit = visits.begin(superuser, "acme", REASON)
    actor = tenancy.actor_of(superuser, "acme", visit=visit)
    lasting = standing.holder(actor, acme.sqlite())
    ended = lasting._replace(until=timezone.now() - timedelta(seconds=1))
    assert standing.fallen({lasting, ended}) == {ended}
    superuser.is_superuser = False
    superuser.save()
    assert standing.fallen({lasting}) == {lasting}


def test_no_secret_can_be_read_back_on_a_visit(acme: Tenant, platform: Client) -> None:
    config = {"host": "db.example.com", "database": "x", "user": "x"}
    change = Change(name="Warehouse", config=config, secrets={"password": CANARY})
    row = connections.create(acme.actor("editor"), "postgresql", change)
    look_in(platform, reason=REASON)
    for path in (
        f"{API}warehouse/",
        API,
        reverse("admin:connections_connection_change", args=[row.pk]),
        LIST,
        "/admin/connections/event/",
        "/api/v1/orgs/acme/events/",
    ):
        answer = platform.get(path)
        assert answer.status_code == 200
        assert CANARY.encode() not in answer.content
        assert b"C4n4ry" not in answer.content
    moved = platform.patch(f"{API}warehouse/", {"config": {"host": "elsewhere.example.com"}}, "application/json")
    assert (moved.status_code, moved.json()["code"]) == (400, "reentry_required")
    assert Connection.objects.get(pk=row.pk).config["host"] == "db.example.com"


def test_whoever_only_visits_makes_no_key_and_consents_to_nothing(acme: Tenant, platform: Client) -> None:
    look_in(platform, reason=REASON)
    key = {"name": "Back door", "role": "admin"}
    assert platform.post("/api/v1/orgs/acme/api-keys/", key, "application/json").status_code == 400
    consent = {"accepts_unsafe_roles": True}
    assert platform.patch("/api/v1/orgs/acme/", consent, "application/json").status_code == 403
    acme.organisation.refresh_from_db()
    assert acme.organisation.accepts_unsafe_roles is False


def test_a_superuser_who_follows_a_link_is_led_to_where_a_reason_is_given(acme: Tenant, platform: Client) -> None:
    link = f"/admin/connections/connection/{acme.sqlite('Shop').pk}/change/"
    for path in (link, LIST, "/admin/settings/"):
        refused = platform.get(path)
        shown = refused.content.decode()
        assert refused.status_code == 403
        assert "you are asked why you look in" in shown
        assert '<option value="acme">' in shown
        assert "Shop" not in shown
    assert "Why do you look into" in look_in(platform).content.decode()
    assert look_in(platform, reason=REASON).status_code == 302
    assert "Shop" in platform.get(link).content.decode()
    assert "asked why" not in acme.browser("viewer").get("/admin/settings/").content.decode()
