"""What every page has in common: places, messages, breadcrumbs, moments, and what is shown in place of a page."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections.models import Connection, Event
from connections.services import connections, events
from connections.services.connections import Change
from tests.catalogue import CANARY, Tenant

LIST = "/admin/connections/connection/"
EVENTS = "/admin/connections/event/"
MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d"


@pytest.fixture
def platform(superuser: Any) -> Client:
    browser = Client()
    browser.force_login(superuser, backend="connections.admin.backend.MembershipBackend")
    return browser


def html(answer: Any) -> str:
    return unescape(answer.content.decode())


def places(page: str) -> list[str]:
    """The words of the header's links; empty without it."""
    header = re.search(r'<nav class="places".*?</nav>', page, re.DOTALL)
    return re.findall(r"<a [^>]*>(.*?)</a>", header[0]) if header else []


def crumbs(page: str) -> list[tuple[str, str]]:
    found = re.search(r'<div class="breadcrumbs">.*?</div>', page, re.DOTALL)
    return re.findall(r'<a href="([^"]*)">(.*?)</a>', found[0]) if found else []


def test_the_header_begins_with_what_is_wanted_most(acme: Tenant, platform: Client) -> None:
    whole = ["Overview", "Connections", "Members", "API keys", "Events", "Settings"]
    assert places(html(acme.browser("admin").get("/admin/"))) == whole
    assert places(html(acme.browser("viewer").get("/admin/"))) == ["Overview", "Connections"]
    assert places(html(platform.get("/admin/"))) == ["Overview", "Organisations", "Users"]


def test_whoever_logged_out_sees_no_places(acme: Tenant) -> None:
    page = html(acme.browser("admin").post("/admin/logout/"))
    assert "You are logged out." in page
    assert places(page) == []


def test_a_login_that_fails_says_so_in_a_members_words_and_at_last_says_when_to_come_back(
    acme: Tenant, settings: Any
) -> None:
    settings.AXES_FAILURE_LIMIT = 3
    browser, sent = Client(), {"username": "acme-viewer", "password": "not the word"}
    refused = browser.post("/admin/login/", sent)
    assert refused.status_code == 200
    assert "belong to no account that may come in" in html(refused)
    answers = [browser.post("/admin/login/", sent) for _attempt in range(3)]
    assert answers[-1].status_code == 429
    assert "Try again in a quarter of an hour" in html(answers[-1])
    assert "acme-viewer" not in html(answers[-1])


def test_a_message_leaves_the_name_of_a_connection_as_it_is(acme: Tenant) -> None:
    row = acme.sqlite("flights")
    done = acme.browser("editor").post(f"{LIST}{row.pk}/pause/", {"reason": "It moves."}, follow=True)
    assert '<li class="success">flights is paused.</li>' in html(done)


def test_breadcrumbs_lead_to_pages_that_the_header_knows(acme: Tenant, platform: Client) -> None:
    person, organisation = acme.people["viewer"].pk, acme.organisation.pk
    for path in (
        "/admin/auth/user/",
        "/admin/auth/user/add/",
        f"/admin/auth/user/{person}/change/",
        f"/admin/auth/user/{person}/password/",
        f"/admin/auth/user/{person}/history/",
        "/admin/connections/organisation/",
        f"/admin/connections/organisation/{organisation}/change/",
    ):
        found = crumbs(html(platform.get(path)))
        assert found[0] == ("/admin/", "Home"), path
        assert {"/admin/auth/", "/admin/connections/"}.isdisjoint(href for href, _words in found), path
    assert crumbs(html(acme.browser("admin").get("/admin/settings/"))) == [("/admin/", "Home")]


def test_an_organisation_has_no_history_besides_its_events(acme: Tenant, platform: Client) -> None:
    path = reverse("admin:connections_organisation_history", args=[acme.organisation.pk])
    assert path not in html(platform.get(reverse("admin:connections_organisation_change", args=[acme.organisation.pk])))
    assert platform.get(path).status_code == 404
    assert acme.browser("admin").get(path).status_code == 403


