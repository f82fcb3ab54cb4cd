"""Secrets that are kept elsewhere, over REST: stored by their place, looked up at use, used by a real source."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.db import connection as database

from tests.catalogue import Tenant
from tests.servers.openbao import OpenBao
from tests.servers.pausable import PausableServer

pytestmark = pytest.mark.django_db(transaction=True)
QUERY = {"query": {"sql": "select 1 as one"}}


@pytest.fixture
def warehouse(
    acme: Tenant, postgresql: PausableServer, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """A connection as it is sent, whose password is in a variable."""
    settings.CATALOG_REFERENCES = ["env:ACME_*", "vault:secret/acme/*"]
    acme.organisation.references = ["env:ACME_*", "vault:secret/acme/*"]
    acme.organisation.save()
    login = postgresql.login()
    monkeypatch.setenv("ACME_PASSWORD", login.pop("password"))
    config = {**login, "tls": {"mode": "disable"}}
    secrets = {"password": {"ref": "env:ACME_PASSWORD"}}
    return {"name": "Warehouse", "source": "postgresql", "config": config, "secrets": secrets}


def previewed(tenant: Tenant, sql: str = "select 1 as one") -> Any:
    return tenant.api("analyst").post("connections/warehouse/preview/", {"query": {"sql": sql}})


def errors(answer: Any) -> list[tuple[str, str]]:
    return [(error["pointer"], error["code"]) for error in answer.json()["errors"]]


def test_a_reference_is_saved_shown_tested_and_used(
    acme: Tenant, warehouse: dict[str, Any], postgresql: PausableServer
) -> None:
    tested = acme.api().post("connections/test/", {name: warehouse[name] for name in ("source", "config", "secrets")})
    assert tested.json()["ok"] is True, tested.json()
    made = acme.api().post("connections/", warehouse)
    assert made.status_code == 201, made.content
    shown = made.json()["secrets"]
    assert shown["password"].keys() == {"set", "updated_at", "ref"}
    assert shown["password"]["ref"] == "env:ACME_PASSWORD"
    assert shown["tls"]["key"] == {"set": False, "updated_at": None}
    assert acme.api("analyst").post("connections/warehouse/status/").json()["ok"] is True
    answer = previewed(acme)
    assert answer.json()["rows"] == [[1]], answer.json()
    echoed = previewed(acme, f"select '{postgresql.reader_password}'::int")
    assert postgresql.reader_password not in echoed.content.decode()
    history = acme.api("admin").get("events/?page_size=200").content.decode()
    assert "env:ACME_PASSWORD" in history
    assert postgresql.reader_password not in history
    with database.cursor() as cursor:
        for table in database.introspection.table_names():
            cursor.execute(f"select * from {database.ops.quote_name(table)}")
            assert postgresql.reader_password not in repr(cursor.fetchall())


def test_a_reference_that_is_not_allowed_is_refused_at_its_place(acme: Tenant, warehouse: dict[str, Any]) -> None:
    for ref, code in (("env:GLOBEX_PASSWORD", "not_allowed"), ("env:CATALOG_KEYS", "not_allowed"), ("pw", "invalid")):
        secrets = {"password": {"ref": ref}}
        answer = acme.api().post("connections/", {**warehouse, "secrets": secrets})
        assert (answer.status_code, errors(answer)) == (400, [("/secrets/password", code)])
        unsaved = {"source": "postgresql", "config": warehouse["config"], "secrets": secrets}
        assert errors(acme.api().post("connections/test/", unsaved)) == [("/secrets/password", code)]


def test_a_reference_without_a_value_is_locked_and_says_where_it_was_sought(
    acme: Tenant, warehouse: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    acme.api().post("connections/", warehouse)
    monkeypatch.delenv("ACME_PASSWORD")
    answer = previewed(acme)
    found = answer.json()
    assert (answer.status_code, found["code"], found["transient"]) == (409, "locked", False)
    assert "the environment of the catalogue's process: no variable ACME_PASSWORD" in found["detail"]
    assert found["hint"]
    assert errors(answer) == [("/secrets/password", "locked")]
    report = acme.api("analyst").post("connections/warehouse/status/").json()
    assert (report["ok"], report["code"], report["field"]) == (False, "locked", "/secrets/password")
    assert (report["fixable_by"], report["transient"]) == ("platform", False)
    assert acme.api().get("connections/warehouse/").json()["status"]["ok"] is False
    monkeypatch.setenv("ACME_PASSWORD", "wrong")
    report = acme.api("analyst").post("connections/warehouse/status/").json()
    assert (report["code"], report["field"]) == ("authentication", "/secrets/password")
    assert "env:ACME_PASSWORD" in report["hint"]


def test_a_value_that_changed_is_noticed_within_the_time_it_is_believed(
    acme: Tenant, warehouse: dict[str, Any], settings: Any, monkeypatch: pytest.MonkeyPatch, postgresql: PausableServer
) -> None:
    settings.CATALOG_REFERENCES_FRESH = 1
    acme.api().post("connections/", warehouse)
    assert previewed(acme).status_code == 200
    monkeypatch.setenv("ACME_PASSWORD", "wrong")
    until = time.monotonic() + 5
    while (answer := previewed(acme)).status_code == 200 and time.monotonic() < until:
        time.sleep(0.1)
    assert answer.json()["code"] == "authentication"
    settings.CATALOG_REFERENCES_FRESH = 3600
    assert previewed(acme).json()["code"] == "authentication"
    monkeypatch.setenv("ACME_PASSWORD", postgresql.reader_password)
    assert previewed(acme).status_code == 200, "A refused login is not kept: the next preview looks the value up."


def test_a_warm_connection_ends_with_the_leave_to_its_reference(acme: Tenant, warehouse: dict[str, Any]) -> None:
    acme.api().post("connections/", warehouse)
    assert previewed(acme).status_code == 200
    acme.organisation.references = []
    acme.organisation.save()
    found = previewed(acme).json()
    assert (found["code"], "may not be used" in found["detail"]) == ("locked", True)


def test_changing_the_host_asks_for_the_reference_again(acme: Tenant, warehouse: dict[str, Any]) -> None:
    acme.api().post("connections/", warehouse)
    moved = {"config": {"host": "localhost"}}
    answer = acme.api().patch("connections/warehouse/", moved)
    assert (answer.json()["code"], errors(answer)) == (
        "reentry_required",
        [("/secrets/password", "reentry_required")],
    )
    answer = acme.api().post("connections/test/", {"connection": "warehouse", **moved})
    assert answer.json()["code"] == "reentry_required"
    answer = acme.api().patch("connections/warehouse/", {**moved, "secrets": warehouse["secrets"]})
    assert answer.status_code == 200, answer.content


def test_a_vault_that_is_silent_ends_with_the_requests_own_deadline(
    acme: Tenant,
    warehouse: dict[str, Any],
    postgresql: PausableServer,
    openbao: OpenBao,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.CATALOG_VAULT_URL, settings.CATALOG_VAULT_CA = openbao.url, str(openbao.authority)
    settings.CATALOG_VAULT_TIMEOUT = 30
    monkeypatch.setenv("CATALOG_VAULT_TOKEN", openbao.root_token)
    openbao.put("acme/db", password="x")
    made = acme.api().post(
        "connections/", {**warehouse, "secrets": {"password": {"ref": "vault:secret/acme/db#password"}}}
    )
    assert made.status_code == 201
    openbao.pause()
    try:
        started = time.monotonic()
        answer = acme.api("analyst").post("connections/warehouse/preview/", {**QUERY, "timeout": 1})
        assert time.monotonic() - started < 5
    finally:
        openbao.resume()
    assert answer.json()["code"] in ("unreachable", "deadline")
    assert answer.json()["transient"] is True
    openbao.put("acme/db", password=postgresql.reader_password)
    assert previewed(acme).status_code == 200


def test_a_reference_is_staged_tested_promoted_and_taken_back_and_the_record_tells_where_secrets_were(
    acme: Tenant, warehouse: dict[str, Any], postgresql: PausableServer
) -> None:
    typed = {**warehouse, "secrets": {"password": postgresql.reader_password}}
    assert acme.api().post("connections/", typed).status_code == 201
    stage, place = "connections/warehouse/secrets/stage/", {"password": "env:ACME_PASSWORD"}
    answer = acme.api().post(stage, {"secrets": {"password": {"ref": "env:ACME_MISSING"}}})
    assert (answer.json()["rotation"]["pending"]["ok"], answer.json()["rotation"]["pending"]["code"]) == (
        False,
        "locked",
    )
    answer = acme.api().post("connections/warehouse/secrets/promote/", {})
    assert (answer.status_code, answer.json()["check"]["field"]) == (422, "/secrets/password")
    answer = acme.api().post(stage, {"secrets": warehouse["secrets"]})
    assert answer.json()["rotation"]["pending"]["ok"] is True
    promoted = acme.api().post("connections/warehouse/secrets/promote/", {}).json()
    assert promoted["secrets"]["password"]["ref"] == "env:ACME_PASSWORD"
    assert previewed(acme).status_code == 200
    back = acme.api().post("connections/warehouse/secrets/rollback/", {}).json()
    assert "ref" not in back["secrets"]["password"]
    told = acme.api("admin").get("events/?page_size=200").json()["results"]
    moves = {event["action"]: event["changes"].get("references") for event in told}
    assert moves["connection.stage"] == [{}, {"password": "env:ACME_MISSING"}]  # the first that was staged
    assert (moves["connection.promote"], moves["connection.rollback"]) == ([{}, place], [place, {}])
