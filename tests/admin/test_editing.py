"""Adding, changing, testing connections in the admin, and what a form says when something is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from connections.models import Connection, ConnectionSecrets, Event, StatusCheck
from connections.services import connections
from connections.services.connections import Change
from tests.admin.pages import Page
from tests.catalogue import Tenant

BASE = "/admin/connections/connection"
POSTGRESQL = {
    "name": "Warehouse",
    "config__host": "127.0.0.1",
    "config__port": "1",
    "config__database": "sales",
    "config__user": "reader",
    "config__tls__mode": "disable",
    "config__retry__attempts": "1",
    "config__retry__delay": "0",
    "secrets__password": "hunter2 hunter2",
}


def form_of(html: str) -> dict[str, str]:
    """What a browser would send of the page's main form if nothing were changed."""
    return {
        str(found["name"]): found.get("value") or ("on" if found.get("type") == "checkbox" else "")
        for found in Page(html).inputs
        if found.get("name")
        and (found.get("type") not in ("checkbox", "radio", "submit", "file") or "checked" in found)
    }


def change_path(row: Connection) -> str:
    return f"{BASE}/{row.pk}/change/"


def test_sources_are_chosen_by_category_and_found_without_javascript(acme):
    browser = acme.browser("editor")
    html = browser.get(f"{BASE}/add/").content.decode()
    assert "Databases" in html
    assert f"{BASE}/add/postgresql/" in html
    html = browser.get(f"{BASE}/add/?q=sqlit").content.decode()
    assert f"{BASE}/add/sqlite/" in html
    assert f"{BASE}/add/postgresql/" not in html
    assert "No source has this name" in browser.get(f"{BASE}/add/?q=%3Cscript%3E").content.decode()


def test_a_source_without_its_driver_is_greyed_with_the_line_that_installs_it(acme, monkeypatch):
    from connections.adapters.contract import Driver
    from connections.adapters.registry import registry

    monkeypatch.setattr(registry["postgresql"], "driver", Driver("no_such_module_here", pip="no-such-package"))
    html = acme.browser("editor").get(f"{BASE}/add/").content.decode()
    assert "pip install &#x27;no-such-package&#x27;" in html
    assert f"{BASE}/add/postgresql/" not in html


def test_a_source_that_the_organisation_may_not_use_is_not_there(acme):
    acme.organisation.sources = ["sqlite"]
    acme.organisation.save()
    browser = acme.browser("editor")
    assert f"{BASE}/add/postgresql/" not in browser.get(f"{BASE}/add/").content.decode()
    assert browser.get(f"{BASE}/add/postgresql/").status_code == 404
    assert browser.get(f"{BASE}/add/no-such-source/").status_code == 404


def test_a_connection_is_saved_though_its_source_is_down(acme):
    response = acme.browser("editor").post(f"{BASE}/add/postgresql/", {**POSTGRESQL, "tags": "a, b,,a", "_save": "1"})
    assert response.status_code == 302, response.content.decode()
    row = Connection.objects.get(slug="warehouse")
    assert response["Location"] == change_path(row)
    assert row.tags == ["a", "b"]
    assert row.config["port"] == 1
    assert "password" not in row.config
    assert ConnectionSecrets.objects.get(connection=row).names.keys() == {"password"}
    assert Event.objects.filter(action="connection.create", object_id=str(row.pk)).count() == 1


def test_saving_and_testing_shows_what_the_check_found(acme):
    browser = acme.browser("editor")
    response = browser.post(f"{BASE}/add/postgresql/", {**POSTGRESQL, "_save_test": "1"}, follow=True)
    html = response.content.decode()
    assert "The connection does not work" in html
    assert "unreachable" in html
    assert StatusCheck.objects.count() == 1


def test_errors_are_on_their_inputs_and_nothing_is_saved(acme):
    sent = {**POSTGRESQL, "name": "", "config__port": "99999", "config__host": ""}
    html = acme.browser("editor").post(f"{BASE}/add/postgresql/", sent).content.decode()
    assert "Nothing was saved" in html
    inputs = {found.get("name"): found for found in Page(html).inputs}
    for name in ("name", "config__port", "config__host"):
        assert inputs[name].get("aria-invalid") == "true", name
    assert inputs["config__database"].get("aria-invalid") is None
    assert inputs["config__user"].get("value") == "reader"
    assert not Connection.objects.exists()


def test_a_taken_slug_is_an_error_on_its_input(acme):
    acme.sqlite("Shop")
    sent = {**POSTGRESQL, "slug": "shop"}
    html = acme.browser("editor").post(f"{BASE}/add/postgresql/", sent).content.decode()
    assert "The slug shop is taken." in html
    assert Connection.objects.count() == 1


