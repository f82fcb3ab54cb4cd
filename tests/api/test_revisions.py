"""Earlier settings, ends of secrets and uses, over REST."""

from __future__ import annotations

from typing import Any

import pytest

from connections.models import ConnectionRevision
from connections.services import uses
from tests.catalogue import CANARY, Tenant
from tests.services.test_endings import END, pem, token

CONFIG = {"host": "db.example.com", "database": "sales", "user": "reader"}
ISO = "2031-05-06T07:08:09Z"


def make(tenant: Tenant, **more: Any) -> Any:
    body = {"name": "Warehouse", "source": "postgresql", "config": CONFIG, "secrets": {"password": CANARY}, **more}
    return tenant.api()("POST", "connections/", body)


# Revisions and restore ---------------------------------------------------------------------------------------------


def test_versions_come_newest_first_and_page(acme: Tenant) -> None:
    make(acme)
    api = acme.api()
    for database in ("one", "two", "three"):
        api.patch("connections/warehouse/", {"config": {"database": database}})
    first = acme.api("viewer").get("connections/warehouse/revisions/?page_size=3").json()
    assert [(row["version"], row["config"]["database"]) for row in first["results"]] == [
        (4, "three"),
        (3, "two"),
        (2, "one"),
    ]
    assert set(first["results"][0]) == {"version", "made_at", "made_by", "schema_version", "config"}
    assert first["results"][0]["made_by"].startswith("editor key (ck_")
    second = api.get(first["next"].removeprefix("http://testserver/api/v1")).json()
    assert [row["version"] for row in second["results"]] == [1]
    assert CANARY not in str(first)


def test_a_connection_from_before_there_were_versions_shows_its_settings_as_the_only_one(acme: Tenant) -> None:
    make(acme)
    ConnectionRevision.objects.all().delete()
    found = acme.api().get("connections/warehouse/revisions/").json()
    assert [(row["version"], row["made_by"]) for row in found["results"]] == [(1, None)]
    assert acme.api().get("connections/warehouse/revisions/?page_size=0").status_code == 400
    assert acme.api().post("connections/warehouse/revisions/1/restore/").status_code == 200


def test_a_restore_answers_with_the_connection_and_asks_for_the_secret_where_it_must(acme: Tenant) -> None:
    make(acme)
    api = acme.api()
    api.patch("connections/warehouse/", {"config": {"host": "new.example.com"}, "secrets": {"password": "new"}})
    path = "connections/warehouse/revisions/1/restore/"
    refused = api.post(path)
    assert (refused.status_code, refused.json()["code"]) == (400, "reentry_required")
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/secrets/password"]
    restored = api.post(path, {"secrets": {"password": CANARY}})
    assert restored.status_code == 200
    assert restored.json()["config"]["host"] == "db.example.com"
    assert restored.json()["version"] == 3
    assert restored["ETag"] == '"3"'
    assert CANARY not in restored.content.decode()


def test_a_restore_is_guarded_by_version_and_knows_its_members(acme: Tenant) -> None:
    make(acme)
    api = acme.api()
    api.patch("connections/warehouse/", {"config": {"database": "other"}})
    path = "connections/warehouse/revisions/1/restore/"
    assert api.post(path, {"version": 1}).json()["code"] == "version_conflict"
    assert api("POST", path, {}, **{"If-Match": '"1"'}).status_code == 412
    bodies: list[Any] = [{"config": {}}, {"secrets": "x"}, {"version": "1"}, []]
    for body in bodies:
        assert api.post(path, body).status_code == 400
    for version in ("9", "99999999999999", "0"):
        assert api.post(f"connections/warehouse/revisions/{version}/restore/").status_code == 404
    assert acme.api("analyst").post(path).status_code == 403
    assert acme.api("analyst").post(path.replace("1", "9")).status_code == 404


# Ends of secrets ---------------------------------------------------------------------------------------------------


