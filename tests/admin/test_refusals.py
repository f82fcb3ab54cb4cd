"""What the admin refuses is refused whole, and goes on record as what the API refuses does."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.contrib.admin import site
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.test import Client

from connections.admin.tenant import TenantAdmin
from connections.models import APIKey, Connection, Event, Membership
from tests.admin.pages import rows
from tests.catalogue import Tenant, forget_events

LIST = "/admin/connections/connection/"


def denied(**where: Any) -> list[Event]:
    return list(Event.objects.filter(action="access.denied", **where).order_by("pk"))


# The record --------------------------------------------------------------------------------------------------------


def test_what_a_role_may_not_do_is_on_the_organisations_record(acme: Tenant) -> None:
    shop = acme.sqlite("Shop")
    assert acme.browser("viewer").post(f"{LIST}{shop.pk}/delete/").status_code == 403
    [event] = denied(organisation=acme.organisation)
    assert (event.result, event.code) == ("denied", "forbidden")
    assert event.detail == {"asked": "POST admin:connections_connection_delete"}
    assert (event.object_label, event.actor_label) == ("Shop", "acme-viewer")


@pytest.mark.parametrize("path", [f"{LIST}add/", "/admin/connections/membership/", "/admin/auth/user/"])
def test_a_page_for_others_leaves_an_event(acme: Tenant, path: str) -> None:
    assert acme.browser("viewer").get(path).status_code == 403
    assert len(denied(organisation=acme.organisation, code="forbidden")) == 1


@pytest.mark.parametrize("kind", ["connection", "membership", "apikey", "event"])
def test_an_attempt_at_anothers_is_on_ones_own_record_without_names_and_on_the_platforms_with_them(
    acme: Tenant, globex: Tenant, kind: str
) -> None:
    foreign = rows(globex, globex.sqlite("Secret thing"))[kind]
    forget_events()
    assert acme.browser("admin").get(f"/admin/connections/{kind}/{foreign.pk}/change/").status_code == 404
    [own] = denied(organisation=acme.organisation)
    assert own.detail == {"asked": f"GET admin:connections_{kind}_change"}
    assert "Secret" not in own.object_label
    [platforms] = denied(organisation=None)
    assert platforms.detail == {**own.detail, "from": "acme", kind: str(foreign.pk)}
    assert denied(organisation=globex.organisation) == []


def test_switching_to_anothers_organisation_is_on_record(acme: Tenant, globex: Tenant) -> None:
    assert acme.browser("admin").post("/admin/organisation/", {"organisation": "globex"}).status_code == 404
    assert denied(organisation=None)[0].detail["organisation"] == "globex"
    assert acme.browser("admin").post("/admin/organisation/", {"organisation": "\0" * 9}).status_code == 404


def test_what_is_no_id_is_no_attempt_at_anothers(acme: Tenant) -> None:
    assert acme.browser("admin").get("/admin/connections/membership/nonsense/change/").status_code == 404
    assert acme.browser("admin").get("/admin/nonsense").status_code == 404
    assert denied() == []


# Ids in bodies, queries and stock views ----------------------------------------------------------------------------


class Raw(TenantAdmin):
    """A page as somebody may write it later: a foreign row is entered by its id."""

    raw_id_fields = ("membership", "organisation")


class Completed(TenantAdmin):
    """The same with fields that complete what is typed."""

    autocomplete_fields = ("membership",)


@pytest.mark.parametrize("page", [Raw, Completed])
def test_a_foreign_id_in_a_raw_or_completed_field_is_a_form_error(
    page: type[TenantAdmin], acme: Tenant, globex: Tenant, rf: Any
) -> None:
    foreign = Membership.objects.filter(organisation=globex.organisation)[0]
    own = Membership.objects.filter(organisation=acme.organisation)[0]
    request = rf.get("/")
    request.user, request.session = acme.people["admin"], {}
    form: Any = page(APIKey, site).get_form(request, fields=["membership", "name", "role"])
    for member, wrong in ((foreign, {"membership"}), (own, set())):
        bound = form({"membership": str(member.pk), "name": "x", "role": "viewer"})
        assert set(bound.errors) == wrong


@pytest.mark.parametrize("model", ["connection", "apikey", "membership", "organisation", "user"])
@pytest.mark.parametrize("page", ["", "&page=2", "&page=999999"])
def test_nothing_completes_what_is_typed(acme: Tenant, globex: Tenant, model: str, page: str) -> None:
    app = "auth" if model == "user" else "connections"
    query = f"app_label={app}&model_name={model}&field_name=membership&term=g{page}"
    answer = acme.browser("admin").get(f"/admin/autocomplete/?{query}")
    assert answer.status_code == 404
    assert b"globex" not in answer.content


def test_no_shortcut_leads_to_a_row_by_its_type_and_id(acme: Tenant, globex: Tenant) -> None:
    foreign = rows(globex, globex.sqlite())
    for row in (*foreign.values(), globex.organisation, globex.people["viewer"]):
        kind = ContentType.objects.get_for_model(type(row))
        for who in ("viewer", "admin"):
            assert acme.browser(who).get(f"/admin/r/{kind.pk}/{row.pk}/").status_code == 404


def test_entries_of_djangos_own_log_show_nothing_of_anothers(acme: Tenant, globex: Tenant) -> None:
    foreign = globex.sqlite("Secret thing")
    LogEntry.objects.create(
        user=acme.people["admin"],
        content_type=ContentType.objects.get_for_model(Connection),
        object_id=str(foreign.pk),
        object_repr="Secret thing",
        action_flag=ADDITION,
    )
    browser = acme.browser("admin")
    for path in ("/admin/", "/admin/connections/", LIST):
        assert b"Secret thing" not in browser.get(path, follow=True).content


@pytest.mark.parametrize("kind", ["connection", "membership", "apikey"])
def test_popups_and_links_that_fill_forms_bring_nothing_of_anothers(acme: Tenant, globex: Tenant, kind: str) -> None:
    foreign = rows(globex, globex.sqlite("Secret thing"))
    browser = acme.browser("admin")
    for query in (
        f"_popup=1&_to_field=id&id={foreign[kind].pk}",
        f"organisation={globex.organisation.pk}&membership={foreign['membership'].pk}&name=Filled",
        f"_changelist_filters=organisation%3D{globex.organisation.pk}",
        f"_to_field=organisation&_popup=1&next=/admin/connections/{kind}/{foreign[kind].pk}/change/",
    ):
        for page in ("", "add/"):
            answer = browser.get(f"/admin/connections/{kind}/{page}?{query}")
            assert answer.status_code in (200, 302, 400), (page, query)
            body = answer.content.decode()
            for told in ("Secret thing", "globex", str(foreign["membership"].pk), 'value="Filled"'):
                assert told not in body, (page, query, told)


@pytest.mark.parametrize("name", ["organisation", "organisation_id", "org", "created_by", "id", "pk", "access_version"])
def test_a_form_with_more_in_it_moves_no_connection(acme: Tenant, globex: Tenant, name: str) -> None:
    shop = acme.sqlite("Shop")
    sent = {"name": "Shop", "config.path": "shop.sqlite3", name: str(globex.organisation.pk)}
    acme.browser("admin").post(f"{LIST}{shop.pk}/change/", sent)
    before = (shop.pk, shop.organisation_id, shop.created_by_id)
    shop.refresh_from_db()
    assert (shop.pk, shop.organisation_id, shop.created_by_id) == before
    assert not Connection.objects.filter(organisation=globex.organisation).exists()


def test_a_job_of_another_organisation_is_not_stopped_and_not_told_of(acme: Tenant, globex: Tenant) -> None:
    answers = [acme.browser("analyst").post(f"{LIST}cancel/{job}/") for job in ("their-request", uuid.uuid4().hex)]
    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 2


def test_the_same_question_is_answered_for_the_organisation_that_one_is_in(acme: Tenant, globex: Tenant) -> None:
    """Names, slugs and pages are the same in both; what a browser gets is what its own organisation has."""
    for tenant, rows_ in ((acme, 1), (globex, 2)):
        tenant.sqlite("Shop", rows=rows_)
    for tenant, other in ((acme, globex), (globex, acme)):
        client: Client = tenant.browser("admin")
        own = Connection.objects.get(organisation=tenant.organisation)
        foreign = Connection.objects.get(organisation=other.organisation)
        page = client.get(LIST).content.decode()
        assert str(own.pk) in page
        assert str(foreign.pk) not in page
