"""Secrets that are kept elsewhere: how a place is named, who may name it, and what is stored."""

from __future__ import annotations

from typing import Any

import pytest

from connections.adapters.egress import Opening
from connections.models import Connection, ConnectionSecrets, Event
from connections.sealing import openbao as openbao_client
from connections.services import connections, own, state, system_checks, vault
from connections.services.connections import Change
from connections.services.errors import Invalid, Locked, ReentryRequired
from connections.services.keys import verifying
from connections.services.references import Pattern, Reference
from tests.catalogue import CANARY, Tenant
from tests.services.referring import CONFIG, allow, looked_up, make, unresolved

# Naming a place ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["env:PASSWORD", "file:acme/db.password", "file:password", "vault:secret/acme/db#password", "vault:a/b-c/d@e#f.g"],
)
def test_a_reference_names_a_variable_a_file_or_a_key_in_a_vault(text: str) -> None:
    assert str(Reference.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "env", "env:", "env:1A", "env:A B", "env:A\n", "env:A-B", "ENV:A", "http://example.com/", "password"),
        *(
            "file:",
            "file:/etc/passwd",
            "file:../x",
            "file:a/../b",
            "file:a//b",
            "file:.hidden",
            "file:a/.b",
            "file:~/x",
        ),
        *(
            "file:a%2e%2e/b",
            "file:a\\b",
            "file:a\0",
            "file:a/",
            "vault:secret/db",
            "vault:secret#k",
            "vault:/secret/a#k",
        ),
        *(
            "vault:secret/../sys/raw#k",
            "vault:secret/%2e%2e/x#k",
            "vault:secret/a?b#k",
            "vault:secret/a#",
            "vault:s/a#b#c",
        ),
        *("vault:secret//a#k", "vault:secret/a/#k", "vault:secret/.a#k", "env:" + "A" * 600, 5, None, ["env:A"]),
    ],
)
def test_what_is_no_plain_name_of_a_place_is_no_reference_and_is_not_repeated(text: Any) -> None:
    with pytest.raises(ValueError, match=r"^A reference is env:NAME, file:name or vault:path#key\.$"):
        Reference.parse(text)


@pytest.mark.parametrize("text", ["ACME_*", "env:A*B", "env:", "*", "sftp:x", "vault:../*", "env:A *"])
def test_a_pattern_has_its_star_at_the_end_and_says_which_kind_of_place(text: str) -> None:
    with pytest.raises(ValueError, match="is no pattern"):
        Pattern.parse(text)


def test_a_pattern_without_a_star_allows_one_reference_alone() -> None:
    one, many = Pattern.parse("vault:secret/acme/db#password"), Pattern.parse("vault:secret/acme/*")
    assert one.allows(Reference.parse("vault:secret/acme/db#password"))
    assert not one.allows(Reference.parse("vault:secret/acme/db#password2"))
    assert many.allows(Reference.parse("vault:secret/acme/deep/er#k"))
    assert not many.allows(Reference.parse("vault:secret/globex/db#password"))


@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [
        ("CATALOG_REFERENCES", ["env:*_PASSWORD"], "catalog.E022"),
        ("CATALOG_VAULT_MOUNTS", ["secret:3"], "catalog.E023"),
        ("CATALOG_VAULT_MOUNTS", ["../sys"], "catalog.E023"),
    ],
)
def test_a_deployment_is_told_of_what_cannot_be_read(settings: Any, setting: str, value: list[str], code: str) -> None:
    assert system_checks.check_references(None) == []
    setattr(settings, setting, value)
    assert [found.id for found in system_checks.check_references(None)] == [code]


