"""``startsource`` writes two files that are right as far as they go, and whose tests say what is left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from connections.management.commands.startsource import camel
from tests.checkout import copy_checkout

FAMILIES = ("sql", "http", "files")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with one new source of each family."""
    copied = copy_checkout(tmp_path_factory.mktemp("checkout"))
    for family in FAMILIES:
        call_command("startsource", f"acme_{family}", label=f"Acme {family}", family=family, path=copied)
    return copied


def run(checkout: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), "CI": "", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def written(checkout: Path) -> list[str]:
    return [
        str(path)
        for family in FAMILIES
        for path in (
            checkout / "connections" / "sources" / f"acme_{family}.py",
            checkout / "tests" / "conformance" / f"test_acme_{family}.py",
        )
    ]


def test_the_files_are_formatted_and_pass_the_linter(checkout: Path) -> None:
    assert run(checkout, "ruff", "check", *written(checkout)).stdout.strip() == "All checks passed!"
    assert run(checkout, "ruff", "format", "--check", *written(checkout)).returncode == 0


def test_the_files_pass_the_type_checker(checkout: Path) -> None:
    done = run(checkout, "mypy", "--follow-imports=silent", *written(checkout))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tests_fail_and_say_what_is_left(checkout: Path, family: str) -> None:
    done = run(checkout, "pytest", "-m", f"acme_{family}", "tests/conformance", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "does not give the fixture settings: settings (config and secrets in one dict) that work." in done.stdout
    assert f"TestAcme{family.capitalize()} does not give these fixtures yet:" in done.stdout
    assert "ordered_query: a query of exactly 25 rows" in done.stdout
    assert "bad_query: a query that fits the schema and that the source rejects." in done.stdout
    assert "tested_against says how well this source is proven" in done.stdout
    assert "docs_url is to be the https:// address" in done.stdout
    assert "endpoint_fields of the conformance class lists the others" in done.stdout
    assert "test_it_is_registered_under_its_modules_name" not in done.stdout


def test_a_new_source_is_in_the_catalogue_at_once(checkout: Path) -> None:
    code = "from connections.adapters.registry import registry; print(registry['acme_sql'].label, registry.broken())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "Acme sql {}\n"


@pytest.mark.parametrize("name", ["Acme", "2acme", "acme-db", "class", "../acme", ""])
def test_a_name_that_is_no_id_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no id for a source"):
        call_command("startsource", name, label="Acme", family="sql", path=tmp_path)


def test_a_source_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="There is a source 'sqlite' already"):
        call_command("startsource", "sqlite", label="SQLite", family="sql", path=tmp_path)


@pytest.mark.parametrize("label", ['Acme "DB"', "Acme\n", " ", "x" * 61, "Acme\\"])
def test_a_label_that_would_break_the_files_is_refused(label: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="label"):
        call_command("startsource", "acme", label=label, family="sql", path=tmp_path)


def test_nothing_is_written_outside_a_checkout(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="checkout"):
        call_command("startsource", "acme", label="Acme", family="sql", path=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("label", "name"), [("Acme DB", "AcmeDB"), ("4D", "Source4D"), ("dBASE (old)", "DBASEOld")])
def test_a_label_becomes_a_class_name(label: str, name: str) -> None:
    assert camel(label) == name


def test_the_templates_are_part_of_the_package() -> None:
    folder = settings.BASE_DIR / "connections" / "management" / "templates"
    assert {path.name for path in folder.iterdir()} == {*(f"{family}.py.txt" for family in FAMILIES), "test.py.txt"}
