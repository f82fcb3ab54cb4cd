"""References in the admin: the platform allows places, an editor names one in place of a secret."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from connections.models import Connection, ConnectionSecrets, Event, Organisation
from tests.admin.pages import Page
from tests.admin.test_editing import BASE, POSTGRESQL, change_path
from tests.catalogue import Tenant

REFERRING = {**POSTGRESQL, "secrets__password": "", "secrets__password-ref": "env:ACME_PASSWORD"}


@pytest.fixture
def allowed(acme: Tenant, settings: Any) -> Tenant:
    settings.CATALOG_REFERENCES = ["env:ACME_*"]
    acme.organisation.references = ["env:ACME_*"]
    acme.organisation.save()
    return acme


def configured(superuser: Any, tenant: Tenant, references: str) -> Any:
    client = Client()
    client.force_login(superuser, backend="connections.admin.backend.MembershipBackend")
    url = reverse("admin:connections_organisation_change", args=[tenant.organisation.pk])
    return client.post(url, {"name": "Acme Air", "references": references})


def test_the_platform_says_where_an_organisation_may_keep_secrets(acme: Tenant, superuser: Any) -> None:
    assert configured(superuser, acme, "env:ACME_*\n\nvault:secret/acme/*").status_code == 302
    assert Organisation.objects.get(slug="acme").references == ["env:ACME_*", "vault:secret/acme/*"]
    (event,) = Event.objects.filter(action="organisation.change")
    assert event.changes["references"] == [[], ["env:ACME_*", "vault:secret/acme/*"]]


def test_a_pattern_that_nobody_can_read_is_refused(acme: Tenant, superuser: Any) -> None:
    answer = configured(superuser, acme, "env:*_PASSWORD")
    assert answer.status_code == 200
    assert "is no pattern of references" in answer.content.decode()
    assert Organisation.objects.get(slug="acme").references == []


def test_without_leave_no_place_is_offered(acme: Tenant) -> None:
    html = acme.browser("editor").get(f"{BASE}/add/postgresql/").content.decode()
    assert "secrets__password" in html
    assert "secrets__password-ref" not in html


def test_an_editor_names_a_place_and_sees_it_on_the_form_and_in_the_history(allowed: Tenant) -> None:
    browser = allowed.browser("editor")
    html = browser.get(f"{BASE}/add/postgresql/").content.decode()
    assert "secrets__password-ref" in html
    answer = browser.post(f"{BASE}/add/postgresql/", REFERRING)
    assert answer.status_code == 302, answer.content.decode()
    row = Connection.objects.get()
    assert ConnectionSecrets.objects.get().references == {"password": "env:ACME_PASSWORD"}
    html = browser.get(change_path(row)).content.decode()
    assert "Kept at <code>env:ACME_PASSWORD</code>." in html
    history = allowed.browser("admin").get(f"{BASE}/{row.pk}/history/").content.decode()
    assert "env:ACME_PASSWORD" in history


def test_a_place_that_is_not_allowed_is_an_error_on_its_input(allowed: Tenant) -> None:
    sent = {**REFERRING, "secrets__password-ref": "env:GLOBEX_PASSWORD"}
    html = allowed.browser("editor").post(f"{BASE}/add/postgresql/", sent).content.decode()
    assert "This reference may not be used." in html
    inputs = {found.get("name"): found for found in Page(html).inputs}
    assert inputs["secrets__password"].get("aria-invalid") == "true"
    assert inputs["secrets__password-ref"].get("value") == "env:GLOBEX_PASSWORD"
    assert not Connection.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_test_without_a_value_says_where_it_was_sought(allowed: Tenant) -> None:
    html = allowed.browser("editor").post(f"{BASE}/add/postgresql/test/", REFERRING).content.decode()
    assert "no variable ACME_PASSWORD" in html