@pytest.mark.parametrize(
    ("url", "production"),
    [
        *(("http://vault.example.com:8200", False), ("http://127.0.0.1:8200", True), ("vault.example.com", True)),
        *(("https://user:pw@vault.example.com", True), ("https://vault.example.com/v1", True), ("unix:///x", False)),
        *(("https://vault.example.com:x", True), ("https://vault.example.com/?a=b", True), ("https://", True)),
    ],
)
def test_a_vault_is_https_and_only_in_development_http_on_this_machine(url: str, production: bool) -> None:
    openbao_client.require_address("https://vault.example.com:8200", production=True)
    openbao_client.require_address("http://127.0.0.1:8200", production=False)
    with pytest.raises(ValueError, match=r"."):
        openbao_client.require_address(url, production=production)


def test_no_connection_leads_to_the_vault(settings: Any) -> None:
    settings.CATALOG_VAULT_URL = "https://127.0.0.1:8200"
    assert Opening.parse("127.0.0.1/32:8200") in own.look().places


# Who may name it ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deployment", "organisation"), [([], ["env:ACME_*"]), (["env:ACME_*"], []), (["env:*"], ["env:OTHER_*"]), ([], [])]
)
def test_a_reference_needs_the_leave_of_the_deployment_and_of_the_organisation(
    acme: Tenant, settings: Any, deployment: list[str], organisation: list[str]
) -> None:
    settings.CATALOG_REFERENCES = deployment
    allow(acme, *organisation)
    with pytest.raises(Invalid) as caught:
        make(acme, "env:ACME_PASSWORD")
    assert [(p.pointer, p.code) for p in caught.value.problems] == [("/secrets/password", "not_allowed")]
    assert not Connection.objects.exists()


def test_an_editor_cannot_use_the_references_of_another_organisation(everywhere: Tenant, globex: Tenant) -> None:
    allow(globex, "env:GLOBEX_*")
    with pytest.raises(Invalid, match="errors") as caught:
        make(globex, "env:ACME_PASSWORD")
    (problem,) = caught.value.problems
    assert problem.code == "not_allowed"
    assert "ACME" not in problem.detail  # of other organisations' patterns nothing is told


@pytest.mark.parametrize("name", ["CATALOG_KEYS", "CATALOG_SECRET_KEY", "CATALOG_VAULT_TOKEN", "DATABASE_URL"])
def test_the_catalogues_own_variables_are_closed_whatever_is_allowed(acme: Tenant, settings: Any, name: str) -> None:
    settings.CATALOG_REFERENCES = ["env:*"]
    allow(acme, "env:*", f"env:{name}")
    with pytest.raises(Invalid) as caught:
        make(acme, f"env:{name}")
    assert caught.value.problems[0].code == "not_allowed"


def test_leave_that_is_taken_away_ends_the_use_of_what_was_saved(everywhere: Tenant) -> None:
    row = make(everywhere, "env:ACME_PASSWORD")
    allow(everywhere, "file:*")
    error = unresolved(row)
    assert error.message.startswith("The reference env:ACME_PASSWORD may not be used.")
    assert error.fixable_by == "platform"
    connections.update(everywhere.actor(), Connection.objects.get(), Change(config={"database": "other"}))


@pytest.mark.parametrize("sent", [{"ref": "hunter2"}, {"ref": 5}, {"ref": None}, {"ref": "file:../x"}])
def test_what_was_sent_as_a_reference_and_is_none_is_refused_without_being_repeated(
    everywhere: Tenant, sent: Any
) -> None:
    with pytest.raises(Invalid) as caught:
        connections.create(
            everywhere.actor(), "postgresql", Change(name="W", config=CONFIG, secrets={"password": sent})
        )
    (problem,) = caught.value.problems
    assert (problem.pointer, problem.code) == ("/secrets/password", "invalid")
    assert "hunter2" not in problem.detail


@pytest.mark.parametrize("sent", [{"ref": "env:ACME_PASSWORD", "more": 1}, {"env": "ACME_PASSWORD"}, {}])
def test_an_object_that_is_no_reference_is_no_secret_either(everywhere: Tenant, sent: Any) -> None:
    change = Change(name="W", config=CONFIG, secrets={"password": sent})
    with pytest.raises(Invalid):
        connections.create(everywhere.actor(), "postgresql", change)


