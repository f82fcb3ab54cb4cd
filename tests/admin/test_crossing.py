"""A page that was opened in one organisation changes nothing in another one."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from connections.adapters.registry import registry
from connections.admin.crossing import FIELD, FREE, HEADER
from connections.admin.organisation import SESSION_KEY
from connections.models import APIKey, Connection, Event, Membership
from connections.services import connections
from connections.services.connections import Change
from connections.services.system_checks import check_pages
from connections.testing.leaks.samples import form_data
from tests.admin import pages
from tests.catalogue import Tenant

LIST = "/admin/connections/connection/"
ADD = f"{LIST}add/postgresql/"
BILLING = {"host": "db.globex.example", "port": 5432, "database": "billing", "user": "reader"}
SENT_IN_FORMS = re.compile(r'<form[^>]*method="post".*?</form>', re.DOTALL)


def filled() -> dict[str, Any]:
    """The form of a new connection, with a secret of Globex's."""
    return {"name": "Billing", **form_data(registry["postgresql"].config_class, BILLING, {"password": "of-globex"})}


def logged_in(person: Any, *, strict: bool = False) -> Client:
    browser = Client(enforce_csrf_checks=strict)
    browser.force_login(person, backend="connections.admin.backend.MembershipBackend")
    return browser


def hidden(page: Any) -> dict[str, str]:
    """What the first form of a page that posts says of itself."""
    inputs = pages.Page(page.content.decode()).inputs
    names = ("csrfmiddlewaretoken", FIELD)
    return {name: str(next(found["value"] for found in inputs if found.get("name") == name)) for name in names}


@pytest.fixture
def both(acme: Tenant, globex: Tenant) -> Any:
    """Globex's administrator, whom Acme has made one of its own."""
    Membership.objects.create(organisation=acme.organisation, user=globex.people["admin"], role="admin")
    return globex.people["admin"]


def test_a_membership_that_comes_later_moves_nobody(acme: Tenant, globex: Tenant) -> None:
    editor = globex.people["editor"]
    browser = logged_in(editor)
    assert "Globex Travel" in browser.get(ADD).content.decode()
    assert browser.session[SESSION_KEY] == "globex"
    acme.api("admin").post("members/", {"email": editor.email, "role": "editor"})
    assert browser.post(ADD, filled()).status_code == 302
    assert logged_in(editor).post(ADD, {**filled(), "name": "After a new login"}).status_code == 302
    assert set(Connection.objects.values_list("organisation__slug", flat=True)) == {"globex"}


def test_the_choice_stays_when_the_organisation_that_one_began_in_comes_back(globex: Tenant, both: Any) -> None:
    membership = Membership.objects.get(user=both, organisation=globex.organisation)
    membership.delete()
    browser = logged_in(both)
    assert "Acme Air" in browser.get(LIST).content.decode()
    membership.save(force_insert=True)
    browser.get(LIST)
    assert browser.session[SESSION_KEY] == "acme"


def test_each_form_of_each_page_says_whose_page_it_is_on(globex: Tenant, both: Any) -> None:
    browser = logged_in(both)
    row = _with_secret(globex)
    found, seen = pages.rows(globex, row), 0
    for name, route in pages.patterns():
        answer = browser.get(pages.address(name, route, found))
        if answer.status_code != 200 or answer.streaming or "text/html" not in answer["Content-Type"]:
            continue
        for form in SENT_IN_FORMS.findall(answer.content.decode()):
            assert f'name="{FIELD}" value="{globex.organisation.pk}"' in form, (name, form)
            seen += 1
    assert seen > 30


