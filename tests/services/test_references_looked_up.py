"""Secrets that are kept elsewhere: variables and files are looked up at use, and what is said when nothing is there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from connections.services import status
from tests.catalogue import CANARY, Tenant
from tests.services.referring import looked_up, make, unresolved

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
