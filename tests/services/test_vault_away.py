"""While the vault that has the root key is away: what seals is refused in words, and nothing is half done."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from connections.models import Connection, ConnectionSecrets, Event, Organisation, OrganisationKey, StatusCheck
from connections.sealing import transit
from connections.sealing.keyring import KeyText, make_entry
from connections.services import connections, ring, rotation, tenancy, vault
from connections.services.connections import Change
from connections.services.errors import KeyAway
from connections.services.logs import Seldom
from tests.admin.test_editing import BASE, POSTGRESQL
from tests.catalogue import CANARY, Tenant, make_tenant
from tests.servers.openbao import OpenBao

pytestmark = pytest.mark.django_db
CONFIG = {"host": "db.example.com", "database": "sales", "user": "reader"}
SECOND = "an0ther-c4nary"


@pytest.fixture
def acme(engine: OpenBao, settings: Any, db: None) -> Tenant:
    """An organisation whose data key is sealed by the vault."""
    settings.CATALOG_KEYS = KeyText("k2:transit:catalog-root")
    settings.CATALOG_VAULT_TIMEOUT = 0.3
    return make_tenant("acme", "Acme Air")


@pytest.fixture
def row(acme: Tenant) -> Connection:
    change = Change(name="Warehouse", config=CONFIG, secrets={"password": CANARY})
    return connections.create(acme.actor(), "postgresql", change)


@contextmanager
def away(engine: OpenBao) -> Iterator[None]:
    transit.unwrapped.clear()
    engine.pause()
    try:
        yield
    finally:
        engine.resume()


def stored() -> list[Any]:
    """All that sealing changes."""
    secrets = ConnectionSecrets.objects.order_by("pk").values_list("slot", "generation", "blob", "problem")
    keys = OrganisationKey.objects.order_by("pk").values_list("version", "ring_key", "blob")
    rows = Connection.objects.order_by("pk").values_list("version", "secrets_generation", "status_ok")
    return [list(found) for found in (secrets, keys, rows)]


def told_well(problem: Any) -> None:
    assert (problem.status_code, problem.json()["code"]) == (503, "busy")
    body = problem.json()
    assert (body["title"], body["transient"]) == ("The catalogue's key is out of reach", True)
    assert "Try again" in body["hint"]
    assert int(problem["Retry-After"]) >= 1
    text = problem.content.decode()
    assert CANARY not in text
    assert SECOND not in text
    assert "127.0.0.1" not in text, "Where the vault is is no tenant's business."


def test_making_an_organisation_in_the_admin_is_an_error_on_the_form(engine: OpenBao, acme: Tenant, superuser: Any):
    client = Client()
    client.force_login(superuser, backend="connections.admin.backend.MembershipBackend")
    url = reverse("admin:connections_organisation_add")
    sent = {"name": "Initech", "slug": "initech", "egress": "10.1.0.0/16"}
    with away(engine):
        answer = client.post(url, sent)
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "kept in a vault, which does not answer now. Try again shortly" in page
    assert 'value="Initech"' in page, "What was typed stays."
    assert not Organisation.objects.filter(slug="initech").exists()
    assert not Event.objects.filter(action="organisation.create").exists()
    assert client.post(url, sent).status_code == 302
    made = Organisation.objects.get(slug="initech")
    assert (made.keys.count(), made.egress) == (1, ["10.1.0.0/16"])
    assert Event.objects.filter(organisation=made, action="organisation.change", changes__has_key="egress").exists()


def test_making_an_organisation_at_the_terminal_is_one_line(engine: OpenBao, acme: Tenant):
    person = get_user_model()._default_manager.create_user("ann", password="a long word")
    with away(engine), pytest.raises(CommandError) as caught:
        call_command("organisation", "create", "initech", name="Initech", admin="ann", stdout=StringIO())
    assert "kept in a vault" in str(caught.value)
    assert "Run it again" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Organisation.objects.filter(slug="initech").exists()
    person.refresh_from_db()
    assert not person.is_staff


def test_the_service_raises_one_typed_error(engine: OpenBao, acme: Tenant):
    with away(engine), pytest.raises(KeyAway):
        tenancy.create_organisation("initech", "Initech")
    assert not Organisation.objects.filter(slug="initech").exists()


def test_saving_staging_and_testing_secrets_answers_503_and_stores_nothing(
    engine: OpenBao, acme: Tenant, row: Connection
):
    api, before, events = acme.api(), stored(), Event.objects.count()
    new = {"name": "New", "source": "postgresql", "config": CONFIG, "secrets": {"password": SECOND}}
    with away(engine):
        told_well(api.post("connections/", new))
        told_well(api.patch("connections/warehouse/", {"secrets": {"password": SECOND}}))
        told_well(api.patch("connections/warehouse/", {"config": {"database": "other"}}))
        told_well(api.post("connections/warehouse/secrets/stage/", {"secrets": {"password": SECOND}}))
        told_well(api.post("connections/test/", {"connection": "warehouse", "config": {"database": "other"}}))
        assert Event.objects.count() == events
        told_well(api.post("connections/warehouse/preview/", {"query": {"sql": "select 1"}}))
        told_well(api.post("connections/warehouse/status/"))
    assert stored() == before
    assert not StatusCheck.objects.exists(), "A vault that is away tells nothing of the source."
    assert vault.unseal(connections.get(acme.actor(), row.slug)) == {"password": CANARY}


def test_promoting_and_taking_back_change_nothing(engine: OpenBao, acme: Tenant, row: Connection):
    rotation.stage(acme.actor(), row, {"password": SECOND})
    ConnectionSecrets.objects.filter(slot="pending").update(tested_ok=True)
    before = stored()
    with away(engine):
        told_well(acme.api().post("connections/warehouse/secrets/promote/"))
        assert stored() == before
    rotation.promote(acme.actor(), connections.get(acme.actor(), row.slug))
    before = stored()
    with away(engine):
        told_well(acme.api().post("connections/warehouse/secrets/rollback/"))
        assert stored() == before


def test_the_admins_form_says_it_and_keeps_nothing(engine: OpenBao, acme: Tenant, row: Connection):
    before = stored()
    with away(engine):
        answer = acme.browser().post(f"{BASE}/add/postgresql/", {**POSTGRESQL, "secrets__password": SECOND})
    text = answer.content.decode()
    assert answer.status_code == 200
    assert "kept in a vault, which does not answer now" in text
    assert SECOND not in text
    assert stored() == before


@pytest.mark.parametrize(
    "command", [("rotate",), ("rotate", "--dry-run"), ("rekey", "--all"), ("rekey", "--all", "--dry-run"), ("verify",)]
)
def test_the_commands_of_keys_stop_in_one_line_and_change_nothing(
    engine: OpenBao, acme: Tenant, row: Connection, settings: Any, command: tuple[str, ...]
):
    settings.CATALOG_KEYS = KeyText(f"k2:transit:catalog-root,{make_entry('k3')}")
    before, events, out = stored(), Event.objects.count(), StringIO()
    with away(engine), pytest.raises(CommandError) as caught:
        call_command("keys", *command, stdout=out)
    assert "kept in a vault" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "locked" not in out.getvalue()
    assert stored() == before
    assert Event.objects.count() == events
    call_command("keys", *command, stdout=out)


def test_the_log_says_what_the_vault_did_and_no_secret(
    engine: OpenBao,
    acme: Tenant,
    row: Connection,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(ring, "told", Seldom(logging.getLogger(ring.__name__)))
    with away(engine), caplog.at_level(logging.DEBUG):
        acme.api().patch("connections/warehouse/", {"secrets": {"password": SECOND}})
    assert "did not answer in time" in caplog.text
    assert CANARY not in caplog.text
    assert SECOND not in caplog.text
