"""What each role may do in the admin, page by page."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from connections.models import APIKey, Connection, Event, Membership
from connections.services import api_keys
from tests.admin.pages import Page, address, patterns, rows
from tests.catalogue import Tenant

ROLES = ("viewer", "analyst", "editor", "admin")
VIEWER, ANALYST, EDITOR, ADMIN = range(4)

# The least role that may GET a page, and that may POST to it; None where nobody may.
GET_POST: dict[str, tuple[int | None, int | None]] = {
    "connections_connection_changelist": (VIEWER, VIEWER),
    "connections_connection_add": (EDITOR, None),
    "connections_connection_add_source": (EDITOR, EDITOR),
    "connections_connection_test_new": (None, EDITOR),
    "connections_connection_parse_url": (None, EDITOR),
    "connections_connection_change": (VIEWER, EDITOR),
    "connections_connection_test": (None, EDITOR),
    "connections_connection_check": (None, ANALYST),
    "connections_connection_preview": (ANALYST, ANALYST),
    "connections_connection_tables": (None, ANALYST),
    "connections_connection_export": (None, ANALYST),
    "connections_connection_cancel": (None, ANALYST),
    "connections_connection_history": (VIEWER, None),
    "connections_connection_restore": (EDITOR, EDITOR),
    "connections_connection_expiry": (EDITOR, EDITOR),
    "connections_connection_pause": (EDITOR, EDITOR),
    "connections_connection_resume": (None, EDITOR),
    "connections_connection_clone": (EDITOR, EDITOR),
    "connections_connection_delete": (EDITOR, EDITOR),
    "connections_membership_changelist": (ADMIN, ADMIN),
    "connections_membership_add": (ADMIN, ADMIN),
    "connections_membership_change": (ADMIN, ADMIN),
    "connections_membership_delete": (ADMIN, ADMIN),
    "connections_apikey_changelist": (ADMIN, ADMIN),
    "connections_apikey_add": (ADMIN, ADMIN),
    "connections_apikey_change": (ADMIN, None),
    "connections_apikey_delete": (ADMIN, ADMIN),
    "settings": (ADMIN, ADMIN),
    "connections_event_changelist": (ADMIN, ADMIN),
    "connections_event_export": (None, ADMIN),
    "connections_event_change": (ADMIN, None),
    "connections_event_add": (None, None),
    "connections_event_delete": (None, None),
    "connections_membership_history": (None, None),
    "connections_apikey_history": (None, None),
    "connections_event_history": (None, None),
}
SITE = {"index", "login", "logout", "password_change", "password_change_done", "jsi18n", "app_list", "switch"}


def _ours() -> list[tuple[str, str]]:
    found = []
    for name, route in patterns():
        platform = name.startswith(("auth_", "connections_organisation_")) or route.startswith(
            ("auth/", "connections/organisation/")
        )
        unnamed = name == route  # the old address of a change page, and the page of what is not there
        if not platform and not unnamed and name not in SITE:
            found.append((name, route))
    return found


def test_every_page_is_in_the_table():
    assert {name for name, _route in _ours()} == set(GET_POST)


@pytest.mark.parametrize("role", ROLES)
def test_each_page_answers_as_the_role_allows(acme, role):
    connection = acme.sqlite()
    found = rows(acme, connection)
    browser = acme.browser(role)
    rank = ROLES.index(role)
    for name, route in _ours():
        path = address(name, route, found)
        for method, least in zip(("get", "post"), GET_POST[name], strict=True):
            if method == "post" and "delete" in name:
                continue  # the rows are needed by the other pages; see below
            status = getattr(browser, method)(path).status_code
            if least is None or rank < least:
                assert status in (403, 404, 405), (name, method, status)
            else:
                assert status in (200, 204, 302, 400), (name, method, status)  # 400: a body that is missing
    if rank < EDITOR:
        assert browser.post(f"/admin/connections/connection/{connection.pk}/delete/").status_code == 403
    connection.refresh_from_db()
    assert connection.name == "Shop"


def test_nobody_gets_the_login_page_at_every_address(acme):
    found = rows(acme, acme.sqlite())
    for name, route in _ours():
        response = Client().get(address(name, route, found))
        assert response.status_code == 302, name
        assert response["Location"].startswith("/admin/login/"), name


def test_a_request_without_a_token_changes_nothing(acme):
    connection = acme.sqlite()
    found = rows(acme, connection)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(acme.people["admin"], backend="connections.admin.backend.MembershipBackend")
    for name, route in _ours():
        if GET_POST[name][1] is not None:
            assert strict.post(address(name, route, found)).status_code == 403, name


def test_a_viewer_sees_settings_and_no_form(acme):
    connection = acme.sqlite()
    html = acme.browser("viewer").get(f"/admin/connections/connection/{connection.pk}/change/").content.decode()
    assert "shop.sqlite3" in html
    names = {found.get("name") for found in Page(html).inputs}
    assert names <= {"csrfmiddlewaretoken", "page_organisation"}
    for text in ("/preview/", "/delete/", "/pause/", "/check/"):
        assert text not in html


def test_the_list_offers_each_role_its_actions(acme):
    acme.sqlite()

    def offered(role: str) -> set[str]:
        html = acme.browser(role).get("/admin/connections/connection/").content.decode()
        return {action for action in ("check_now", "pause", "resume", "delete") if f'value="{action}"' in html}

    assert offered("viewer") == set()
    assert offered("analyst") == {"check_now"}
    assert offered("editor") == {"check_now", "pause", "resume", "delete"}


# Members -----------------------------------------------------------------------------------------------------------


def _members(tenant: Tenant) -> dict[str, Any]:
    return {row.user.email: row for row in Membership.objects.filter(organisation=tenant.organisation)}


def test_an_administrator_adds_changes_and_removes_members(acme, globex):
    browser = acme.browser("admin")
    sent = {"email": "viewer@globex.example", "role": "editor"}
    assert browser.post("/admin/connections/membership/add/", sent).status_code == 302
    member = _members(acme)["viewer@globex.example"]
    assert member.role == "editor"
    path = f"/admin/connections/membership/{member.pk}"
    assert browser.post(f"{path}/change/", {"role": "analyst"}).status_code == 302
    assert _members(acme)["viewer@globex.example"].role == "analyst"
    assert browser.post(f"{path}/delete/").status_code == 302
    assert "viewer@globex.example" not in _members(acme)


def test_adding_answers_alike_for_people_who_are_not_there(acme):
    browser = acme.browser("admin")
    known = browser.post("/admin/connections/membership/add/", {"email": "viewer@acme.example", "role": "viewer"})
    unknown = browser.post("/admin/connections/membership/add/", {"email": "nobody@nowhere.example", "role": "viewer"})
    assert (known.status_code, known["Location"]) == (unknown.status_code, unknown["Location"])
    assert "nobody@nowhere.example" not in _members(acme)


def test_the_last_administrator_can_neither_go_nor_step_down(acme):
    browser = acme.browser("admin")
    path = f"/admin/connections/membership/{_members(acme)['admin@acme.example'].pk}"
    for response in (browser.post(f"{path}/delete/"), browser.post(f"{path}/change/", {"role": "viewer"})):
        assert response.status_code == 200
        assert "last administrator" in response.content.decode()
    assert _members(acme)["admin@acme.example"].role == "admin"


def test_bad_members_are_form_errors(acme):
    browser = acme.browser("admin")
    for sent in ({"email": "no address", "role": "viewer"}, {"email": "a@b.example", "role": "god"}, {}):
        response = browser.post("/admin/connections/membership/add/", sent)
        assert response.status_code == 200
        assert "errorlist" in response.content.decode()


# Keys --------------------------------------------------------------------------------------------------------------


def test_a_key_is_shown_once_and_works_until_it_is_revoked(acme):
    browser = acme.browser("admin")
    page = Page(browser.post("/admin/connections/apikey/add/", {"name": "etl", "role": "analyst"}).content.decode())
    (text,) = [found["value"] for found in page.inputs if (found.get("value") or "").startswith("ck_")]
    key = APIKey.objects.get(name="etl")
    assert text is not None
    assert api_keys.recognise(text) == key
    for path in ("", f"{key.pk}/delete/"):
        html = browser.get(f"/admin/connections/apikey/{path}").content.decode()
        assert text not in html
        assert key.digest not in html
    assert browser.post(f"/admin/connections/apikey/{key.pk}/delete/").status_code == 302
    assert api_keys.recognise(text) is None
    assert "etl" not in browser.get("/admin/connections/apikey/").content.decode().split('id="changelist"')[1]


def test_a_key_that_would_never_have_worked_is_refused(acme):
    browser = acme.browser("admin")
    sent = {"name": "late", "role": "viewer", "expires_at": "2020-01-01T00:00"}
    assert "has passed" in browser.post("/admin/connections/apikey/add/", sent).content.decode()
    assert not APIKey.objects.filter(name="late").exists()


def test_a_superuser_who_is_no_member_is_told_why_there_is_no_key(acme, superuser):
    browser = Client()
    browser.force_login(superuser, backend="connections.admin.backend.MembershipBackend")
    browser.post("/admin/organisation/", {"organisation": "acme", "reason": "To see what there is"})
    html = browser.post("/admin/connections/apikey/add/", {"name": "x", "role": "viewer"}).content.decode()
    assert "join the organisation" in html


# Events ------------------------------------------------------------------------------------------------------------


def test_events_are_found_by_their_request_and_never_changed(acme):
    acme.sqlite()
    browser = acme.browser("admin")
    browser.post("/admin/connections/membership/add/", {"email": "x@y.example", "role": "viewer"})
    event = Event.objects.get(action="member.add")
    html = browser.get(f"/admin/connections/event/?q={event.request_id}").content.decode()
    assert "1 event" in html
    assert "connection.create" not in html.split('id="result_list"')[1].split("</table>")[0]
    page = browser.get(f"/admin/connections/event/{event.pk}/change/").content.decode()
    assert event.request_id in page
    assert browser.post(f"/admin/connections/event/{event.pk}/change/", {}).status_code == 405
    assert Event.objects.filter(pk=event.pk).exists()


def test_history_shows_events_to_administrators_and_checks_to_all(acme):
    connection = acme.sqlite()
    path = f"/admin/connections/connection/{connection.pk}/history/"
    acme.browser("analyst").post(f"/admin/connections/connection/{connection.pk}/check/")
    for role, events_shown in (("viewer", False), ("admin", True)):
        html = acme.browser(role).get(path).content.decode()
        assert "Status check" in html
        assert "Read a sample" in html
        assert ("connection.create" in html) is events_shown


def test_history_is_paged_newest_first(acme, monkeypatch):
    connection = acme.sqlite()
    monkeypatch.setattr("connections.admin.timeline.PAGE", 2)
    browser = acme.browser("admin")
    base = f"/admin/connections/connection/{connection.pk}"
    for number in range(3):
        browser.post(f"{base}/pause/", {"reason": f"reason {number}"})
    first = browser.get(f"{base}/history/").content.decode()
    assert first.index("reason 2") < first.index("reason 1")
    assert "reason 0" not in first
    older = first.split('href="?before=')[1].split('"')[0]
    second = browser.get(f"{base}/history/?before={older}").content.decode()
    assert "reason 0" in second
    assert "connection.create" in second
    assert "reason 1" not in second
    for odd in ("x", "2020-01-01_zz", "%00", "2020-01-01T00:00:00Z"):
        assert browser.get(f"{base}/history/?before={odd}").status_code == 200


def test_no_page_writes_djangos_own_log(acme):
    from django.contrib.admin.models import LogEntry

    connection = acme.sqlite()
    browser = acme.browser("admin")
    browser.post(f"/admin/connections/connection/{connection.pk}/pause/", {"reason": "x"})
    browser.post("/admin/connections/apikey/add/", {"name": "etl", "role": "viewer"})
    browser.post(f"/admin/connections/connection/{connection.pk}/delete/")
    assert not Connection.objects.filter(pk=connection.pk).exists()
    assert LogEntry.objects.count() == 0
