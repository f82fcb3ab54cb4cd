"""Secrets of a saved connection: kept, set, cleared, bound to their endpoint, and told when they do not open."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import serializers
from django.db import connection as database

from connections.models import Connection, ConnectionSecrets, OrganisationKey
from connections.sealing.keyring import make_entry
from connections.services import connections, drafts, sources, state, vault
from connections.services.connections import Change
from connections.services.errors import Invalid, Locked, ReentryRequired
from tests.catalogue import CANARY, Tenant

CONFIG = {"host": "db.example.com", "port": 5432, "database": "sales", "user": "reader"}
PLAIN_TUNNEL = {
    "host": "bastion.example.com",
    "user": "jump",
    "host_key": "ssh-ed25519 AAAA",
    "auth": {"kind": "password"},
}


def make(tenant: Tenant, **secrets: object) -> Connection:
    change = Change(name="Warehouse", config=CONFIG, secrets=secrets or {"password": CANARY})
    return connections.create(tenant.actor(), "postgresql", change)


def update(tenant: Tenant, row: Connection, **change: object) -> Connection:
    return connections.update(tenant.actor(), row, Change(**change))  # type: ignore[arg-type]


def stored(row: Connection) -> dict[str, object]:
    return vault.unseal(Connection.objects.get(pk=row.pk))


def test_a_secret_left_out_keeps_the_stored_one(acme: Tenant) -> None:
    row = update(acme, make(acme), name="Renamed", config={"database": "other"})
    assert stored(row) == {"password": CANARY}


def test_renaming_a_connection_leaves_its_sealed_bytes_alone(acme: Tenant) -> None:
    row = make(acme)
    before = bytes(ConnectionSecrets.objects.get(connection=row).blob)
    row = update(acme, row, name="Renamed")
    assert bytes(ConnectionSecrets.objects.get(connection=row).blob) == before
    assert (row.version, row.access_version) == (2, 1)


def test_a_new_value_replaces_the_secret_and_moves_its_time_and_the_generation(acme: Tenant) -> None:
    row = make(acme)
    before = vault.names(row)["password"]
    row = update(acme, row, secrets={"password": "other"})
    assert stored(row) == {"password": "other"}
    assert vault.names(row)["password"] > before
    assert row.secrets_generation == 2


def test_null_clears_the_secret(acme: Tenant) -> None:
    row = update(acme, make(acme), secrets={"password": None})
    assert stored(row) == {}
    assert state.secrets_shown(row)["password"] == {"set": False, "updated_at": None}


@pytest.mark.parametrize("mask", ["", "***", "••••", "********", "● ● ●"])
def test_blanks_and_masks_are_never_stored(acme: Tenant, mask: str) -> None:
    row = make(acme)
    with pytest.raises(Invalid) as caught:
        update(acme, row, secrets={"password": mask})
    assert [problem.pointer for problem in caught.value.problems] == ["/secrets/password"]
    assert stored(row) == {"password": CANARY}


@pytest.mark.parametrize(
    "change", [{"host": "evil.example.com"}, {"port": 5433}, {"tls": {"mode": "disable"}}, {"tunnel": PLAIN_TUNNEL}]
)
def test_a_kept_secret_never_goes_to_another_endpoint(acme: Tenant, change: dict[str, object]) -> None:
    row = make(acme)
    with pytest.raises(ReentryRequired) as caught:
        update(acme, row, config=change)
    assert [problem.pointer for problem in caught.value.problems] == ["/secrets/password"]
    assert Connection.objects.get(pk=row.pk).config == row.config


def test_a_secret_entered_again_may_go_to_a_new_endpoint(acme: Tenant) -> None:
    row = update(acme, make(acme), config={"host": "new.example.com"}, secrets={"password": "again"})
    assert (row.config["host"], stored(row)) == ("new.example.com", {"password": "again"})


def test_settings_beside_the_endpoint_change_without_reentry(acme: Tenant) -> None:
    row = update(acme, make(acme), config={"user": "other", "connect_timeout": 5})
    assert (row.config["user"], stored(row)) == ("other", {"password": CANARY})


def test_the_test_of_unsaved_edits_keeps_the_endpoint_rule(acme: Tenant) -> None:
    adapter = sources.chosen("postgresql", acme.organisation)
    with pytest.raises(ReentryRequired):
        drafts.changed(adapter, make(acme), {"host": "evil.example.com"}, {})


def test_a_secret_inside_config_and_a_setting_inside_secrets_are_refused(acme: Tenant) -> None:
    with pytest.raises(Invalid) as caught:
        connections.create(
            acme.actor(), "postgresql", Change(name="X", config={**CONFIG, "password": CANARY}, secrets={"host": "h"})
        )
    assert {problem.pointer for problem in caught.value.problems} >= {"/config/password", "/secrets/host"}
    assert CANARY not in repr(caught.value.problems) + str(caught.value)


def test_changing_the_kind_of_a_choice_drops_the_other_kinds_secrets(acme: Tenant) -> None:
    secrets = {"password": CANARY, "tunnel": {"auth": {"password": "jump"}}}
    change = Change(name="W", config={**CONFIG, "tunnel": PLAIN_TUNNEL}, secrets=secrets)
    row = connections.create(acme.actor(), "postgresql", change)
    patch = {"tunnel": {"auth": {"kind": "key"}}}
    row = update(acme, row, config=patch, secrets={"password": "p2", "tunnel": {"auth": {"private_key": "PEM"}}})
    assert stored(row) == {"password": "p2", "tunnel": {"auth": {"private_key": "PEM"}}}


@pytest.mark.parametrize("spoil", ["blob", "generation", "fingerprint", "names"])
def test_a_row_that_was_tampered_with_is_locked_and_opens_nothing(acme: Tenant, spoil: str) -> None:
    row, other = make(acme), make(acme)
    theirs = ConnectionSecrets.objects.get(connection=other)
    change = {
        "blob": {"blob": theirs.blob},
        "generation": {"generation": 7},
        "fingerprint": {"fingerprint": "0" * 64},
        "names": {"names": {"password": "2026-01-01T00:00:00Z", "other": "2026-01-01T00:00:00Z"}},
    }[spoil]
    ConnectionSecrets.objects.filter(connection=row).update(**change)
    fresh = connections.get(acme.actor(), row.slug)
    with pytest.raises(Locked):
        vault.unseal(fresh)
    assert state.state(connections.get(acme.actor(), row.slug)) == "locked"


def test_secrets_moved_to_another_organisation_do_not_open(acme: Tenant, globex: Tenant) -> None:
    row, theirs = make(acme), make(globex)
    ConnectionSecrets.objects.filter(connection=theirs).update(blob=ConnectionSecrets.objects.get(connection=row).blob)
    with pytest.raises(Locked):
        vault.unseal(connections.get(globex.actor(), theirs.slug))


def test_an_older_blob_put_back_does_not_open(acme: Tenant) -> None:
    row = make(acme)
    old = ConnectionSecrets.objects.get(connection=row)
    row = update(acme, row, secrets={"password": "newer"})
    ConnectionSecrets.objects.filter(connection=row).update(blob=old.blob, generation=old.generation, names=old.names)
    with pytest.raises(Locked):
        vault.unseal(connections.get(acme.actor(), row.slug))


def test_a_locked_connection_lists_renames_and_takes_secrets_again(acme: Tenant) -> None:
    row = make(acme)
    OrganisationKey.objects.filter(organisation=acme.organisation).update(ring_key="gone")
    row = connections.get(acme.actor(), row.slug)
    before = bytes(ConnectionSecrets.objects.get(connection=row).blob)
    assert state.state(row) == "locked"
    row = update(acme, row, name="Still here")
    assert bytes(ConnectionSecrets.objects.get(connection=row).blob) == before
    with pytest.raises(Locked):
        update(acme, row, config={"database": "other"})


def test_a_connection_whose_key_is_lost_takes_its_secrets_anew(acme: Tenant, settings: Any) -> None:
    row, other = make(acme), make(acme)
    settings.CATALOG_KEYS = make_entry("k2")
    row = connections.get(acme.actor(), row.slug)
    assert state.state(row) == "locked"
    row = update(acme, row, secrets={"password": "again"})
    assert stored(row) == {"password": "again"}
    assert state.state(connections.get(acme.actor(), row.slug)) == "unchecked"
    assert state.state(connections.get(acme.actor(), other.slug)) == "locked"
    assert list(OrganisationKey.objects.order_by("version").values_list("ring_key", flat=True)) == ["k1", "k2"]


def test_secrets_under_a_key_that_was_lost_open_when_it_is_back(acme: Tenant, settings: Any) -> None:
    row, other, before = make(acme), make(acme), settings.CATALOG_KEYS
    added = make_entry("k2")
    settings.CATALOG_KEYS = added
    update(acme, connections.get(acme.actor(), row.slug), secrets={"password": "again"})
    settings.CATALOG_KEYS = f"{before},{added}"
    assert stored(connections.get(acme.actor(), row.slug)) == {"password": "again"}
    assert stored(connections.get(acme.actor(), other.slug)) == {"password": CANARY}


def test_a_tampered_connection_is_mended_by_entering_its_secrets_again(acme: Tenant) -> None:
    row = make(acme)
    ConnectionSecrets.objects.filter(connection=row).update(generation=9)
    row = update(acme, connections.get(acme.actor(), row.slug), secrets={"password": "again"})
    assert stored(row) == {"password": "again"}
    assert state.state(row) == "unchecked"


def test_sealed_bytes_cannot_be_looked_up(acme: Tenant) -> None:
    probes: list[dict[str, Any]] = [{"blob": b"x"}, {"blob__startswith": b"x"}]
    for probe in probes:
        with pytest.raises(TypeError):
            ConnectionSecrets.objects.filter(**probe).exists()


def test_the_secret_is_in_no_dump_of_the_database(acme: Tenant) -> None:
    make(acme)
    dump = serializers.serialize("json", [*Connection.objects.all(), *ConnectionSecrets.objects.all()])
    assert CANARY not in dump
    with database.cursor() as cursor:
        for table in database.introspection.table_names():
            cursor.execute(f'select * from "{table}"')
            assert CANARY not in repr(cursor.fetchall())


def test_unknown_settings_are_named_and_nothing_is_saved(acme: Tenant) -> None:
    with pytest.raises(Invalid) as caught:
        connections.create(acme.actor(), "postgresql", Change(name="X", config={**CONFIG, "sslrootcert": "/x"}))
    assert [(p.pointer, p.code) for p in caught.value.problems] == [("/config/sslrootcert", "unknown")]
    assert not Connection.objects.exists()


@pytest.mark.parametrize("character", ["x", "é", "😀"])
def test_secrets_over_64_kb_are_refused_by_their_own_size(acme: Tenant, character: str) -> None:
    fits = character * ((drafts.MAX_SECRETS_BYTES - 100) // len(character.encode()))
    over = character * (drafts.MAX_SECRETS_BYTES // len(character.encode()))
    row = connections.create(acme.actor(), "postgresql", Change(name="X", config=CONFIG, secrets={"password": fits}))
    assert stored(row) == {"password": fits}
    with pytest.raises(Invalid) as caught:
        update(acme, row, secrets={"password": over})
    assert [(p.pointer, p.code) for p in caught.value.problems] == [("/secrets/password", "too_large")]
    answer = acme.api("editor")(
        "POST", "connections/", {"name": "Y", "source": "postgresql", "config": CONFIG, "secrets": {"password": over}}
    )
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/secrets/password")
    assert character * 10 not in answer.content.decode()


def test_settings_over_64_kb_are_refused_without_their_secrets(acme: Tenant) -> None:
    config = {"base_url": "https://a.example", "headers": {f"x-{number}": "y" * 8000 for number in range(9)}}
    with pytest.raises(Invalid) as caught:
        connections.create(acme.actor(), "http_api", Change(name="X", config=config))
    assert [(p.pointer, p.code) for p in caught.value.problems] == [("/config", "too_large")]
