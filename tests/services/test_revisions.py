"""Earlier settings of a connection: kept with each change of them, given back by the same way as any change."""

from __future__ import annotations

from typing import Any

import pytest

from connections.models import Connection, ConnectionRevision, Event
from connections.services import connections, restoring, revisions, vault
from connections.services.connections import Change
from connections.services.errors import Forbidden, Invalid, NotFound, ReentryRequired, VersionConflict
from connections.services.restoring import replacing
from tests.catalogue import Tenant
from tests.services.test_upgrades import version  # noqa: F401 a fixture

CONFIG = {"host": "db.example.com", "database": "sales", "user": "reader"}


def make(tenant: Tenant) -> Connection:
    return connections.create(
        tenant.actor(), "postgresql", Change(name="Warehouse", config=CONFIG, secrets={"password": "p"})
    )


def update(tenant: Tenant, row: Connection, **change: Any) -> Connection:
    return connections.update(tenant.actor(), row, Change(**change))


def versions(tenant: Tenant, row: Connection) -> list[int]:
    return [each.version for each in revisions.history(tenant.actor("viewer"), row)]


def test_a_version_is_kept_when_settings_change_and_at_no_other_time(acme: Tenant) -> None:
    row = make(acme)
    row = update(acme, row, name="Renamed")
    row = update(acme, row, secrets={"password": "other"})
    row = update(acme, row, config={"database": "other"})
    assert versions(acme, row) == [4, 1]
    newest = revisions.get(acme.actor(), row, 4)
    assert (newest.config, newest.made_by) == (row.config, "acme-editor")
    assert revisions.get(acme.actor(), row, 1).config["database"] == "sales"


