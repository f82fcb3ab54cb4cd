"""Secrets that are kept elsewhere: who may name them, where they are looked up, what is said when nothing is there."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from pydantic import BaseModel, SecretStr, field_validator

from connections.adapters.base import Adapter
from connections.adapters.egress import Opening
from connections.adapters.errors import UnreachableError
from connections.models import Connection, ConnectionSecrets, Event
from connections.sealing import openbao as openbao_client
from connections.services import connections, drafts, own, references, sources, state, status, system_checks, vault
from connections.services.connections import Change
from connections.services.errors import Invalid, Locked, ReentryRequired, Unresolved
from connections.services.keys import verifying
from connections.services.references import Pattern, Reference
from tests.catalogue import CANARY, Tenant
from tests.servers.openbao import OpenBao

CONFIG = {"host": "db.example.com", "port": 5432, "database": "sales", "user": "reader"}


def allow(tenant: Tenant, *patterns: str) -> None:
    tenant.organisation.references = list(patterns)
    tenant.organisation.save()


def make(tenant: Tenant, ref: Any, **config: Any) -> Connection:
    change = Change(name="Warehouse", config=CONFIG | config, secrets={"password": {"ref": ref}})
    return connections.create(tenant.actor(), "postgresql", change)


def looked_up(row: Connection) -> Any:
    """What would be handed to a worker for the password."""
    adapter = sources.find(row.source)
    assert adapter is not None
    return drafts.settings_of(adapter, Connection.objects.get(pk=row.pk))["password"]


def unresolved(row: Connection) -> Unresolved:
    with pytest.raises(Unresolved) as caught:
        looked_up(row)
    assert (caught.value.code, caught.value.field) == ("locked", "/secrets/password")
    return caught.value


@pytest.fixture
def everywhere(acme: Tenant, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    """Acme may name its own variables, files and vault paths; the values are there."""
    settings.CATALOG_REFERENCES = ["env:ACME_*", "env:GLOBEX_*", "file:*", "vault:secret/*", "vault:old/*"]
    settings.CATALOG_REFERENCES_DIR = str(tmp_path / "secrets")
    (tmp_path / "secrets" / "acme").mkdir(parents=True)
    (tmp_path / "secrets" / "acme" / "password").write_text(f"{CANARY}\n")
    monkeypatch.setenv("ACME_PASSWORD", CANARY)
    allow(acme, "env:ACME_*", "file:acme/*", "vault:secret/acme/*", "vault:old/acme/*")
    return acme


@pytest.fixture
def in_vault(everywhere: Tenant, openbao: OpenBao, settings: Any, monkeypatch: pytest.MonkeyPatch) -> OpenBao:
    settings.CATALOG_VAULT_URL = openbao.url
    settings.CATALOG_VAULT_CA = str(openbao.authority)
    settings.CATALOG_VAULT_MOUNTS = ["secret", "old:1"]
    read = 'path "secret/data/*" { capabilities = ["read"] } path "old/*" { capabilities = ["read"] }'
    monkeypatch.setenv("CATALOG_VAULT_TOKEN", openbao.token(read))
    openbao.put("acme/db", password=CANARY, port=5432)
    openbao.ask("POST", "old/acme/db", {"password": CANARY})
    return openbao


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


# Looking it up -----------------------------------------------------------------------------------------------------


def test_a_variable_is_read_at_use(everywhere: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    row = make(everywhere, "env:ACME_PASSWORD")
    assert looked_up(row) == CANARY
    monkeypatch.setenv("ACME_PASSWORD", "renewed")
    assert looked_up(row) == "renewed"


def test_a_variable_that_is_not_there_is_told_with_its_name(everywhere: Tenant) -> None:
    error = unresolved(make(everywhere, "env:ACME_MISSING"))
    assert error.message == (
        "The reference env:ACME_MISSING has no value. "
        "Searched: the environment of the catalogue's process: no variable ACME_MISSING."
    )


@pytest.mark.parametrize("value", ["", "A\0B", "x" * 70_000])
def test_a_value_that_can_be_no_secret_is_not_handed_on(everywhere: Tenant, value: str, tmp_path: Path) -> None:
    (tmp_path / "secrets" / "acme" / "odd").write_text(value)
    error = unresolved(make(everywhere, "file:acme/odd"))
    assert value not in error.message or not value


@pytest.mark.parametrize(
    ("content", "value"), [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a "), ("é", "é")]
)
def test_a_file_gives_its_text_without_the_last_line_end(
    everywhere: Tenant, tmp_path: Path, content: str, value: str
) -> None:
    (tmp_path / "secrets" / "acme" / "password").write_bytes(content.encode())
    assert looked_up(make(everywhere, "file:acme/password")) == value


def test_a_file_is_read_through_the_links_of_a_mounted_folder(everywhere: Tenant, tmp_path: Path) -> None:
    folder = tmp_path / "secrets" / "acme"
    (folder / "..2026_11").mkdir()
    (folder / "..2026_11" / "key").write_text(CANARY)
    (folder / "..data").symlink_to("..2026_11")
    (folder / "key").symlink_to("..data/key")
    assert looked_up(make(everywhere, "file:acme/key")) == CANARY


def test_a_file_is_not_read_outside_the_folder_nor_where_it_is_none(everywhere: Tenant, tmp_path: Path) -> None:
    folder = tmp_path / "secrets" / "acme"
    (tmp_path / "outside").write_text(CANARY)
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "up").symlink_to("../../outside")
    (folder / "loop").symlink_to("loop")
    os.link(tmp_path / "outside", folder / "hard")
    os.mkfifo(folder / "pipe")
    (folder / "latin").write_bytes(b"caf\xe9")
    for name in ("link", "up", "loop", "hard", "pipe", "missing", "missing/deeper", "password/deeper", "latin"):
        error = unresolved(make(everywhere, f"file:acme/{name}"))
        assert f"file {name}" not in error.message
        assert f"acme/{name}" in error.message
        assert str(tmp_path) not in error.message


def test_without_a_folder_no_file_is_found(everywhere: Tenant, settings: Any) -> None:
    settings.CATALOG_REFERENCES_DIR = ""
    assert "CATALOG_REFERENCES_DIR is not set" in unresolved(make(everywhere, "file:acme/password")).message


# In a vault --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ref", ["vault:secret/acme/db#password", "vault:old/acme/db#password"])
def test_a_key_in_a_vault_is_read_from_either_version_of_its_engine(
    in_vault: OpenBao, everywhere: Tenant, ref: str
) -> None:
    assert looked_up(make(everywhere, ref)) == CANARY


def test_a_new_version_in_the_vault_is_the_next_that_is_handed_over(in_vault: OpenBao, everywhere: Tenant) -> None:
    row = make(everywhere, "vault:secret/acme/db#password")
    in_vault.put("acme/db", password="renewed")
    assert looked_up(row) == "renewed"


@pytest.mark.parametrize(
    ("ref", "told", "fixable_by"),
    [
        ("vault:secret/acme/db#pass", "mount secret path acme/db key pass: no such key", "you"),
        ("vault:secret/acme/nothing#password", "mount secret path acme/nothing: no such path", "you"),
        ("vault:secret/acme/gone#password", "mount secret path acme/gone: no such path", "you"),
        ("vault:secret/acme/db#port", "key port: its value is no text", "you"),
        ("vault:old/acme/nothing#password", "mount old path acme/nothing: no such path", "you"),
    ],
)
def test_what_a_vault_does_not_have_is_told_with_the_place_that_was_searched(
    in_vault: OpenBao, everywhere: Tenant, ref: str, told: str, fixable_by: str
) -> None:
    in_vault.put("acme/gone", password=CANARY)
    in_vault.ask("DELETE", "secret/data/acme/gone")
    error = unresolved(make(everywhere, ref))
    assert f"Searched: vault {in_vault.url} {told}" in error.message or told in error.message
    assert error.fixable_by == fixable_by
    assert CANARY not in error.message


def test_a_token_that_may_not_read_is_told_and_a_token_in_a_file_is_read_anew(
    in_vault: OpenBao, everywhere: Tenant, settings: Any, tmp_path: Path
) -> None:
    row = make(everywhere, "vault:secret/acme/db#password")
    settings.CATALOG_VAULT_TOKEN_FILE = str(tmp_path / "token")
    assert "CATALOG_VAULT_TOKEN_FILE cannot be read" in unresolved(row).message
    (tmp_path / "token").write_text(in_vault.token('path "secret/data/other" { capabilities = ["read"] }'))
    assert "the catalogue's token may not read it" in unresolved(row).message
    (tmp_path / "token").write_text("not a token\n")
    assert "may not read it" in unresolved(row).message
    (tmp_path / "token").write_text(in_vault.token('path "secret/data/acme/*" { capabilities = ["read"] }') + "\n")
    assert looked_up(row) == CANARY


def test_a_vault_is_asked_over_verified_tls_only(in_vault: OpenBao, everywhere: Tenant, settings: Any) -> None:
    row = make(everywhere, "vault:secret/acme/db#password")
    settings.CATALOG_VAULT_CA = ""
    assert "no certificate that is trusted" in unresolved(row).message


def test_a_mount_that_is_not_named_is_not_asked(in_vault: OpenBao, everywhere: Tenant, settings: Any) -> None:
    row = make(everywhere, "vault:secret/acme/db#password")
    settings.CATALOG_VAULT_MOUNTS = ["old:1"]
    assert "no mount of CATALOG_VAULT_MOUNTS holds secret/acme/db" in unresolved(row).message
    settings.CATALOG_VAULT_URL = ""
    assert "CATALOG_VAULT_URL is not set" in unresolved(row).message


def test_a_silent_vault_costs_no_more_time_than_the_request_has(
    in_vault: OpenBao, everywhere: Tenant, settings: Any
) -> None:
    row = make(everywhere, "vault:secret/acme/db#password")
    in_vault.pause()
    try:
        for seconds, deadline in ((0.3, 20.0), (20.0, 0.3)):
            settings.CATALOG_VAULT_TIMEOUT = seconds
            started = time.monotonic()
            with pytest.raises(UnreachableError) as caught, references.within(started + deadline):
                looked_up(row)
            assert time.monotonic() - started < 2
            assert caught.value.field == "/secrets/password"
            assert "did not answer in time" in caught.value.message
    finally:
        in_vault.resume()
    assert looked_up(row) == CANARY


def test_a_vault_that_is_not_there_is_a_failure_that_may_pass(
    in_vault: OpenBao, everywhere: Tenant, settings: Any
) -> None:
    row = make(everywhere, "vault:secret/acme/db#password")
    settings.CATALOG_VAULT_URL = "https://127.0.0.1:1"
    with pytest.raises(UnreachableError) as caught:
        looked_up(row)
    assert "https://127.0.0.1:1 could not be reached" in caught.value.message
    assert caught.value.transient


class Judging(Adapter[Any, Any]):
    """A source that looks at its secret before it takes it."""

    id = "judging"
    label = "Judging"

    class config_class(BaseModel):
        schema_version: ClassVar[int] = 1
        database: str = "d"
        key: SecretStr | None = None

        @field_validator("key")
        @classmethod
        def is_pem(cls, value: SecretStr | None) -> SecretStr | None:
            if value is not None and not value.get_secret_value().startswith("-----BEGIN"):
                raise ValueError("This is no PEM.")
            return value


def test_a_source_that_judges_its_secret_is_shown_it_when_it_is_saved(
    everywhere: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drafted() -> drafts.Draft:
        secrets = {"key": {"ref": "env:ACME_KEY"}}
        return drafts.new(cast(Any, Judging), everywhere.organisation, {}, secrets)

    with pytest.raises(Unresolved):
        drafted()
    monkeypatch.setenv("ACME_KEY", CANARY)
    with pytest.raises(Invalid) as caught:
        drafted()
    assert [(p.pointer, p.detail) for p in caught.value.problems] == [("/secrets/key", "This is no PEM.")]
    monkeypatch.setenv("ACME_KEY", f"-----BEGIN {CANARY}")
    draft = drafted()
    assert draft.secrets == {"key": Reference("env", "ACME_KEY")}
    assert draft.settings()["key"] == f"-----BEGIN {CANARY}"
    monkeypatch.setenv("ACME_KEY", CANARY)
    with pytest.raises(Unresolved, match="What was found at env:ACME_KEY does not fit this setting") as later:
        draft.settings()
    assert CANARY not in later.value.message


# At work -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runner", ["local", "inline"])
@pytest.mark.django_db(transaction=True)
def test_a_check_without_a_value_says_what_is_missing_where(everywhere: Tenant, settings: Any, runner: str) -> None:
    settings.CATALOG_RUNNER = runner
    row = make(everywhere, "env:ACME_MISSING")
    report = status.check(everywhere.actor(), row)
    assert (report["ok"], report["code"], report["field"]) == (False, "locked", "/secrets/password")
    assert "no variable ACME_MISSING" in report["message"]
    assert (report["fixable_by"], report["transient"]) == ("platform", False)