def test_a_change_keeps_the_secret_that_was_not_typed(acme):
    browser = acme.browser("editor")
    browser.post(f"{BASE}/add/postgresql/", POSTGRESQL)
    row = Connection.objects.get()
    before = ConnectionSecrets.objects.get()
    sent = form_of(browser.get(change_path(row)).content.decode())
    response = browser.post(change_path(row), {**sent, "config__tls__mode": "disable", "name": "Renamed"})
    assert response.status_code == 302, response.content.decode()
    row.refresh_from_db()
    after = ConnectionSecrets.objects.get()
    assert row.name == "Renamed"
    assert row.access_version == 1
    assert (bytes(before.blob), before.generation) == (bytes(after.blob), after.generation)


def test_another_host_asks_for_the_secret_again_on_its_input(acme):
    browser = acme.browser("editor")
    browser.post(f"{BASE}/add/postgresql/", POSTGRESQL)
    row = Connection.objects.get()
    sent = {**POSTGRESQL, "config__host": "localhost", "secrets__password": "", "version": "1"}
    html = browser.post(change_path(row), sent).content.decode()
    assert "Enter this secret again." in html
    above = html.index("These settings decide where the secrets go.")
    assert html.index('id="details-heading"') < html.index('name="description"') < above < html.index("config__host")
    inputs = {found.get("name"): found for found in Page(html).inputs}
    assert inputs["secrets__password"].get("aria-invalid") == "true"
    row.refresh_from_db()
    assert row.config["host"] == "127.0.0.1"
    html = browser.post(f"{BASE}/{row.pk}/test/", sent).content.decode()
    assert "reentry_required" in html
    assert Event.objects.filter(action="connection.test").count() == 0
    sent |= {"secrets__password": "a new secret", "secrets__password-action": "replace"}
    assert browser.post(change_path(row), sent).status_code == 302


def test_a_change_of_an_old_version_is_refused_and_says_so(acme):
    row = acme.sqlite()
    browser = acme.browser("editor")
    sent = form_of(browser.get(change_path(row)).content.decode())
    connections.update(acme.actor(), row, Change(name="Changed by another"))
    html = browser.post(change_path(row), {**sent, "name": "Mine"}).content.decode()
    assert "Somebody changed this connection meanwhile" in html
    row.refresh_from_db()
    assert row.name == "Changed by another"


def test_a_test_of_what_is_typed_saves_nothing(acme):
    acme.sqlite("Shop")
    browser = acme.browser("editor")
    good = {"config__path": "shop.sqlite3", "config__retry__attempts": "1", "config__retry__delay": "0"}
    html = browser.post(f"{BASE}/add/sqlite/test/", good).content.decode()
    assert "The connection works" in html
    assert "<html" not in html
    bad = browser.post(f"{BASE}/add/sqlite/test/", {**good, "config__path": "gone.sqlite3"}).content.decode()
    assert "The connection does not work" in bad
    assert 'data-points-at="/config/path"' in bad
    missing = browser.post(f"{BASE}/add/sqlite/test/", {}).content.decode()
    assert "the form has errors" in missing
    assert Connection.objects.count() == 1
    assert StatusCheck.objects.count() == 0


def test_without_javascript_the_test_answers_on_the_page_with_the_form_kept(acme):
    sent = {**POSTGRESQL, "_test": "1"}
    html = acme.browser("editor").post(f"{BASE}/add/postgresql/", sent).content.decode()
    assert "The connection does not work" in html
    assert "type them again before you save" in html
    inputs = {found.get("name"): found for found in Page(html).inputs}
    assert inputs["name"].get("value") == "Warehouse"
    assert inputs["config__database"].get("value") == "sales"
    assert inputs["secrets__password"].get("value") is None
    assert not Connection.objects.exists()


def test_a_pasted_url_is_parsed_and_forgotten(acme):
    browser = acme.browser("editor")
    url = "postgresql://ann:s3cr3t-word@db.example.com:5433/sales"
    path = f"{BASE}/add/postgresql/parse-url/"
    answer = browser.post(path, json.dumps({"url": url}), content_type="application/json")
    assert answer.status_code == 200
    assert answer.json()["config"]["host"] == "db.example.com"
    assert answer.json()["secrets"] == ["password"]
    assert "s3cr3t-word" not in answer.content.decode()
    for body in ("", "[]", "{}", '{"url": 5}', '{"url": "mysql://x"}'):
        wrong = browser.post(path, body, content_type="application/json")
        assert wrong.status_code == 400
        assert wrong.json()["detail"]


def test_a_url_fills_the_form_without_javascript_and_its_password_is_not_echoed(acme):
    sent = {"name": "Kept", "url": "postgresql://ann:s3cr3t-word@db.example.com:5433/sales", "fill": "url"}
    html = acme.browser("editor").post(f"{BASE}/add/postgresql/", sent).content.decode()
    inputs = {found.get("name"): found for found in Page(html).inputs}
    assert inputs["config__host"].get("value") == "db.example.com"
    assert inputs["name"].get("value") == "Kept"
    assert "s3cr3t-word" not in html
    html = acme.browser("editor").post(f"{BASE}/add/postgresql/", {**sent, "url": "x://s3cr3t-word"}).content.decode()
    assert "s3cr3t-word" not in html


