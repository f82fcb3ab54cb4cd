"""The panel "Rotate secrets" on a connection's page."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from connections.admin import rotating
from connections.admin.reports import FIXABLE_BY
from connections.models import Connection, ConnectionSecrets, Slot
from connections.services import connections, vault
from connections.services.connections import Change
from tests.admin.pages import Page
from tests.admin.test_editing import change_path
from tests.catalogue import CANARY, Tenant
from tests.routes import with_secrets_in_every_slot

FIELD = "new-secrets__password"
NOWHERE = {"host": "127.0.0.1", "port": 1, "database": "sales", "user": "reader", "tls": {"mode": "disable"}}


@pytest.fixture
def row(acme: Tenant) -> Connection:
    change = Change(name="Warehouse", config=NOWHERE, secrets={"password": "first"})
    return connections.create(acme.actor(), "postgresql", change)


@pytest.fixture
def editor(acme: Tenant) -> Client:
    return acme.browser("editor")


def press(browser: Client, row: Connection, button: str, **data: Any) -> Any:
    row.refresh_from_db()
    sent = {button: "1", "version": row.version, f"{FIELD}-action": "replace", **data}
    return browser.post(change_path(row), sent)


def stored(tenant: Tenant, row: Connection, slot: Slot = Slot.CURRENT) -> Any:
    return vault.unseal(connections.get(tenant.actor(), row.slug), slot)


def test_an_editor_stages_sees_the_diagnosis_and_discards(acme: Tenant, editor: Client, row: Connection) -> None:
    page = press(editor, row, "_stage", **{FIELD: "second"}).content.decode()
    assert "The new secrets do not work" in page
    assert "Failed its test" in page
    assert ">Promote<" in page
    assert stored(acme, row, Slot.PENDING) == {"password": "second"}
    assert "Failed its test" in editor.get(change_path(row)).content.decode()
    refused = press(editor, row, "_promote").content.decode()
    assert "The new secrets do not work" in refused
    assert stored(acme, row) == {"password": "first"}
    discarded = press(editor, row, "_discard")
    assert (discarded.status_code, discarded.url) == (302, change_path(row) + "#rotation")
    assert ">Promote<" not in editor.get(change_path(row)).content.decode()


def test_what_passed_is_promoted_and_taken_back(acme: Tenant, editor: Client) -> None:
    row = with_secrets_in_every_slot(acme)
    assert "Passed its test" in editor.get(change_path(row)).content.decode()
    assert press(editor, row, "_promote").status_code == 302
    assert stored(acme, row) == {"password": "third"}
    page = editor.get(change_path(row)).content.decode()
    assert "Take back the previous secrets (until 20" in page
    assert press(editor, row, "_rollback").status_code == 302
    assert stored(acme, row) == {"password": "second"}


def test_what_failed_for_a_secret_says_what_becomes_of_the_new_ones() -> None:
    report = {"ok": False, "code": "authentication", "message": "No.", "fixable_by": "you", "steps": []}
    shown = rotating._of_test(report)
    assert shown.fixable_by == "Stage others in their place, or discard these. Those in use stay in use."
    assert rotating._of_test(report | {"fixable_by": "network"}).fixable_by == str(FIXABLE_BY["network"])


def test_the_inputs_of_new_secrets_are_folded_until_they_are_wanted(editor: Client, row: Connection) -> None:
    folded = "<details><summary>New secrets"
    assert folded in editor.get(change_path(row)).content.decode()
    assert "<details open><summary>New secrets" in press(editor, row, "_stage", **{FIELD: ""}).content.decode()


def test_an_empty_form_and_a_mask_are_refused_on_the_page(editor: Client, row: Connection) -> None:
    for typed in ("", "******"):
        page = press(editor, row, "_stage", **{FIELD: typed}).content.decode()
        assert "errorlist" in page
    assert list(row.secrets_rows.values_list("slot", flat=True)) == ["current"]


def test_a_page_of_an_older_version_changes_nothing(acme: Tenant, editor: Client) -> None:
    row = with_secrets_in_every_slot(acme)
    for button in ("_stage", "_promote", "_rollback", "_discard"):
        page = press(editor, row, button, version="99", **{FIELD: "x"}).content.decode()
        assert "version_conflict" in page
    assert stored(acme, row) == {"password": "second"}


def test_no_page_holds_what_was_staged(editor: Client, row: Connection) -> None:
    pages = [press(editor, row, "_stage", **{FIELD: CANARY}), editor.get(change_path(row))]
    pages += [press(editor, row, "_promote"), press(editor, row, "_stage", **{FIELD: CANARY}, version="99")]
    pages.append(editor.get(f"/admin/connections/connection/{row.pk}/history/"))
    for response in pages:
        text = response.content.decode()
        assert "C4n4ry" not in text
        inputs = [found for found in Page(text).inputs if found.get("type") == "password"]
        assert all(found.get("value") is None for found in inputs)
        assert Page(text).inline == []


@pytest.mark.parametrize("role", ["viewer", "analyst"])
def test_others_see_no_panel_and_press_no_button(acme: Tenant, role: str) -> None:
    row = with_secrets_in_every_slot(acme)
    browser = acme.browser(role)
    assert "Rotate secrets" not in browser.get(change_path(row)).content.decode()
    for button in ("_stage", "_promote", "_rollback", "_discard"):
        assert press(browser, row, button).status_code == 403
    assert stored(acme, row) == {"password": "second"}


def test_a_source_without_secrets_has_no_panel(acme: Tenant, editor: Client) -> None:
    shop = acme.sqlite()
    assert "Rotate secrets" not in editor.get(change_path(shop)).content.decode()
    assert press(editor, shop, "_stage").status_code == 200


def test_broken_pending_secrets_leave_the_page_whole(acme: Tenant, editor: Client) -> None:
    row = with_secrets_in_every_slot(acme)
    ConnectionSecrets.objects.filter(slot=Slot.PENDING).update(blob=b"", names=[1], tested_code="x", generation=0)
    page = editor.get(change_path(row))
    assert page.status_code == 200
    assert "locked" in page.content.decode()
    assert press(editor, row, "_promote").status_code == 200
    assert press(editor, row, "_discard").status_code == 302


def test_a_probe_is_entered_as_sql_or_json_and_emptied(editor: Client, row: Connection) -> None:
    settings = {"name": row.name, "environment": "", "tags": "", "description": "", "version": row.version}
    settings |= {f"config__{name}": value for name, value in NOWHERE.items() if name != "tls"}
    settings |= {"config__tls__mode": "disable", "secrets__password-action": "keep"}
    for typed, kept in (
        ("select 1", {"sql": "select 1"}),
        ('{"table": ["public", "orders"]}', {"table": ["public", "orders"]}),
        ("", {}),
    ):
        row.refresh_from_db()
        sent = editor.post(change_path(row), {**settings, "probe": typed, "version": row.version})
        assert sent.status_code == 302, sent.content.decode()
        row.refresh_from_db()
        assert row.probe == kept
    for wrong in ("{nonsense", '{"nonsense": 1}'):
        sent = editor.post(change_path(row), {**settings, "probe": wrong, "version": row.version})
        assert sent.status_code == 200
        assert "errorlist" in sent.content.decode()
