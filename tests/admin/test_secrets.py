"""No page of the admin holds a secret, and every page holds to the strict policy."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from connections.models import Connection, Event, StatusCheck
from connections.services import connections
from connections.services.connections import Change
from tests.admin.pages import Page, address, patterns, rows
from tests.admin.test_editing import BASE, POSTGRESQL, change_path
from tests.catalogue import Tenant

CANARY = "C4nary-<q>'\"-word"
SPELLINGS = (CANARY, "C4nary", "&lt;q&gt;&#x27;&quot;-word")


def hold_no_canary(text: str, where: str) -> None:
    for spelling in SPELLINGS:
        assert spelling not in text, where


@pytest.fixture
def warehouse(acme: Tenant) -> Connection:
    browser = acme.browser("editor")
    response = browser.post(f"{BASE}/add/postgresql/", {**POSTGRESQL, "secrets__password": CANARY})
    assert response.status_code == 302, response.content.decode()
    return Connection.objects.get()


def _everything(tenant: Tenant, row: Connection, role: str) -> Any:
    """Every page of the role, and odd ways to ask for one."""
    browser = tenant.browser(role)
    found = rows(tenant, row)
    for name, route in patterns():
        if "logout" not in name and "delete" not in name:
            path = address(name, route, found)
            yield path, browser.get(path, follow=True)
    for query in ("_popup=1", "_changelist_filters=q%3Dx", "_to_field=id&_popup=1", "_saveasnew=1"):
        yield query, browser.get(f"{change_path(row)}?{query}")
    yield "delete", browser.get(f"{BASE}/{row.pk}/delete/")


@pytest.mark.parametrize("role", ["viewer", "analyst", "editor", "admin"])
def test_no_page_holds_a_stored_secret(acme, warehouse, role):
    acme.browser("editor").post(f"{BASE}/{warehouse.pk}/check/")
    seen = 0
    for where, response in _everything(acme, warehouse, role):
        hold_no_canary(response.content.decode(errors="replace"), where)
        seen += response.status_code == 200
    assert seen > 5


def test_a_typed_secret_is_not_echoed_by_any_answer(acme, warehouse):
    browser = acme.browser("editor")
    typed = {**POSTGRESQL, "secrets__password": CANARY, "secrets__password-action": "replace"}
    wrong = {**typed, "name": "", "config__port": "x"}
    for path in (f"{BASE}/add/postgresql/", change_path(warehouse)):
        for sent in (wrong, {**typed, "_test": "1"}, {**wrong, "_test": "1"}, {**typed, "slug": "warehouse"}):
            response = browser.post(path, {**sent, "version": "99"})
            hold_no_canary(response.content.decode(), path)
            inputs = [found for found in Page(response.content.decode()).inputs if found.get("type") == "password"]
            assert inputs or response.status_code == 302
            assert all(found.get("value") is None for found in inputs)
    for path in (f"{BASE}/add/postgresql/test/", f"{BASE}/{warehouse.pk}/test/"):
        hold_no_canary(browser.post(path, typed).content.decode(), path)
    # In the wrong input: a plain setting that looks wrong is shown again, a mask is refused and not stored.
    masked = {**typed, "secrets__password": "********"}
    assert browser.post(f"{BASE}/add/postgresql/", masked).status_code == 200


def test_secret_inputs_are_told_to_browsers_as_such(acme, warehouse):
    for path in (f"{BASE}/add/postgresql/", change_path(warehouse)):
        response = acme.browser("editor").get(path)
        inputs = [found for found in Page(response.content.decode()).inputs if found.get("type") == "password"]
        assert inputs
        for found in inputs:
            assert found.get("autocomplete") == "new-password"
            assert found.get("spellcheck") == "false"
            assert found.get("value") is None
        assert response["Cache-Control"] == "no-store"


def test_the_record_the_log_and_the_dump_hold_names_only(acme, warehouse, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    browser = acme.browser("editor")
    browser.post(f"{BASE}/{warehouse.pk}/check/")
    browser.post(change_path(warehouse), {**POSTGRESQL, "secrets__password": CANARY + "2", "version": "1"})
    call_command("dumpdata")
    dump = capsys.readouterr().out
    hold_no_canary(dump, "dumpdata")
    hold_no_canary(caplog.text, "log")
    hold_no_canary(str(list(Event.objects.values())), "events")
    hold_no_canary(str(list(StatusCheck.objects.values())), "checks")
    event = Event.objects.get(action="connection.create")
    assert event.changes["secrets"] == ["password"]


def _pages(tenant: Tenant, row: Connection, superuser: Any) -> Any:
    yield "/admin/login/", Client().get("/admin/login/")
    for role in ("viewer", "admin"):
        yield from _everything(tenant, row, role)
    browser = tenant.browser("editor")
    yield "invalid", browser.post(f"{BASE}/add/postgresql/", {"name": ""})
    yield "tested", browser.post(f"{BASE}/add/postgresql/", {**POSTGRESQL, "_test": "1"})
    yield "bulk", browser.post(f"{BASE}/", {"action": "pause", "_selected_action": [str(row.pk)]})
    yield "key", tenant.browser("admin").post("/admin/connections/apikey/add/", {"name": "x", "role": "viewer"})
    platform = Client()
    platform.force_login(superuser, backend="connections.admin.backend.MembershipBackend")
    for name in ("auth/user/", "auth/user/add/", "connections/organisation/", "connections/organisation/add/"):
        yield name, platform.get(f"/admin/{name}")
    yield "user", platform.get(f"/admin/auth/user/{superuser.pk}/change/")
    yield "password", platform.get(f"/admin/auth/user/{superuser.pk}/password/")


def test_every_page_holds_to_the_strict_policy(acme, superuser):
    row = acme.sqlite()
    connections.update(acme.actor(), row, Change(tags=["a"]))
    sql = {"limit": 5, "query__sql": "select * from orders"}
    pages = [*_pages(acme, row, superuser)]
    pages.append(("preview", acme.browser("analyst").post(f"{BASE}/{row.pk}/preview/", sql)))
    checked = 0
    for where, response in pages:
        policy = response.headers.get("Content-Security-Policy", "")
        assert "default-src 'none'" in policy, where
        assert "frame-ancestors 'none'" in policy, where
        assert "unsafe" not in policy, where
        assert response.headers["X-Frame-Options"] == "DENY", where
        assert response.headers["Cache-Control"] == "no-store", where
        if response.headers["Content-Type"].startswith("text/html") and response.status_code == 200:
            assert Page(response.content.decode()).inline == [], where
            checked += 1
    assert checked > 25