# What is stored ----------------------------------------------------------------------------------------------------


def test_the_reference_is_stored_and_shown_and_its_value_is_not(everywhere: Tenant) -> None:
    row = make(everywhere, "env:ACME_PASSWORD")
    shown = state.secrets_shown(row)
    assert shown["password"]["ref"] == "env:ACME_PASSWORD"
    assert shown["password"]["set"] is True
    assert "ref" not in shown["tls"]["key"]
    stored = ConnectionSecrets.objects.get()
    assert stored.references == {"password": "env:ACME_PASSWORD"}
    assert vault.unseal(row) == {"password": Reference("env", "ACME_PASSWORD")}


def test_a_change_of_the_reference_is_on_record_with_both_places(everywhere: Tenant) -> None:
    row = make(everywhere, "env:ACME_PASSWORD")
    created = Event.objects.get(action="connection.create").changes
    assert created["references"] == [{}, {"password": "env:ACME_PASSWORD"}]
    row = connections.update(everywhere.actor(), row, Change(secrets={"password": {"ref": "file:acme/password"}}))
    changes = Event.objects.get(action="connection.update").changes
    assert changes["references"] == [{"password": "env:ACME_PASSWORD"}, {"password": "file:acme/password"}]
    assert changes["secrets"] == ["password"]
    row = connections.update(everywhere.actor(), row, Change(secrets={"password": CANARY}))
    assert Event.objects.filter(action="connection.update").latest("at").changes["references"] == [
        {"password": "file:acme/password"},
        {},
    ]
    assert "ref" not in state.secrets_shown(row)["password"]
    assert vault.unseal(row) == {"password": CANARY}


def test_a_kept_reference_stays_through_other_changes(everywhere: Tenant) -> None:
    row = make(everywhere, "env:ACME_PASSWORD")
    row = connections.update(everywhere.actor(), row, Change(config={"database": "other"}))
    assert looked_up(row) == CANARY
    row = connections.update(everywhere.actor(), row, Change(secrets={"password": None}))
    assert ConnectionSecrets.objects.get().references == {}


def test_a_kept_reference_does_not_follow_to_another_host(everywhere: Tenant) -> None:
    row = make(everywhere, "env:ACME_PASSWORD")
    with pytest.raises(ReentryRequired) as caught:
        connections.update(everywhere.actor(), row, Change(config={"host": "evil.example.com"}))
    assert [problem.pointer for problem in caught.value.problems] == ["/secrets/password"]
    again = Change(config={"host": "new.example.com"}, secrets={"password": {"ref": "env:ACME_PASSWORD"}})
    assert looked_up(connections.update(everywhere.actor(), row, again)) == CANARY


@pytest.mark.parametrize(
    "forged", [{}, {"password": "env:ACME_OTHER"}, {"password": "env:ACME_PASSWORD", "x": "env:A"}]
)
def test_a_row_whose_list_of_references_was_edited_is_locked(everywhere: Tenant, forged: dict[str, str]) -> None:
    row = make(everywhere, "env:ACME_PASSWORD")
    ConnectionSecrets.objects.update(references=forged)
    with pytest.raises(Locked, match="changed outside"):
        looked_up(row)
    assert state.state(connections.get(everywhere.actor(), row.slug)) == "locked"


def test_a_row_whose_list_of_references_was_edited_is_found_by_verifying(everywhere: Tenant) -> None:
    make(everywhere, "env:ACME_PASSWORD")
    ConnectionSecrets.objects.update(references={})
    ((_, (found,)),) = verifying.verify()
    assert found.problem == "Tampered"


def test_a_secret_cannot_be_made_a_reference_in_the_table(everywhere: Tenant) -> None:
    row = connections.create(
        everywhere.actor(), "postgresql", Change(name="W", config=CONFIG, secrets={"password": "x"})
    )
    ConnectionSecrets.objects.update(references={"password": "env:ACME_PASSWORD"})
    with pytest.raises(Locked, match="changed outside"):
        looked_up(row)
