"""Rows that cannot be used any more, in the admin and the API: what is wrong is said, and how it is mended."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.urls import reverse

from connections.models import Connection, ConnectionSecrets
from connections.services import connections
from connections.services.connections import Change
from tests.catalogue import CANARY, Tenant

GONE = ["a/b", "", "old source", "<img src=x onerror=alert(1)>", "%2e%2e", "never-there"]
PAGES = ("change", "preview", "history", "expiry", "pause", "clone", "delete")


@pytest.fixture
def row(acme: Tenant) -> Connection:
    config = {"host": "db.example.com", "database": "sales", "user": "reader"}
    change = Change(name="Warehouse", config=config, secrets={"password": CANARY})
    return connections.create(acme.actor(), "postgresql", change)


def page(name: str, row: Connection) -> str:
    return reverse(f"admin:connections_connection_{name}", args=[row.pk])


@pytest.mark.parametrize("source", GONE)
def test_a_row_of_a_source_that_is_gone_is_shown_as_broken_with_what_to_do(
    acme: Tenant, row: Connection, source: str
) -> None:
    Connection.objects.filter(pk=row.pk).update(source=source)
    browser = acme.browser("editor")
    for name in PAGES:
        answer = browser.get(page(name, row))
        assert answer.status_code == 200, name
        assert "<img src=x" not in answer.content.decode()
    shown = unescape(browser.get(page("change", row)).content.decode())
    assert f"The source {source} is not installed, or cannot be loaded. Ask the platform's operators" in shown
    assert "delete the connection, and make one of another source." in shown
    listed = browser.get(reverse("admin:connections_connection_changelist"))
    assert listed.status_code == 200
    assert "Unavailable" in listed.content.decode() or "Locked" in listed.content.decode()
    sent = {"name": "Renamed", "environment": "", "tags": "", "description": "", "version": "1"}
    assert browser.post(page("change", row), sent).status_code == 302
    assert Connection.objects.get(pk=row.pk).name == "Renamed"
    assert browser.post(page("delete", row), {"post": "yes"}).status_code == 302
    assert not Connection.objects.filter(pk=row.pk).exists()


def warning(acme: Tenant) -> tuple[str, dict[str, Any]]:
    found = acme.api("viewer").get("connections/warehouse/").json()
    assert acme.api("viewer").get("connections/").json()["results"][0]["warnings"] == found["warnings"]
    return found["state"], found["warnings"][0]


def test_the_api_says_why_a_row_is_locked_invalid_or_unavailable(acme: Tenant, row: Connection) -> None:
    assert acme.api("viewer").get("connections/warehouse/").json()["warnings"] == []
    Connection.objects.filter(pk=row.pk).update(
        config={**row.config, "retry": {"attempts": 99}}, paused_at=row.created_at
    )
    state, found = warning(acme)
    assert (state, found["code"]) == ("invalid", "invalid")
    assert found["message"] == "The stored settings no longer fit this source. Open the connection and save it again."
    Connection.objects.filter(pk=row.pk).update(config=row.config, source="gone", paused_at=None)
    state, found = warning(acme)
    assert (state, found["code"]) == ("unavailable", "unavailable")
    assert "The source gone is not installed" in found["message"]
    Connection.objects.filter(pk=row.pk).update(source="postgresql")
    ConnectionSecrets.objects.filter(connection=row).delete()
    state, found = warning(acme)
    assert (state, found["code"]) == ("locked", "locked")
    assert found["message"].endswith("Enter the secrets again.")


def test_opening_a_row_whose_settings_no_longer_fit_says_so_and_not_that_nothing_was_saved(
    acme: Tenant, row: Connection
) -> None:
    Connection.objects.filter(pk=row.pk).update(config={**row.config, "port": "no"})
    browser = acme.browser("editor")
    opened = browser.get(page("change", row)).content.decode()
    assert "These settings no longer fit their source. Correct what is marked below, and save." in opened
    assert "Nothing was saved" not in opened
    sent = browser.post(page("change", row), {"name": "", "version": "1"}).content.decode()
    assert "Nothing was saved. Please correct what is marked below." in sent


def test_a_row_whose_settings_no_longer_fit_is_told_so_once_on_each_page(acme: Tenant, row: Connection) -> None:
    Connection.objects.filter(pk=row.pk).update(config={**row.config, "retry": {"attempts": 99}})
    for role, name in (("editor", "change"), ("editor", "preview"), ("editor", "history"), ("viewer", "change")):
        shown = acme.browser(role).get(page(name, row)).content.decode()
        assert len(re.findall("no longer fit", shown)) == 1, (role, name)
        on_its_form = (role, name) == ("editor", "change")
        assert ("Open the connection and save it again" in shown) is not on_its_form, (role, name)
    sent = {"name": "", "version": "1"}
    refused = acme.browser("editor").post(page("change", row), sent).content.decode()
    assert "Open the connection and save it again" not in refused


def test_new_secrets_of_a_row_whose_settings_no_longer_fit_are_not_told_to_be_lost(
    acme: Tenant, row: Connection
) -> None:
    Connection.objects.filter(pk=row.pk).update(config={**row.config, "retry": {"attempts": 99}})
    sent = {"_stage": "1", "version": "1", "new-secrets__password-action": "replace", "new-secrets__password": "new"}
    shown = acme.browser("editor").post(page("change", row), sent).content.decode()
    assert "Nothing was saved" not in shown
    assert "no longer fit" in shown
