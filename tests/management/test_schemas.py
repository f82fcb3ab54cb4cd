"""``manage.py schemas`` in processes of its own, some of them killed, on SQLite and PostgreSQL."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.checkout import copy_checkout
from tests.evolving import SITE
from tests.management.conftest import BEFORE, ROOT, Catalogue
from tests.testing.plugged import python

ROWS = 40
FILL = f"""
import os, django
os.environ["DJANGO_SETTINGS_MODULE"] = "catalog_project.settings"
django.setup()
from connections.models import Connection, Organisation
from connections.services import vault
organisation = Organisation.objects.order_by("pk").first()
for number in range({ROWS}):
    row = Connection.objects.create(
        organisation=organisation, slug=f"old-{{number}}", name="Old", source="evolving",
        config={{"host": f"h{{number}}.example.com", "port": 443, "user": ""}},
    )
    vault.seal(row, {{"token": str(row.pk)}}, {{"token": "2026-01-01T00:00:00Z"}}, changed=True)
"""
READ = """
import os, django
os.environ["DJANGO_SETTINGS_MODULE"] = "catalog_project.settings"
django.setup()
from connections.models import Connection
from connections.services import drafts, sources
adapter = sources.find("evolving")
for row in Connection.objects.filter(source="evolving").select_related("organisation"):
    found = drafts.settings_of(adapter, row)
    number = row.slug.removeprefix("old-")
    assert found["auth"]["token"] == str(row.pk), row.slug
    assert found["base_url"] == f"https://h{number}.example.com:443/", row.slug
print("all read")
"""
HIDDEN = """
import os, sys
sys.modules.update(dict.fromkeys(("duckdb", "pymysql", "paramiko")))
import django
os.environ["DJANGO_SETTINGS_MODULE"] = "catalog_project.settings"
django.setup()
from django.core.management import call_command
from connections.adapters.registry import registry
assert not registry["duckdb"].driver.available
call_command("schemas", "check")
"""


def counts(catalogue: Catalogue) -> dict[int, int]:
    table = "select schema_version, count(*) from connections_connection where source = 'evolving' group by 1"
    return dict(catalogue.ask(table))


def test_a_killed_upgrade_loses_nothing_and_the_next_one_goes_on(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", SITE)
    monkeypatch.setenv("EVOLVING_VERSION", "1")
    assert catalogue.run(BEFORE, "-c", FILL)[0] == 0
    monkeypatch.setenv("EVOLVING_VERSION", "3")
    process = catalogue.start(BEFORE, "manage.py", "schemas", "upgrade", "--batch", "5")
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(2)]
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert "10 connections upgraded" in told[1]
    assert process.returncode == -signal.SIGKILL
    halfway = counts(catalogue)
    assert 10 <= halfway[3] < ROWS
    assert halfway[1] + halfway[3] == ROWS
    assert "all read" in catalogue.run(BEFORE, "-c", READ)[1]
    catalogue.manage(BEFORE, "schemas", "upgrade")
    assert counts(catalogue) == {3: ROWS}
    assert "all read" in catalogue.run(BEFORE, "-c", READ)[1]
    assert "No stored settings were upgraded." in catalogue.manage(BEFORE, "schemas", "upgrade")
    events = catalogue.ask("select count(*) from connections_event where action = 'connection.upgrade'")
    assert events == [(ROWS,)]


def schemas(*arguments: str, version: int = 3) -> subprocess.CompletedProcess[str]:
    return python("manage.py", "schemas", *arguments, path=ROOT / SITE, EVOLVING_VERSION=str(version))


def test_the_projects_own_snapshots_are_as_its_sources() -> None:
    done = python("manage.py", "schemas", "check")
    assert done.returncode == 0, done.stderr
    assert "The schemas are what their snapshots say." in done.stdout


def test_a_plug_in_is_checked_by_its_name() -> None:
    done = schemas("check", "evolving")
    assert done.returncode == 0, done.stderr


def test_an_older_code_than_its_snapshots_is_told_so() -> None:
    done = schemas("check", "evolving", version=2)
    assert done.returncode != 0
    assert "evolving: there is a snapshot of version 3" in done.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return copy_checkout(tmp_path)


@pytest.mark.parametrize("renamed", [False, True], ids=["removed", "renamed"])
def test_a_source_that_is_gone_and_left_its_snapshots_fails_the_check(checkout: Path, renamed: bool) -> None:
    module = checkout / "connections" / "sources" / "local_files.py"
    if renamed:
        text = module.read_text()
        assert text.count('id = "local_files"') == 1
        module.with_name("folders.py").write_text(text.replace('id = "local_files"', 'id = "folders"'))
    module.unlink()
    if renamed:
        assert python("manage.py", "schemas", "write", "folders", checkout=checkout).returncode == 0
    done = python("manage.py", "schemas", "check", checkout=checkout)
    assert done.returncode == 1
    assert "local_files: there is no such source any more" in done.stderr
    assert "local_files.1.json" in done.stderr
    assert "folders" not in done.stderr
    (checkout / "connections" / "sources" / "schemas" / "local_files.1.json").unlink()
    assert python("manage.py", "schemas", "check", checkout=checkout).returncode == 0, "on purpose"


def test_drivers_that_are_not_there_and_sources_of_others_strand_no_snapshot() -> None:
    done = python("-c", HIDDEN)
    assert done.returncode == 0, done.stderr
    done = python("manage.py", "schemas", "check", path=Path(SITE))
    assert done.returncode == 0, done.stderr


def test_a_source_that_is_not_there_is_told() -> None:
    done = schemas("check", "nonsense")
    assert (done.returncode, "There is no source 'nonsense'." in done.stderr) == (1, True)
