"""A source whose settings changed twice: old connections work, and become of today without losing a secret."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection as database
from django.urls import reverse

from connections.adapters import snapshots, upgrades
from connections.adapters.registry import registry
from connections.models import Connection, ConnectionSecrets, Event, Slot
from connections.services import connections, drafts, rotation, slots, upgrade_rows, upgrading, vault
from connections.services.connections import Change
from connections.services.errors import ConfigOutdated, Locked
from tests.admin.test_editing import form_of
from tests.catalogue import CANARY, Tenant
from tests.evolving import SITE

Install = Callable[[int], Any]


@pytest.fixture
def version(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs one version of the source, in place of another."""
    monkeypatch.syspath_prepend(SITE)
    versions = importlib.import_module("catalog_evolving.versions").VERSIONS
    place = ("catalog_evolving of catalog-evolving", lambda: versions[1])
    monkeypatch.setattr(registry, "_places", {**registry._places, "evolving": place})
    monkeypatch.setattr(registry, "_loaded", dict(registry._loaded))

    def install(number: int) -> Any:
        registry._loaded["evolving"] = versions[number]
        return versions[number]

    install(1)
    yield install
    del sys.modules["catalog_evolving.versions"]


def make(tenant: Tenant, name: str = "Old", **config: Any) -> Connection:
    change = Change(
        name=name,
        config={"host": "api.example.com", "port": 8443, "user": "ada", **config},
        secrets={"token": CANARY},
        probe={"path": "health"},
    )
    return connections.create(tenant.actor(), "evolving", change)


def fresh(tenant: Tenant, row: Connection) -> Connection:
    return connections.get(tenant.actor(), row.slug)


TODAY = {
    "base_url": "https://api.example.com:8443/",
    "login": "ada",
    "auth": {"kind": "bearer"},
    "retry": {"attempts": 2, "delay": 0.2},
}


def test_a_row_of_the_first_version_is_read_as_todays(acme: Tenant, version: Install) -> None:
    row = make(acme)
    adapter = version(3)
    row = fresh(acme, row)
    assert drafts.settings_of(adapter, row) == {**TODAY, "auth": {"kind": "bearer", "token": CANARY}}
    assert upgrading.probe(row) == {"paths": ["health"]}
    shown = acme.api("viewer").get(f"connections/{row.slug}/").json()
    assert shown["config"] == TODAY
    assert (shown["schema_version"], shown["state"]) == (3, "unchecked")
    assert shown["secrets"]["auth"]["token"]["set"] is True
    assert (Connection.objects.get().schema_version, Connection.objects.get().version) == (1, 1)