def test_a_page_that_is_not_there_or_not_allowed_says_so_and_leads_back(acme: Tenant) -> None:
    browser, row = acme.browser("viewer"), acme.sqlite()
    for path, status, words in (
        ("/admin/nothing/", 404, "There is no such page"),
        ("/nothing/", 404, "There is no such page"),
        (f"{LIST}{acme.organisation.pk}/change/", 404, "There is no such page"),
        (f"{LIST}{row.pk}/preview/", 403, "You may not do this"),
        (EVENTS, 403, "You may not do this"),
    ):
        answer = browser.get(path)
        page = html(answer)
        assert (answer.status_code, f"<h1>{words}</h1>" in page) == (status, True), path
        assert 'href="/admin/">Go to the overview' in page
        assert "acme" not in page


def test_a_form_without_its_token_is_refused_with_what_to_do(acme: Tenant) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(acme.people["editor"], backend="connections.admin.backend.MembershipBackend")
    answer = strict.post(f"{LIST}{acme.sqlite().pk}/check/")
    assert answer.status_code == 403
    assert "Go back, load the page again, and send the form once more." in html(answer)


def test_moments_are_written_alike(acme: Tenant, platform: Client) -> None:
    admin = acme.browser("admin")
    admin.post("/admin/connections/apikey/add/", {"name": "etl", "role": "viewer", "expires_at": "2031-02-28T09:30"})
    keys = html(admin.get("/admin/connections/apikey/"))
    assert '<td class="field-shown_end">2031-02-28 09:30</td>' in keys
    for page, name in (
        (keys, "shown_created"),
        (html(admin.get("/admin/connections/membership/")), "shown_created"),
        (html(platform.get("/admin/connections/organisation/")), "shown_created"),
    ):
        assert re.search(rf'class="field-{name}[^"]*">{MOMENT}<', page), name


def test_the_first_pages_counts_are_those_of_the_lists_that_they_lead_to(acme: Tenant) -> None:
    browser = acme.browser("viewer")
    now = timezone.now()
    ok: dict[str, Any] = {"status_ok": True, "status_at": now}
    failed, paused = ok | {"status_ok": False}, {"paused_at": now}
    for number, change in enumerate([ok, failed, failed | paused, paused, {}]):
        Connection.objects.filter(pk=acme.sqlite(f"Shop {number}").pk).update(name=f"Shop {number}", **change)
    page = html(browser.get("/admin/"))
    tiles = re.findall(rf'<a class="tile[^"]*" href="{LIST}(.*?)"><b>(\d+)</b>', page)
    assert [int(count) for _query, count in tiles] == [5, 1, 2, 2, 2]
    for query, count in tiles:
        listed = html(browser.get(LIST + query))
        assert len(re.findall(r'<th class="field-shown_name">', listed)) == int(count), query


def test_the_first_page_names_sources_as_their_vendors_do(acme: Tenant) -> None:
    acme.sqlite()
    assert '<span class="slug">SQLite</span>' in html(acme.browser("viewer").get("/admin/"))


def test_the_list_shows_a_slug_where_it_says_more_than_the_name(acme: Tenant) -> None:
    acme.sqlite("shop")
    acme.sqlite("The depot")
    page = html(acme.browser("viewer").get(LIST))
    assert re.findall(r'<span class="slug">(.*?)</span>', page) == ["the-depot", ""]


# The record --------------------------------------------------------------------------------------------------------


def test_the_whole_record_does_not_offer_to_show_all(acme: Tenant) -> None:
    events.record(acme.actor("admin"), "connection.preview", acme.sqlite())
    browser = acme.browser("admin")
    assert "Show all" not in html(browser.get(EVENTS))
    for query in ("?q=shop", "?action=connection.create"):
        assert re.search(r"\d results? \(", html(browser.get(EVENTS + query))), query
    assert "By time" in html(browser.get(EVENTS))


