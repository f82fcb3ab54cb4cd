"""The list of events in the admin as a file: what is in it, and who gets it."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from connections.models import Event
from connections.services import exporting
from tests.catalogue import Tenant

pytestmark = pytest.mark.django_db
LIST = "/admin/connections/event/"
EXPORT = f"{LIST}export/"


@pytest.fixture
def busy(acme: Tenant) -> Tenant:
    for name in ("Shop", "Depot"):
        acme.sqlite(name)
    return acme


def export(tenant: Tenant, query: str = "", form: str = "csv") -> list[dict[str, str]]:
    answer: Any = tenant.browser("admin").post(f"{EXPORT}{query}", {"format": form})
    assert answer.status_code == 200, answer.content
    assert answer["Content-Disposition"] == f'attachment; filename="{tenant.slug}-events.{form}"'
    text = b"".join(answer.streaming_content).decode()
    if form == "ndjson":
        return [json.loads(line) for line in text.splitlines()]
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("form", exporting.FORMATS)
def test_the_list_is_had_as_a_file(busy: Tenant, form: str) -> None:
    own = Event.objects.filter(organisation=busy.organisation)
    before = {str(pk) for pk in own.values_list("pk", flat=True)}
    found = export(busy, form=form)
    assert {row["id"] for row in found} == before | {str(own.get(action="record.export").pk)}
    assert found[0]["action"] == "record.export"


def test_the_page_has_a_button_for_each_format_under_the_same_filter(busy: Tenant) -> None:
    html = busy.browser("admin").get(f"{LIST}?action=connection.create&q=Shop&o=1&p=1").content.decode()
    assert 'action="/admin/connections/event/export/?action=connection.create&amp;q=Shop"' in html
    assert "Export as CSV" in html
    assert "Export as NDJSON" in html


def test_what_is_filtered_and_searched_is_all_that_is_in_it_and_the_record_says_so(busy: Tenant) -> None:
    found = export(busy, "?action=connection.create&q=Shop&o=-1&p=7")
    assert [(row["action"], row["object"]) for row in found] == [("connection.create", "Shop")]
    told = Event.objects.get(action="record.export").detail
    assert told == {"format": "csv", "filter": "action=connection.create&q=Shop"}


def test_one_organisations_administrators_get_nothing_of_another(busy: Tenant, globex: Tenant) -> None:
    busy.sqlite("Secret plans")
    text = json.dumps(export(globex) + export(globex, f"?q={busy.organisation.pk}") + export(globex, "?q=Secret"))
    assert "Secret plans" not in text
    assert busy.slug not in text


def test_who_may_not_see_the_list_gets_no_file(busy: Tenant) -> None:
    for role in ("viewer", "analyst", "editor"):
        assert busy.browser(role).post(EXPORT, {"format": "csv"}).status_code == 403
    assert not Event.objects.filter(action="record.export").exists()


def test_only_a_press_of_the_button_exports(busy: Tenant) -> None:
    browser = busy.browser("admin")
    assert browser.get(f"{EXPORT}?format=csv").status_code == 405
    assert browser.post(EXPORT, {"format": "xlsx"})["Location"] == LIST
    assert browser.post(f"{EXPORT}?at__gte=nonsense", {"format": "csv"})["Location"] == LIST
    assert not Event.objects.filter(action="record.export").exists()


def test_a_second_export_at_once_is_told_to_wait(busy: Tenant) -> None:
    under_way = exporting.export(busy.actor("admin"), "csv")
    answer = busy.browser("admin").post(EXPORT, {"format": "csv"}, follow=True)
    assert "is being exported already" in answer.content.decode()
    under_way.close()


def test_formulas_are_escaped(acme: Tenant) -> None:
    acme.sqlite("=1+1")
    assert [row["object"] for row in export(acme, "?action=connection.create")] == ["'=1+1"]