def test_ends_of_secrets_are_shown_by_whose_word_and_filtered(acme: Tenant) -> None:
    secrets = {"password": token({"exp": int(END.timestamp())}), "tls": {"certificate": pem(END), "key": "PEM"}}
    answer = make(acme, secrets=secrets, expiries={"password": "2026-01-01"})
    assert answer.status_code == 201, answer.content
    found = answer.json()
    assert found["secrets_expire_at"] == "2026-01-01T00:00:00Z"
    assert found["secrets"]["password"]["expires_at"] == "2026-01-01T00:00:00Z"
    assert found["secrets"]["password"]["expiries"] == [
        {"at": "2026-01-01T00:00:00Z", "from": "manual"},
        {"at": ISO, "from": "jwt"},
    ]
    assert found["secrets"]["tls"]["certificate"]["expiries"] == [{"at": ISO, "from": "certificate"}]
    assert found["warnings"][0]["code"] == "expired"
    assert found["warnings"][0]["field"] == "/secrets/password"
    make(acme, name="Quiet")
    api = acme.api("viewer")
    for days in ("0", "7", "3650"):
        rows = api.get(f"connections/?expiring={days}").json()["results"]
        assert [row["slug"] for row in rows] == ["warehouse"], days
    for odd in ("-1", "x", "3651", "00000000000000000000007", "1.5", "٣"):
        assert api.get(f"connections/?expiring={odd}").status_code == 400, odd


def test_a_date_by_hand_is_set_and_taken_away(acme: Tenant) -> None:
    make(acme)
    api = acme.api()
    changed = api.patch("connections/warehouse/", {"expiries": {"password": "2031-01-31"}}).json()
    assert (changed["secrets_expire_at"], changed["version"]) == ("2031-01-31T00:00:00Z", 2)
    same = api.patch("connections/warehouse/", {"expiries": {"password": "2031-01-31"}}).json()
    assert same["version"] == 2
    cleared = api.patch("connections/warehouse/", {"expiries": {"password": None}}).json()
    assert (cleared["secrets_expire_at"], cleared["version"]) == (None, 3)
    assert "expires_at" not in cleared["secrets"]["password"]
    deep: Any = "2031-01-31"
    for _ in range(300):
        deep = {"a": deep}
    for wanted in ({"password": "never"}, {"tls": {"key": "2031-01-31"}}, 5, ["x"], deep):
        body = {"expiries": wanted}
        refused = api.patch("connections/warehouse/", body)
        assert refused.status_code == 400, body
        assert refused.json()["errors"][0]["pointer"].startswith("/expiries")


# Uses --------------------------------------------------------------------------------------------------------------


def test_the_use_of_a_connection_is_told_with_it_and_not_in_lists(acme: Tenant, settings: Any) -> None:
    settings.CATALOG_USE_INTERVAL = 3600.0
    row = acme.sqlite()
    api = acme.api("viewer")
    assert api.get("connections/shop/").json()["use"] is None
    uses.note(row.pk, row.organisation_id, "ann")
    uses.note(row.pk, row.organisation_id, "etl")
    uses.flush()
    use = api.get("connections/shop/").json()["use"]
    assert (use["count"], use["last_used_by"]) == (2, "etl")
    assert use["last_used_at"].endswith("Z")
    assert "use" not in api.get("connections/").json()["results"][0]


@pytest.mark.parametrize("path", ["preview", "describe"])
def test_every_read_is_a_use(acme: Tenant, settings: Any, path: str) -> None:
    settings.CATALOG_USE_INTERVAL = 3600.0
    uses._tally.take()
    acme.sqlite()
    assert acme.api().post(f"connections/shop/{path}/", {"query": {"sql": "select 1"}}).status_code == 200
    uses.flush()
    use = acme.api("viewer").get("connections/shop/").json()["use"]
    assert use is not None, "the path notes no use"
    assert use["count"] == 1
    assert use["last_used_by"].startswith("editor key (ck_")
