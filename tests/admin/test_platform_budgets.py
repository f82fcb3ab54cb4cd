"""Budgets of an organisation, set by the platform in the admin."""

from __future__ import annotations

from typing import Any

from django.test import Client
from django.urls import reverse

from connections.models import Event, Organisation
from connections.services import budgets
from tests.catalogue import Tenant


def test_a_superuser_sets_budgets_by_number_inputs_and_it_is_on_record(acme: Tenant, superuser: Any) -> None:
    client = Client()
    client.force_login(superuser, backend="connections.admin.backend.MembershipBackend")
    url = reverse("admin:connections_organisation_change", args=[acme.organisation.pk])
    page = client.get(url).content.decode()
    assert 'name="preview_rows"' in page
    answer = client.post(url, {"name": "Acme Air", "preview_rows": "500", "preview_timeout": "7.5"})
    assert answer.status_code == 302, answer.content
    organisation = Organisation.objects.get(pk=acme.organisation.pk)
    assert organisation.budgets == {"preview_rows": 500, "preview_timeout": 7.5}
    assert budgets.preview(organisation).rows == 500
    assert Event.objects.filter(action="organisation.change", changes__has_key="budgets").exists()


def test_an_organisation_that_a_superuser_makes_is_on_record(superuser: Any) -> None:
    client = Client()
    client.force_login(superuser, backend="connections.admin.backend.MembershipBackend")
    answer = client.post(reverse("admin:connections_organisation_add"), {"name": "New", "slug": "new"})
    assert answer.status_code == 302, answer.content
    assert Event.objects.filter(action="organisation.create", organisation__slug="new").count() == 1
