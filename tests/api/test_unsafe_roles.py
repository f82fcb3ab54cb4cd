"""A login that cannot be contained previews only where the deployment, the platform and the organisation all say so."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from django.test import Client

from connections.models import Event
from connections.services import connections, tenancy, visits
from connections.services.connections import Change
from tests.catalogue import Tenant
from tests.servers.pausable import PausableServer

QUERY = {"query": {"sql": "select 1 as one"}}
PREVIEW = "connections/warehouse/preview/"


@pytest.fixture
def warehouse(acme: Tenant, postgresql: PausableServer) -> Tenant:
    """A connection that logs in as the server's superuser."""
    login = postgresql.login("superuser")
    secrets = {"password": login.pop("password")}
    change = Change(name="Warehouse", config={**login, "tls": {"mode": "disable"}}, secrets=secrets)
    connections.create(acme.actor("editor"), "postgresql", change)
    return acme


def allow(tenant: Tenant, superuser: Any, *, platform: bool, own: bool) -> None:
    tenancy.configure(visits.as_platform(superuser, tenant.organisation), {"allow_unsafe_roles": platform})
    assert tenant.api("admin").patch("", {"accepts_unsafe_roles": own}).json()["accepts_unsafe_roles"] is own


@pytest.mark.parametrize(("deployment", "platform", "own"), list(product([True, False], repeat=3)))
def test_all_three_must_allow_it(
    warehouse: Tenant, superuser: Any, settings: Any, deployment: bool, platform: bool, own: bool
) -> None:
    settings.CATALOG_ALLOW_UNSAFE_ROLES = deployment
    allow(warehouse, superuser, platform=platform, own=own)
    answer = warehouse.api("analyst").post(PREVIEW, QUERY)
    if deployment and platform and own:
        assert answer.json()["rows"] == [[1]]
        check = warehouse.api("analyst").post("connections/warehouse/status/").json()
        assert check["ok"] is True
        assert "role_is_superuser" in [warning["code"] for warning in check["warnings"]]
    else:
        assert (answer.status_code, answer.json()["code"]) == (409, "unsafe_role")


def test_who_takes_consent_back_takes_it_from_warm_connections_too(
    warehouse: Tenant, superuser: Any, settings: Any
) -> None:
    settings.CATALOG_ALLOW_UNSAFE_ROLES = True
    allow(warehouse, superuser, platform=True, own=True)
    assert warehouse.api("analyst").post(PREVIEW, QUERY).status_code == 200
    allow(warehouse, superuser, platform=True, own=False)
    assert warehouse.api("analyst").post(PREVIEW, QUERY).json()["code"] == "unsafe_role"


def test_consent_is_on_record_with_who_gave_it(acme: Tenant, superuser: Any) -> None:
    allow(acme, superuser, platform=True, own=True)
    acme.api("admin").patch("", {"accepts_unsafe_roles": True})  # says nothing new
    shown = acme.api("admin").get("events/").json()["results"]
    told = {event["action"]: (event["actor"]["label"], event["changes"]) for event in shown}
    assert told["organisation.change"] == ("platform (platform)", {"allow_unsafe_roles": [False, True]})
    label, changes = told["organisation.decide"]
    assert label.startswith("admin key")
    assert changes == {"accepts_unsafe_roles": [False, True]}
    assert Event.objects.filter(action="organisation.decide").count() == 1


@pytest.mark.parametrize(
    "sent", [{"accepts_unsafe_roles": 1}, {"accepts_unsafe_roles": None}, {"allow_unsafe_roles": True}]
)
def test_what_is_no_decision_is_refused(acme: Tenant, sent: dict[str, Any]) -> None:
    answer = acme.api("admin").patch("", sent)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, f"/{next(iter(sent))}")


def test_only_administrators_of_the_organisation_decide(acme: Tenant, globex: Tenant) -> None:
    for role in ("viewer", "analyst", "editor"):
        assert acme.api(role).patch("", {"accepts_unsafe_roles": True}).status_code == 403
        assert acme.browser(role).get("/admin/settings/").status_code == 403
    assert globex.api("admin").patch("/orgs/acme/", {"accepts_unsafe_roles": True}).status_code == 404
    acme.organisation.refresh_from_db()
    assert acme.organisation.accepts_unsafe_roles is False


def test_it_is_decided_in_the_admin_too(acme: Tenant) -> None:
    browser: Client = acme.browser("admin")
    assert "/admin/settings/" in browser.get("/admin/").content.decode()
    assert "Accept privileged logins" in browser.get("/admin/settings/").content.decode()
    browser.post("/admin/settings/", {"accepts_unsafe_roles": "on"})
    acme.organisation.refresh_from_db()
    assert acme.organisation.accepts_unsafe_roles is True
    assert "checked" in browser.get("/admin/settings/").content.decode()
    browser.post("/admin/settings/", {})
    acme.organisation.refresh_from_db()
    assert acme.organisation.accepts_unsafe_roles is False