def test_an_event_leads_to_the_history_of_its_connection_while_there_is_one(acme: Tenant) -> None:
    row, browser = acme.sqlite(), acme.browser("admin")
    events.record(acme.actor("admin"), "connection.preview", row)
    event = Event.objects.get(action="connection.preview")
    history = f"{LIST}{row.pk}/history/"
    assert f'href="{history}"' in html(browser.get(f"{EVENTS}{event.pk}/change/"))
    assert f'href="{EVENTS}{event.pk}/change/"' in html(browser.get(history))
    connections.delete(acme.actor(), row)
    assert "/history/" not in html(browser.get(f"{EVENTS}{event.pk}/change/"))


def test_the_history_says_what_was_done_in_words_and_leaves_the_rest_to_the_event(acme: Tenant) -> None:
    row = acme.sqlite()
    detail = {"rows": 3, "query_sha256": "404cd058636a9c87", "limit": 50}
    events.record(acme.actor("admin"), "connection.preview", row, detail=detail)
    page = html(acme.browser("admin").get(f"{LIST}{row.pk}/history/"))
    assert re.findall(r"<b>(\w+)</b> by", page) == ["Previewed", "Created"]
    assert "<span>rows: 3</span>" in page
    assert "404cd058636a9c87" not in page


def test_only_what_made_a_version_offers_to_restore_it(acme: Tenant) -> None:
    change = Change(name="Sales", config={"host": "db.example.com", "database": "sales", "user": "reader"})
    row = connections.create(acme.actor(), "postgresql", change)
    for action in ("connection.preview", "connection.tables", "access.denied"):
        events.record(acme.actor("admin"), action, row)
    row = connections.update(acme.actor(), row, Change(config={"connect_timeout": 5}))
    events.record(acme.actor("admin"), "connection.preview", row)
    for role in ("admin", "editor"):
        page = html(acme.browser(role).get(f"{LIST}{row.pk}/history/"))
        assert page.count("/history/1/restore/") == 1, role
        assert page.count("/history/2/restore/") == 0, role


# One connection ----------------------------------------------------------------------------------------------------


def test_who_may_only_read_sees_settings_by_the_words_of_the_form(acme: Tenant) -> None:
    config = {"host": "db.example.com", "database": "sales", "user": "reader", "tls": {"mode": "verify-ca"}}
    change = Change(name="Sales", config=config, secrets={"password": CANARY})
    row = connections.create(acme.actor(), "postgresql", change)
    page = html(acme.browser("viewer").get(f"{LIST}{row.pk}/change/"))
    rows = dict(re.findall(r'<th scope="row">(.*?)</th><td dir="auto">(.*?)</td>', page))
    assert rows["Encryption (TLS) › Verification"] == "verify-ca"
    assert rows["Retries › First delay"] == "0.2"
    assert CANARY not in page


def test_the_page_that_one_is_on_is_told_apart(acme: Tenant) -> None:
    row = acme.sqlite()
    for name, words in (("change", "Settings"), ("preview", "Preview"), ("history", "History")):
        page = html(acme.browser("editor").get(f"{LIST}{row.pk}/{name}/"))
        tools = re.search(r'<nav class="connection-tools".*?</nav>', page, re.DOTALL)
        assert tools is not None
        assert re.findall(r'aria-current="page">(.*?)</a>', tools[0]) == [words]


def test_a_paused_connection_is_no_failure(acme: Tenant) -> None:
    row = connections.pause(acme.actor(), acme.sqlite(), "It moves.")
    page = html(acme.browser("viewer").get(f"{LIST}{row.pk}/change/"))
    assert '<p class="notice">The connection shop is paused: It moves.</p>' in page
    Connection.objects.filter(pk=row.pk).update(source="gone")
    assert '<p class="notice notice-failed">The source gone is not' in html(
        acme.browser("viewer").get(f"{LIST}{row.pk}/change/")
    )
