"""Secrets that are kept in a vault."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from pydantic import BaseModel, SecretStr, field_validator

from connections.adapters.base import Adapter
from connections.adapters.errors import UnreachableError
from connections.services import drafts, references
from connections.services.errors import Invalid, Unresolved
from connections.services.references import Reference
from tests.catalogue import CANARY, Tenant
from tests.servers.openbao import OpenBao
from tests.services.referring import looked_up, make, unresolved


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