def test_a_row_of_todays_version_is_never_looked_at(
    acme: Tenant, version: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = make(acme)

    def refuse(*args: Any) -> Any:
        raise AssertionError("An upgrade was looked for.")

    monkeypatch.setattr(upgrades, "steps", refuse)
    monkeypatch.setattr(snapshots, "_kept_fields", refuse)
    assert acme.api("viewer").get(f"connections/{row.slug}/").json()["state"] == "unchecked"
    assert drafts.settings_of(version(1), fresh(acme, row))["token"] == CANARY


def test_the_form_of_an_old_row_has_todays_fields_with_its_values(acme: Tenant, version: Install) -> None:
    row = make(acme)
    version(3)
    page = acme.browser().get(reverse("admin:connections_connection_change", args=[row.pk])).content.decode()
    assert "https://api.example.com:8443/" in page
    assert 'value="ada"' in page
    assert CANARY not in page


def test_a_save_keeps_the_secret_and_stores_todays_settings(acme: Tenant, version: Install) -> None:
    row = make(acme)
    set_at = vault.names(row)["token"]
    adapter = version(3)
    answer = acme.api().patch(f"connections/{row.slug}/", {"config": {"login": "grace"}})
    assert answer.status_code == 200, answer.content
    stored = Connection.objects.get()
    assert (stored.schema_version, stored.config) == (3, {**TODAY, "login": "grace"})
    assert stored.probe == {"paths": ["health"]}
    assert ConnectionSecrets.objects.get().names == {"auth.token": set_at}
    assert drafts.settings_of(adapter, fresh(acme, row))["auth"]["token"] == CANARY
    event = Event.objects.filter(action="connection.update").get()
    assert event.changes["config"][0]["host"] == "api.example.com"
    assert event.changes["config"][1]["login"] == "grace"


def test_a_rename_leaves_an_old_row_old(acme: Tenant, version: Install) -> None:
    row = make(acme)
    version(3)
    assert acme.api().patch(f"connections/{row.slug}/", {"name": "New"}).status_code == 200
    assert Connection.objects.get().schema_version == 1


def test_another_endpoint_asks_for_the_secret_of_an_old_row_again(acme: Tenant, version: Install) -> None:
    row = make(acme)
    version(3)
    answer = acme.api().patch(f"connections/{row.slug}/", {"config": {"base_url": "https://other.example.com/"}})
    assert (answer.status_code, answer.json()["code"]) == (400, "reentry_required")
    assert answer.json()["errors"][0]["pointer"] == "/secrets/auth/token"


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_old_row_whose_host_was_changed_in_the_database_does_not_open(
    acme: Tenant, version: Install, number: int
) -> None:
    row = make(acme)
    adapter = version(number)
    Connection.objects.update(config={**row.config, "host": "evil.example.com"})
    row = fresh(acme, row)
    with pytest.raises(Locked, match="another endpoint"):
        drafts.settings_of(adapter, row)
    assert acme.api("viewer").get(f"connections/{row.slug}/").json()["state"] == "locked"


def test_the_version_of_a_row_cannot_be_changed_in_the_database_either(acme: Tenant, version: Install) -> None:
    row = make(acme)
    Connection.objects.update(schema_version=2)
    adapter = version(3)
    with pytest.raises(Locked):
        drafts.settings_of(adapter, fresh(acme, row))


def test_a_batch_upgrades_rows_reseals_their_secrets_and_tells_each(
    acme: Tenant, globex: Tenant, version: Install
) -> None:
    rows = [make(acme, f"Old {number}") for number in range(3)] + [make(globex)]
    before = {each.pk: bytes(each.blob) for each in ConnectionSecrets.objects.all()}
    names = [vault.names(row)["token"] for row in rows]
    adapter = version(3)
    call_command("schemas", "upgrade", "--batch", "2")
    for tenant, row, set_at in zip((acme, acme, acme, globex), rows, names, strict=True):
        row = fresh(tenant, row)
        assert (row.schema_version, row.config, row.probe) == (3, TODAY, {"paths": ["health"]})
        assert (row.version, row.access_version) == (2, 2)
        assert vault.names(row) == {"auth.token": set_at}
        assert drafts.settings_of(adapter, row)["auth"]["token"] == CANARY
        event = Event.objects.get(action="connection.upgrade", object_id=str(row.pk))
        assert event.organisation_id == row.organisation_id
        assert event.changes["schema_version"] == [1, 3]
        assert event.changes["secrets"] == ["auth.token", "token"]
        assert CANARY not in str(event.changes)
    after = {each.pk: bytes(each.blob) for each in ConnectionSecrets.objects.all()}
    assert all(before[pk] != blob for pk, blob in after.items())


def test_each_version_comes_to_todays(acme: Tenant, version: Install) -> None:
    first = make(acme)
    adapter = version(2)
    config = {"base_url": "https://two.example.com/", "user": "ada"}
    second = connections.create(
        acme.actor(), "evolving", Change(name="Second", config=config, secrets={"token": CANARY})
    )
    call_command("schemas", "upgrade")
    assert [fresh(acme, row).schema_version for row in (first, second)] == [2, 2]
    adapter = version(3)
    call_command("schemas", "upgrade")
    for row, host in ((first, "api.example.com:8443"), (second, "two.example.com")):
        found = drafts.settings_of(adapter, fresh(acme, row))
        assert (found["base_url"], found["auth"]["token"]) == (f"https://{host}/", CANARY)


def test_what_is_pending_goes_along(acme: Tenant, version: Install) -> None:
    row = make(acme)
    slots.stage(row, drafts.changed(version(1), row, {}, {"token": "next"}))
    adapter = version(3)
    call_command("schemas", "upgrade")
    row = fresh(acme, row)
    assert drafts.settings_of(adapter, row, Slot.PENDING)["auth"]["token"] == "next"
    assert drafts.settings_of(adapter, row)["auth"]["token"] == CANARY


def test_one_organisation_alone_and_a_trial_that_keeps_nothing(
    acme: Tenant, globex: Tenant, version: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    make(acme), make(globex)
    version(3)
    call_command("schemas", "upgrade", "--dry-run")
    assert "2 connections would be upgraded" in capsys.readouterr().out
    assert not Event.objects.filter(action="connection.upgrade").exists()
    call_command("schemas", "upgrade", "--org", "acme")
    found = Connection.objects.values_list("organisation__slug", "schema_version").order_by("organisation__slug")
    assert list(found) == [("acme", 3), ("globex", 1)]
    with pytest.raises(CommandError, match="There is no organisation nowhere"):
        call_command("schemas", "upgrade", "--org", "nowhere")


def test_what_does_not_open_or_fit_stays_as_it_is_and_is_counted(
    acme: Tenant, version: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    spoilt, unfit, _ = make(acme, "Spoilt"), make(acme, "Unfit", user="a" * 30), make(acme, "Fine")
    with database.cursor() as cursor:
        table = ConnectionSecrets._meta.db_table
        cursor.execute(f"update {table} set fingerprint = 'x' where connection_id = %s", [_key(spoilt)])
    version(3)
    call_command("schemas", "upgrade")
    told = capsys.readouterr().out
    assert "1 connections upgraded" in told
    assert "1 have secrets that do not open" in told
    assert "1 do not fit" in told
    assert [fresh(acme, row).schema_version for row in (spoilt, unfit)] == [1, 1]
    assert acme.api("viewer").get(f"connections/{unfit.slug}/").json()["state"] == "invalid"


def _key(row: Connection) -> Any:
    return Connection._meta.pk.get_db_prep_value(row.pk, database)


def test_a_row_that_was_changed_meanwhile_is_left_to_the_next_run(acme: Tenant, version: Install) -> None:
    row = make(acme)
    version(3)
    assert upgrade_rows._upgrade_one(row.pk, row.version + 1, False) == "changed"
    assert Connection.objects.get().schema_version == 1


def test_the_form_of_a_row_that_no_longer_fits_opens_with_its_old_values_and_errors_beside_the_fields(
    acme: Tenant, version: Install
) -> None:
    row = make(acme, user="ada-of-a-name-that-is-too-long")
    version(3)
    browser, address = acme.browser(), reverse("admin:connections_connection_change", args=[row.pk])
    page = browser.get(address).content.decode()
    assert "https://api.example.com:8443/" in page
    assert 'value="ada-of-a-name-that-is-too-long"' in page
    assert 'aria-invalid="true"' in page
    assert "At most 20 characters." in page


def test_a_setting_that_is_gone_is_named_at_the_head_of_the_form_and_goes_with_the_next_save(acme: Tenant) -> None:
    row = acme.sqlite()
    Connection.objects.update(config={**row.config, "gone": "x", "path": ""})
    browser, address = acme.browser(), reverse("admin:connections_connection_change", args=[row.pk])
    page = browser.get(address).content.decode()
    assert "gone: This setting is not known." in page
    assert page.count('aria-invalid="true"') == 1
    form = {**form_of(page), "config__path": "shop.sqlite3"}
    assert browser.post(address, form).status_code == 302
    assert (fresh(acme, row).config["path"], "gone" in fresh(acme, row).config) == ("shop.sqlite3", False)


def test_a_row_that_no_upgrade_takes_is_invalid_and_keeps_its_values(
    acme: Tenant, version: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = make(acme)
    Connection.objects.update(config={"port": 1})
    adapter = version(3)
    row = fresh(acme, row)
    assert upgrading.config(row) == {"port": 1}
    assert "does not take these settings (KeyError)" in str(upgrading.problem(row))
    shown = acme.api("viewer").get(f"connections/{row.slug}/").json()
    assert (shown["config"], shown["schema_version"]) == ({"port": 1}, 1)
    page = acme.browser().get(reverse("admin:connections_connection_change", args=[row.pk]))
    assert page.status_code == 200
    monkeypatch.setattr(adapter, "upgrades", {})
    assert "brings no upgrade of its settings from version 1" in str(upgrading.problem(fresh(acme, row)))


def test_a_row_of_a_newer_version_than_the_process_knows_is_invalid_and_not_opened(
    acme: Tenant, version: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = make(acme)
    version(3)
    call_command("schemas", "upgrade")
    adapter = version(1)
    row = fresh(acme, row)
    assert acme.api("viewer").get(f"connections/{row.slug}/").json()["state"] == "invalid"
    with pytest.raises(ConfigOutdated):
        drafts.settings_of(adapter, row)
    with monkeypatch.context() as without:  # as an older release has it
        without.setattr(snapshots, "_kept_fields", lambda place: None)
        assert acme.api("viewer").get(f"connections/{row.slug}/").json()["state"] == "invalid"
        with pytest.raises(Locked, match="another version of the source"):
            drafts.settings_of(adapter, row)
    assert drafts.settings_of(version(3), fresh(acme, row))["auth"]["token"] == CANARY


def test_secrets_of_a_version_without_a_snapshot_are_locked(
    acme: Tenant, version: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = make(acme)
    adapter = version(3)
    monkeypatch.setattr(snapshots, "_kept_fields", lambda place: None)
    with pytest.raises(Locked, match="not known any more"):
        drafts.settings_of(adapter, fresh(acme, row))


def test_secrets_of_an_old_row_are_staged_promoted_and_taken_back(acme: Tenant, version: Install) -> None:
    row = make(acme)
    Connection.objects.update(probe={})
    rotation.stage(acme.actor(), fresh(acme, row), {"token": "next"})
    # As if they had passed their test: workers that were started before do not know the source.
    ConnectionSecrets.objects.filter(slot=Slot.PENDING).update(tested_ok=True)
    adapter = version(3)
    rotation.promote(acme.actor(), fresh(acme, row))
    assert Connection.objects.get().schema_version == 3
    assert drafts.settings_of(adapter, fresh(acme, row))["auth"]["token"] == "next"
    rotation.rollback(acme.actor(), fresh(acme, row))
    assert drafts.settings_of(adapter, fresh(acme, row))["auth"]["token"] == CANARY