def test_nothing_that_a_page_of_another_organisation_sends_is_done(acme: Tenant, globex: Tenant, both: Any) -> None:
    row = _with_secret(acme)
    browser = logged_in(both)
    assert browser.post("/admin/organisation/", {"organisation": "acme"}).status_code == 302
    found = pages.rows(acme, row)
    buttons = {"action": "delete", "_selected_action": str(row.pk), "_confirmed": "1", "post": "yes"}
    sent = {
        **filled(),
        **buttons,
        "role": "admin",
        "email": "viewer@globex.example",
        FIELD: str(globex.organisation.pk),
    }
    before = _state()
    for name, route in pages.patterns():
        if name in FREE or name == "login":
            continue
        answer = browser.post(pages.address(name, route, found), sent)
        assert answer.status_code == 409, name
        shown = answer.content.decode()
        assert "Nothing was done" in shown
        assert "This page was opened in Globex Travel. You are in Acme Air now." in shown
    for button in ("_stage", "_promote", "_rollback", "_discard", "_test", "_save"):
        path = reverse("admin:connections_connection_change", args=[row.pk])
        assert browser.post(path, {**sent, button: "1"}).status_code == 409
    assert _state() == before


def test_whoever_switches_back_sends_the_page_again_and_it_is_saved_where_it_was_opened(both: Any) -> None:
    browser = logged_in(both)
    opened = hidden(browser.get(ADD))
    browser.post("/admin/organisation/", {"organisation": "acme"})
    assert browser.post(ADD, {**filled(), **opened}).status_code == 409
    assert not Connection.objects.exists()
    browser.post("/admin/organisation/", {"organisation": "globex", **opened})
    assert browser.post(ADD, {**filled(), **opened}).status_code == 302
    assert Connection.objects.get().organisation.slug == "globex"


def test_a_form_that_does_not_say_whose_page_it_is_on_is_refused(globex: Tenant) -> None:
    browser = logged_in(globex.people["editor"], strict=True)
    opened = hidden(browser.get(ADD))
    unsaid = browser.post(ADD, {**filled(), **opened, FIELD: ""})
    assert unsaid.status_code == 409
    assert "another organisation" in unsaid.content.decode()
    assert not Connection.objects.exists()
    assert browser.post(ADD, {**filled(), **opened}).status_code == 302


def test_scripts_are_told_in_the_form_that_they_ask_for(acme: Tenant, globex: Tenant, both: Any) -> None:
    browser = logged_in(both)
    browser.get(LIST)
    elsewhere = {FIELD: str(acme.organisation.pk)}
    part = browser.post(f"{ADD}test/", {**filled(), **elsewhere}, headers={"X-Fragment": "1"})
    assert part.status_code == 409
    assert "outcome-failed" in part.content.decode()
    assert "<html" not in part.content.decode()
    path = reverse("admin:connections_connection_parse_url", args=["postgresql"])
    url = {"url": "postgresql://reader@db.example.com/sales"}
    refused = browser.post(path, url, "application/json", headers={HEADER: str(acme.organisation.pk)})
    assert (refused.status_code, list(refused.json())) == (409, ["detail"])
    own = browser.post(path, url, "application/json", headers={HEADER: str(globex.organisation.pk)})
    assert own.status_code == 200


def test_an_organisation_that_one_left_is_not_named(acme: Tenant, globex: Tenant, both: Any) -> None:
    browser = logged_in(both)
    opened = hidden(browser.get(ADD))
    Membership.objects.filter(user=both, organisation=globex.organisation).delete()
    answer = browser.post(ADD, {**filled(), **opened})
    assert answer.status_code == 409
    assert "Globex" not in answer.content.decode()
    assert not Connection.objects.filter(organisation=acme.organisation).exists()


def _with_secret(tenant: Tenant) -> Connection:
    return connections.create(
        tenant.actor("editor"), "postgresql", Change(name="Kept", config=BILLING, secrets={"password": "kept"})
    )


def _state() -> list[Any]:
    rows = [sorted(model.objects.values_list("pk", flat=True)) for model in (Connection, Membership, APIKey, Event)]
    return [*rows, sorted(Connection.objects.values_list("pk", "version", "paused_at"))]


def test_settings_without_the_tag_that_says_so_are_an_error(settings: Any) -> None:
    assert check_pages(None) == []
    options = {**settings.TEMPLATES[0]["OPTIONS"], "builtins": []}
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "OPTIONS": options}]
    assert [found.id for found in check_pages(None)] == ["catalog.E024"]
