"""The example of docs/adding-a-source.md, as it stands there: it is installed, proven and used. Broken, it fails."""

from __future__ import annotations

import io
import json
import re
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from django.conf import settings

from tests.testing.plugged import install, python

PAGE = settings.BASE_DIR / "docs" / "adding-a-source.md"


def files_of_the_page() -> dict[str, str]:
    """The files that the page shows, by name."""
    found = re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```\n", PAGE.read_text(), re.DOTALL)
    return dict(found)


def plug_in(folder: Path, files: Mapping[str, str]) -> None:
    """Install the page's package into ``folder``, with its tests."""
    for name, text in files.items():
        (folder / name).write_text(text)
    project = tomllib.loads(files["pyproject.toml"])["project"]
    install(folder, project["name"], {}, project["entry-points"]["catalog.sources"])
    # Of its own pyproject pytest is to read nothing: it belongs to another project than the tests around it.
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers -p no:cacheprovider\n")


def prove(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run the package's tests; the exit status and what was printed."""
    command = ["-m", "pytest", "-c", str(folder / "pytest.ini"), f"--rootdir={folder}", "-q", "-m", "zip_archive"]
    tests = str(folder / "test_zip_archive.py")
    done = python(*command, tests, *arguments, path=folder, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    return done.returncode, done.stdout + done.stderr


def test_the_example_passes_the_suite(tmp_path: Path) -> None:
    plug_in(tmp_path, files_of_the_page())
    status, printed = prove(tmp_path)
    assert status == 0, printed
    assert re.search(r"\d\d passed", printed)
    assert "zip_archive: path" in printed
    assert "skipped" not in printed


def test_the_example_walks_through_the_catalogue(tmp_path: Path) -> None:
    plug_in(tmp_path, files_of_the_page())
    (tmp_path / "pytest.ini").unlink()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("orders.csv", "id,item\n1,tea\n2,\n")
    walk = {
        "source": "zip_archive",
        "config": {"path": "shop.zip"},
        "files": {"shop.zip": packed.getvalue().hex()},
        "query": {"table": ["orders.csv"]},
        "rows": [[1, "tea"], [2, None]],
    }
    done = python("-m", "pytest", "tests/testing/walk.py", "-q", path=tmp_path, WALK=json.dumps(walk))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("right", "wrong", "test"),
    [
        ("class ZipArchiveAdapter", "import pandas\n\n\nclass ZipArchiveAdapter", "importing_it_loads_no_driver"),
        ('id = "zip_archive"', 'id = "zip"', "registered_under_its_modules_name"),
        ('tested_against = "real archives"', "", "attributes_are_complete"),
        ('docs_url = "https', 'docs_url = "http', "leads_to_the_vendors_documentation"),
        ("field=field) from None", 'field="/config/path") from None', "table_that_is_not_there"),
        ("min_length=1,", 'json_schema_extra={"endpoint": False},', "decide_where_secrets_go"),
        ("Check(StepName.CONNECT, self._check_archive)", "", "walks_its_steps"),
        ('field="/config/path", error=AuthorizationError', 'field="/config/path"', "missing_database"),
        ("StepName.CONNECT", "StepName.TLS", "walks_its_steps"),
    ],
)
def test_the_suite_finds_what_is_wrong(tmp_path: Path, right: str, wrong: str, test: str) -> None:
    files = files_of_the_page()
    assert right in files["zip_archive.py"]
    files["zip_archive.py"] = files["zip_archive.py"].replace(right, wrong)
    plug_in(tmp_path, files)
    status, printed = prove(tmp_path, "-k", test)
    assert status == 1, printed