def test_pause_resume_clone_and_delete(acme):
    row = acme.sqlite()
    browser = acme.browser("editor")
    page = f"{BASE}/{row.pk}"
    assert browser.post(f"{page}/pause/", {"reason": "Moving house"}).status_code == 302
    assert "Moving house" in browser.get(f"{page}/change/").content.decode()
    assert "is paused" in browser.post(f"{page}/preview/", {"query__sql": "select 1", "limit": 1}).content.decode()
    assert "x" * 501 in browser.post(f"{page}/pause/", {"reason": "x" * 501}).content.decode()
    assert browser.post(f"{page}/resume/").status_code == 302
    response = browser.post(f"{page}/clone/", {"name": "Shop two"})
    copy = Connection.objects.get(slug="shop-two")
    assert response["Location"] == change_path(copy)
    assert "Delete Shop?" in browser.get(f"{page}/delete/").content.decode()
    assert browser.post(f"{page}/delete/").status_code == 302
    assert list(Connection.objects.all()) == [copy]


def test_bulk_checks_tell_what_was_checked_and_what_could_not_be(acme):
    good, paused, down = acme.sqlite("Good"), acme.sqlite("Paused"), acme.sqlite("Down")
    connections.pause(acme.actor(), paused, "no")
    connections.update(acme.actor(), down, Change(config={"path": "gone.sqlite3"}))
    sent = {"action": "check_now", "_selected_action": [str(row.pk) for row in (good, paused, down)]}
    html = acme.browser("analyst").post(f"{BASE}/", sent, follow=True).content.decode()
    assert "2 connections were checked." in html
    assert "These do not work: Down" in html
    assert "Paused: The connection paused is paused: no" in html
    assert StatusCheck.objects.count() == 2


def test_bulk_pauses_and_deletions_ask_first_and_leave_events(acme):
    rows = [acme.sqlite("One"), acme.sqlite("Two")]
    browser = acme.browser("editor")
    for action, event in (("pause", "connection.pause"), ("delete", "connection.delete")):
        sent: dict[str, Any] = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
        asked = browser.post(f"{BASE}/", sent).content.decode()
        assert "One" in asked
        assert "Two" in asked
        assert Event.objects.filter(action=event).count() == 0
        browser.post(f"{BASE}/", {**sent, "_confirmed": "1", "reason": "night"})
        assert Event.objects.filter(action=event).count() == 2
    assert not Connection.objects.exists()


def test_broken_rows_break_neither_the_list_nor_their_own_page(acme):
    gone, odd, locked = acme.sqlite("Gone"), acme.sqlite("Odd"), acme.sqlite("Locked")
    Connection.objects.filter(pk=gone.pk).update(source="removed_plugin")
    Connection.objects.filter(pk=odd.pk).update(config={"nonsense": [1]}, tags=["x"])
    Connection.objects.filter(pk=locked.pk).update(secrets_generation=3)
    for role in ("viewer", "editor"):
        browser = acme.browser(role)
        html = browser.get(f"{BASE}/").content.decode()
        for text in ("removed_plugin", "Unavailable", "Invalid", "Locked"):
            assert text in html
        for row in (gone, odd, locked):
            assert browser.get(change_path(row)).status_code == 200
            assert browser.get(f"{BASE}/{row.pk}/history/").status_code == 200
    browser = acme.browser("editor")
    for row in (gone, odd, locked):
        assert browser.get(f"{BASE}/{row.pk}/preview/").status_code == 200
    sent = {"name": "Gone, renamed", "version": "1"}
    assert browser.post(change_path(gone), sent).status_code == 302
    gone.refresh_from_db()
    assert gone.name == "Gone, renamed"


def _queries(tenant: Tenant) -> int:
    browser = tenant.browser("viewer")
    browser.get(f"{BASE}/")
    with CaptureQueriesContext(database) as caught:
        assert browser.get(f"{BASE}/").status_code == 200
    return len(caught)


def test_the_list_costs_the_same_number_of_queries_for_any_number_of_rows(acme):
    acme.sqlite("First")
    few = _queries(acme)
    for number in range(12):
        acme.sqlite(f"More {number}")
    assert _queries(acme) == few <= 16


@pytest.mark.parametrize("page", ["", "add/", "add/postgresql/", "{pk}/change/", "{pk}/history/", "{pk}/preview/"])
def test_looking_at_a_page_reaches_no_source(acme, monkeypatch, page):
    acme.browser("editor").post(f"{BASE}/add/postgresql/", POSTGRESQL)
    row = Connection.objects.get()

    def refuse(*_args: Any, **_kwargs: Any) -> Any:
        raise AssertionError("A page load must not start a job.")

    monkeypatch.setattr("connections.services.jobs.submit", refuse)
    assert acme.browser("editor").get(f"{BASE}/{page.format(pk=row.pk)}").status_code == 200