def test_a_change_that_is_refused_keeps_no_version(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    row = make(acme)
    monkeypatch.setattr("connections.services.events.insert", _fail)
    with pytest.raises(RuntimeError):
        update(acme, row, config={"database": "other"})
    assert ConnectionRevision.objects.filter(connection=row).count() == 1


def _fail(*args: Any, **kwargs: Any) -> None:
    raise RuntimeError("no event, no action")


def test_settings_from_before_there_were_versions_are_kept_with_the_next_change(acme: Tenant) -> None:
    row = make(acme)
    ConnectionRevision.objects.all().delete()
    only = revisions.only(acme.actor("viewer"), row)
    assert only is not None
    assert (only.version, only.config, only.made_by) == (1, row.config, "")
    row = update(acme, row, name="Renamed")
    row = update(acme, row, config={"database": "other"})
    assert versions(acme, row) == [3, 2]
    row = restoring.restore(acme.actor(), row, 2)
    assert row.config["database"] == "sales"


def test_a_restore_is_a_new_version_with_its_own_event_and_difference(acme: Tenant) -> None:
    row = make(acme)
    before = row.config
    row = update(acme, row, config={"database": "other", "connect_timeout": 5})
    row = restoring.restore(acme.actor(), row, 1)
    assert (row.config, row.version, row.access_version) == (before, 3, 3)
    assert vault.unseal(row) == {"password": "p"}
    assert versions(acme, row) == [3, 2, 1]
    event = Event.objects.get(action="connection.restore")
    assert event.detail == {"restored": 1}
    assert [settings["database"] for settings in event.changes["config"]] == ["other", "sales"]


def test_a_restore_of_what_there_is_changes_nothing(acme: Tenant) -> None:
    row = make(acme)
    assert restoring.restore(acme.actor(), row, 1).version == 1
    assert not Event.objects.filter(action="connection.restore").exists()


def test_a_kept_secret_does_not_go_to_an_earlier_endpoint(acme: Tenant) -> None:
    row = make(acme)
    row = update(acme, row, config={"host": "new.example.com"}, secrets={"password": "new"})
    with pytest.raises(ReentryRequired) as caught:
        restoring.restore(acme.actor(), row, 1)
    assert [problem.pointer for problem in caught.value.problems] == ["/secrets/password"]
    row = restoring.restore(acme.actor(), row, 1, secrets={"password": "again"})
    assert (row.config["host"], vault.unseal(row)) == ("db.example.com", {"password": "again"})


def test_a_restore_takes_away_what_came_later_and_brings_back_another_kind_of_login(acme: Tenant) -> None:
    tunnel = {"host": "bastion.example.com", "user": "jump", "host_key": "ssh-ed25519 AAAA"}
    row = make(acme)
    password = {"password": "p", "tunnel": {"auth": {"password": "t"}}}
    row = update(acme, row, config={"tunnel": {**tunnel, "auth": {"kind": "password"}}}, secrets=password)
    key = {"password": "p", "tunnel": {"auth": {"private_key": "PEM"}}}
    row = update(acme, row, config={"tunnel": {"auth": {"kind": "key"}}}, secrets=key)
    row = restoring.restore(acme.actor(), row, 2, secrets=password)
    assert row.config["tunnel"]["auth"] == {"kind": "password"}
    assert vault.unseal(row) == password
    row = restoring.restore(acme.actor(), row, 1, secrets={"password": "p"})
    assert "tunnel" not in row.config
    assert vault.unseal(row) == {"password": "p"}


def test_settings_that_fit_no_more_are_refused_by_name(acme: Tenant) -> None:
    row = make(acme)
    row = update(acme, row, config={"database": "other"})
    ConnectionRevision.objects.filter(connection=row, version=1).update(config={**CONFIG, "gone": 1})
    with pytest.raises(Invalid) as caught:
        restoring.restore(acme.actor(), row, 1)
    assert [problem.pointer for problem in caught.value.problems] == ["/config/gone"]


def test_who_may_not_change_may_not_restore_and_anothers_version_is_not_there(acme: Tenant, globex: Tenant) -> None:
    row = update(acme, make(acme), config={"database": "other"})
    with pytest.raises(Forbidden):
        restoring.restore(acme.actor("analyst"), row, 1)
    with pytest.raises(NotFound):
        restoring.restore(globex.actor(), row, 1)
    for number in (7, 2**40):
        with pytest.raises(NotFound):
            restoring.restore(acme.actor(), row, number)


def test_a_restore_of_a_page_that_is_stale_is_refused(acme: Tenant) -> None:
    row = update(acme, make(acme), config={"database": "other"})
    with pytest.raises(VersionConflict):
        restoring.restore(acme.actor(), row, 1, expected=1)


def test_a_copy_begins_its_own_history(acme: Tenant) -> None:
    copy = connections.clone(acme.actor(), update(acme, make(acme), config={"database": "other"}))
    assert versions(acme, copy) == [1]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {"a": 1}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}),
        ({"a": {"b": 1}}, {"a": "text"}),
        ({"a": "text"}, {"a": {"b": {"c": 1}}}),
        ({"a": [1], "b": {"c": {"d": 1}}}, {"b": {"c": {}}}),
    ],
)
def test_the_patch_of_a_restore_makes_the_whole_of_it(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert _merged(old, replacing(old, new)) == new


def _merged(target: Any, patch: Any) -> Any:
    """JSON Merge Patch, as RFC 7396 writes it down."""
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        else:
            target[name] = _merged(target.get(name), value)
    return target


def test_settings_of_an_older_schema_come_back_as_todays(acme: Tenant, version: Any) -> None:  # noqa: F811
    change = Change(name="Old", config={"host": "api.example.com", "port": 8443, "user": "ada"}, secrets={"token": "t"})
    row = connections.create(acme.actor(), "evolving", change)
    version(3)
    row = connections.update(acme.actor(), connections.get(acme.actor(), row.slug), Change(config={"login": "grace"}))
    assert revisions.get(acme.actor(), row, 1).schema_version == 1
    row = restoring.restore(acme.actor(), row, 1)
    assert (row.config["login"], row.config["base_url"], row.schema_version) == (
        "ada",
        "https://api.example.com:8443/",
        3,
    )
    assert vault.unseal(row) == {"auth": {"token": "t"}}
