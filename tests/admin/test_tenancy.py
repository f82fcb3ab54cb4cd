"""The admin shows an organisation its own rows, and nobody's else."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.contrib.admin import site
from django.contrib.auth.models import Permission
from django.test import Client, RequestFactory
from django.urls import reverse

from connections.admin.organisation import SESSION_KEY
from connections.admin.tenant import OwnRelatedListFilter, PlatformAdmin, TenantAdmin, own_rows
from connections.models import APIKey, Connection, Event, Membership, Organisation
from connections.services import connections, tenancy
from connections.services.connections import Change
from tests.admin.pages import address, patterns, registered, rows
from tests.catalogue import Tenant

LIST = "/admin/connections/connection/"


def test_every_page_over_rows_inherits_a_base_that_scopes():
    assert len(registered()) == 6
    for model_admin in registered():
        assert isinstance(model_admin, TenantAdmin | PlatformAdmin), model_admin


def test_no_address_over_a_row_answers_for_another_organisations(acme, globex):
    connection = globex.sqlite("Secret thing")
    foreign = rows(globex, connection)
    browser = acme.browser("admin")
    tried = 0
    for name, route in patterns():
        if "<uuid:pk>" not in route and "<path:object_id>" not in route:
            continue
        if route.startswith(("auth/", "connections/organisation/")):
            continue
        path = address(name, route, foreign)
        for method in (browser.get, browser.post):
            response = method(path, follow=True)
            assert response.status_code == 404, (name, path, response.status_code)
            assert b"Secret thing" not in response.content
            tried += 1
    assert tried >= 30
    connection.refresh_from_db()
    assert connection.paused_at is None
    assert Membership.objects.filter(organisation=globex.organisation).count() == 4
    assert APIKey.objects.filter(organisation=globex.organisation, revoked_at=None).count() == 4


def test_a_foreign_id_answers_as_a_random_one(acme, globex):
    foreign = globex.sqlite()
    browser = acme.browser("editor")
    one = browser.get(f"{LIST}{foreign.pk}/change/")
    other = browser.get(f"{LIST}{uuid.uuid4()}/change/")
    assert (one.status_code, one.content) == (other.status_code, other.content)


def test_the_list_its_search_and_its_filters_know_the_own_rows_only(acme, globex):
    acme.sqlite("Shop")
    other = globex.sqlite("Warehouse")
    connections.update(globex.actor(), other, Change(tags=["their-tag"], environment="their-environment"))
    html = acme.browser("viewer").get(LIST).content.decode()
    assert "Shop" in html
    for text in ("Warehouse", "warehouse", "their-tag", "their-environment"):
        assert text not in html
    for query in ("q=Warehouse", "tag=their-tag", "environment=their-environment"):
        response = acme.browser("viewer").get(f"{LIST}?{query}")
        assert response.status_code == 200
        assert "0 connections" in response.content.decode()


@pytest.mark.parametrize(
    "lookup",
    [
        "config__path__startswith=s",
        "secrets_rows__blob__regex=.",
        "organisation__name__startswith=G",
        "organisation__slug=globex",
        "organisation=1",
        "created_by__password__startswith=p",
        "name__regex=.",
        "name=Shop",
        "id__in=1",
        "source__startswith=s",
        "access_version__gt=1",
        "_to_field=config",
    ],
)
def test_a_lookup_that_is_not_listed_is_a_bad_request(acme, lookup):
    acme.sqlite()
    assert acme.browser("admin").get(f"{LIST}?{lookup}").status_code == 400


@pytest.mark.parametrize("model", ["membership", "apikey", "event"])
@pytest.mark.parametrize(
    "lookup", ["user__password__startswith=p", "digest__startswith=a", "organisation__slug=x", "pk=1"]
)
def test_other_lists_refuse_lookups_that_are_not_listed(acme, model, lookup):
    assert acme.browser("admin").get(f"/admin/connections/{model}/?{lookup}").status_code == 400


@pytest.mark.parametrize("query", ["o=9.-9.x", "p=zzz", "p=-1", "p=999", "q=%00", "all=", "tag=%00", "state=nope"])
def test_odd_query_strings_break_no_list(acme, query):
    acme.sqlite()
    for model in ("connection", "membership", "apikey", "event"):
        if model != "connection" and query.startswith(("tag", "state")):
            continue
        assert acme.browser("admin").get(f"/admin/connections/{model}/?{query}", follow=True).status_code == 200


@pytest.mark.parametrize("query", ["_to_field=id", "_to_field=config", "_popup=1", "e=1", "_facets=True", "e=1&p=999"])
@pytest.mark.parametrize("model_admin", registered(), ids=lambda found: found.opts.model_name)
def test_no_list_and_no_form_takes_what_only_pickers_and_probes_ask(acme, superuser, model_admin, query):
    acme.sqlite()
    browser = acme.browser("admin")
    if isinstance(model_admin, PlatformAdmin):
        browser.force_login(superuser, backend="connections.admin.backend.MembershipBackend")
    base = f"/admin/{model_admin.opts.app_label}/{model_admin.opts.model_name}/"
    assert browser.get(base).status_code == 200
    assert browser.get(f"{base}?{query}").status_code == 400
    assert browser.post(f"{base}?{query}", {"action": "pause"}).status_code == 400
    if isinstance(model_admin, PlatformAdmin):
        assert browser.get(f"{base}add/?{query}").status_code == 400


def test_a_page_that_is_not_there_leads_to_the_list_without_a_mark(acme, monkeypatch):
    monkeypatch.setattr(site._registry[Connection], "list_per_page", 1)
    for name in ("One", "Two"):
        acme.sqlite(name)
    answer = acme.browser("viewer").get(f"{LIST}?p=999")
    assert (answer.status_code, answer["Location"]) == (302, LIST)


def test_listed_filters_work(acme):
    acme.sqlite()
    for query in ("source=sqlite", "state=unchecked", "status=unknown"):
        assert "1 connection" in acme.browser("viewer").get(f"{LIST}?{query}").content.decode()
    assert acme.browser("admin").get("/admin/connections/membership/?role__exact=viewer").status_code == 200
    assert acme.browser("admin").get("/admin/connections/event/?result=ok").status_code == 200
    response = acme.browser("admin").get("/admin/connections/event/?at__gte=nonsense", follow=True)
    assert response.status_code == 200


@pytest.mark.parametrize("action", ["delete", "pause", "resume", "check_now"])
@pytest.mark.parametrize("across", ["0", "1"])
def test_one_foreign_row_among_ten_refuses_the_whole_bulk_action(acme, globex, action, across):
    own, foreign = [acme.sqlite(f"Own {n}") for n in range(9)], globex.sqlite("Foreign")
    before = list(Connection.objects.order_by("pk").values())
    sent = {"action": action, "_confirmed": "1", "reason": "because", "select_across": across}
    ids = [str(row.pk) for row in (*own[:5], foreign, *own[5:])]
    response = acme.browser("editor").post(LIST, {**sent, "_selected_action": ids})
    assert response.status_code == 404
    assert list(Connection.objects.order_by("pk").values()) == before
    denied = Event.objects.filter(action="access.denied", organisation=None).latest("pk")
    assert denied.detail["connection"] == str(foreign.pk)


@pytest.mark.parametrize("across", ["0", "1"])
def test_bulk_actions_touch_the_own_rows_only(acme, globex, across):
    own, other, foreign = acme.sqlite("Own"), acme.sqlite("Other"), globex.sqlite("Foreign")
    sent = {"action": "pause", "_selected_action": [str(own.pk)], "select_across": across}
    acme.browser("editor").post(LIST, {**sent, "_confirmed": "1", "reason": "because"}, follow=True)
    for row in (own, other, foreign):
        row.refresh_from_db()
    assert own.paused_reason == "because"
    assert (other.paused_at is not None) == (across == "1")
    assert foreign.paused_at is None


def test_a_bulk_action_over_what_is_no_id_is_a_bad_request(acme):
    acme.sqlite()
    sent = {"action": "check_now", "_selected_action": ["' or 1=1"]}
    assert acme.browser("editor").post(LIST, sent).status_code == 400


def test_the_stock_deletion_is_gone(acme):
    connection = acme.sqlite()
    sent = {"action": "delete_selected", "_selected_action": [str(connection.pk)], "post": "yes"}
    acme.browser("admin").post(LIST, sent)
    assert Connection.objects.filter(pk=connection.pk).exists()


def test_there_is_no_autocompletion_and_no_shortcut(acme):
    browser = acme.browser("admin")
    query = "app_label=connections&model_name=apikey&field_name=organisation&term=g"
    assert browser.get(f"/admin/autocomplete/?{query}").status_code == 404
    assert browser.get("/admin/r/1/1/").status_code == 404


class LoosePages(TenantAdmin):
    """A page as somebody may write it later, with pickers and filters and no thought of tenancy."""

    list_filter = ("organisation", "membership")
    raw_id_fields = ()


def _request(tenant: Tenant, role: str = "admin") -> Any:
    request: Any = RequestFactory().get("/")
    request.user = tenant.people[role]
    request.session = {}
    return request


def test_pickers_and_related_filters_of_any_page_offer_the_own_rows_only(acme, globex):
    page = LoosePages(APIKey, site)
    foreign = Membership.objects.filter(organisation=globex.organisation)[0]
    theirs = APIKey.objects.filter(organisation=globex.organisation)[0]
    request = _request(acme)
    form: Any = page.get_form(request, fields=["organisation", "membership", "name"])
    assert list(form.base_fields["organisation"].queryset) == [acme.organisation]
    assert {member.organisation_id for member in form.base_fields["membership"].queryset} == {acme.organisation.pk}
    bound = form({"organisation": str(globex.organisation.pk), "membership": str(foreign.pk), "name": "x"})
    assert not bound.is_valid()
    assert set(bound.errors) == {"organisation", "membership"}

    assert [kind for _name, kind in page.get_list_filter(request)] == [OwnRelatedListFilter, OwnRelatedListFilter]
    offered = OwnRelatedListFilter.field_choices(None, APIKey._meta.get_field("membership"), request, page)  # type: ignore[arg-type]
    assert len(offered) == 4
    assert page.get_changeform_initial_data(request) == {}
    assert not page.to_field_allowed(request, "digest")
    assert {key.organisation_id for key in page.get_queryset(request)} == {acme.organisation.pk}
    assert not page.has_view_permission(request, theirs)


def test_users_of_other_organisations_are_no_rows_of_ones_own(acme):
    person = acme.people["viewer"]
    assert own_rows(type(person), acme.actor("admin")).count() == 0
    assert own_rows(Organisation, acme.actor("admin")).count() == 1


# Which organisation ------------------------------------------------------------------------------------------------


def test_a_member_of_two_organisations_sees_one_at_a_time_and_switches(acme, globex):
    acme.sqlite("Shop")
    other = globex.sqlite("Warehouse")
    person = acme.people["editor"]
    Membership.objects.create(organisation=globex.organisation, user=person, role="viewer")
    browser = acme.browser("editor")
    page = browser.get(LIST).content.decode()
    assert "Shop" in page
    assert "Warehouse" not in page
    assert 'action="/admin/organisation/"' in page
    assert browser.get(f"{LIST}{other.pk}/change/").status_code == 404
    assert browser.post("/admin/organisation/", {"organisation": "globex"}).status_code == 302
    assert "Warehouse" in browser.get(LIST).content.decode()
    assert browser.get(f"{LIST}{other.pk}/change/").status_code == 200
    assert browser.get(f"{LIST}{other.pk}/pause/").status_code == 403  # a viewer here, though an editor there


def test_a_member_of_one_organisation_gets_no_switch(acme):
    assert "/admin/organisation/" not in acme.browser("admin").get("/admin/").content.decode()


def test_switching_needs_membership_post_and_a_token(acme, globex):
    browser = acme.browser("admin")
    assert browser.post("/admin/organisation/", {"organisation": "globex"}).status_code == 404
    assert browser.post("/admin/organisation/", {"organisation": "nothing"}).status_code == 404
    came_back = browser.get("/admin/organisation/")
    assert (came_back.status_code, came_back["Location"]) == (302, "/admin/")
    assert browser.put("/admin/organisation/").status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(acme.people["admin"], backend="connections.admin.backend.MembershipBackend")
    assert strict.post("/admin/organisation/", {"organisation": "acme"}).status_code == 403


def test_the_choice_in_the_session_is_judged_at_each_request(acme, globex):
    person = acme.people["editor"]
    membership = Membership.objects.create(organisation=globex.organisation, user=person, role="editor")
    connection = globex.sqlite("Warehouse")
    browser = acme.browser("editor")
    browser.post("/admin/organisation/", {"organisation": "globex"})
    assert browser.session[SESSION_KEY] == "globex"
    membership.delete()
    assert browser.get(f"{LIST}{connection.pk}/change/").status_code == 404
    assert "Warehouse" not in browser.get(LIST).content.decode()


def test_whoever_belongs_nowhere_gets_no_further_than_the_login(acme):
    person = acme.people["viewer"]
    Membership.objects.filter(user=person).delete()
    for path in ("/admin/", LIST, "/admin/auth/user/", "/admin/password_change/"):
        response = acme.browser("viewer").get(path)
        assert response.status_code == 302
        assert response["Location"].startswith("/admin/login/")


def test_a_suspended_organisation_is_closed(acme):
    acme.organisation.suspended_at = "2026-01-01T00:00:00Z"
    acme.organisation.save()
    assert acme.browser("admin").get(LIST).status_code == 302


def test_permission_rows_grant_nothing(acme):
    person = acme.people["viewer"]
    person.user_permissions.set(Permission.objects.all())
    person = type(person).objects.get(pk=person.pk)
    assert person.get_all_permissions() == set()
    assert not person.has_perm("connections.delete_connection")
    browser = acme.browser("viewer")
    connection = acme.sqlite()
    assert browser.get(f"{LIST}{connection.pk}/delete/").status_code == 403
    assert browser.get("/admin/auth/user/").status_code == 403


# The platform ------------------------------------------------------------------------------------------------------


def test_a_superuser_enters_an_organisation_by_the_switch_and_leaves_an_event(acme, superuser):
    acme.sqlite("Shop")
    browser = Client()
    browser.force_login(superuser, backend="connections.admin.backend.MembershipBackend")
    assert "Shop" not in browser.get("/admin/").content.decode()
    assert browser.get(LIST).status_code == 403
    browser.post("/admin/organisation/", {"organisation": "acme", "reason": "Somebody asked for help"})
    assert "Shop" in browser.get(LIST).content.decode()
    seen = acme.browser("admin").get("/admin/connections/event/?action=organisation.visit").content.decode()
    assert "platform" in seen


def test_the_platforms_pages_are_for_superusers_alone(acme):
    for name in ("auth_user", "connections_organisation"):
        for page in ("changelist", "add"):
            assert acme.browser("admin").get(reverse(f"admin:{name}_{page}")).status_code == 403
    path = reverse("admin:auth_user_change", args=[acme.people["viewer"].pk])
    assert acme.browser("admin").get(path).status_code in (403, 404)


def test_a_superuser_makes_and_changes_organisations_and_the_record_tells(superuser):
    browser = Client()
    browser.force_login(superuser, backend="connections.admin.backend.MembershipBackend")
    sent = {"name": "Initech", "slug": "initech", "sources": "", "egress": "10.1.0.0/16", "allow_unsafe_roles": ""}
    assert browser.post(reverse("admin:connections_organisation_add"), sent).status_code == 302
    made = Organisation.objects.get(slug="initech")
    assert made.egress == ["10.1.0.0/16"]
    assert made.keys.count() == 1
    path = reverse("admin:connections_organisation_change", args=[made.pk])
    assert browser.post(path, {**sent, "egress": "", "suspended": "on"}).status_code == 302
    made.refresh_from_db()
    assert made.suspended_at is not None
    assert "nowhere" in browser.post(path, {**sent, "egress": "nowhere"}).content.decode()
    assert "There is no source" in browser.post(path, {**sent, "sources": "oracle9"}).content.decode()
    made.suspended_at = None
    made.save()
    browser.post("/admin/organisation/", {"organisation": "initech", "reason": "To read its record"})
    assert "organisation.change" in browser.get("/admin/connections/event/").content.decode()


def test_only_superusers_configure_an_organisation(acme):
    from connections.services.errors import Forbidden

    with pytest.raises(Forbidden):
        tenancy.configure(acme.actor("admin"), {"egress": ["0.0.0.0/0"]})


def test_a_user_page_shows_no_password_hash(acme, superuser):
    browser = Client()
    browser.force_login(superuser, backend="connections.admin.backend.MembershipBackend")
    person = acme.people["viewer"]
    html = browser.get(reverse("admin:auth_user_change", args=[person.pk])).content.decode()
    assert person.password.split("$")[-1] not in html
    assert browser.get("/admin/auth/user/?password__startswith=p").status_code == 400
