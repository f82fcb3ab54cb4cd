"""Installed from a wheel, away from this checkout, the catalogue has all that its pages need."""

from __future__ import annotations

import glob
import json
import os
import secrets
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("connections", "catalog_project")
TEMPLATES = sorted(str(path.relative_to(ROOT / "templates")) for path in (ROOT / "templates").rglob("*.html"))
ASK = """
import json, sys, django
django.setup()
from django.template.loader import get_template
from django.test import Client
import connections
origins = {name: get_template(name).origin.name for name in json.loads(sys.argv[1])}
page = Client().get("/admin/login/", headers={"Host": "localhost"})
print(json.dumps({"package": connections.__file__, "origins": origins, "login": page.status_code,
                  "page": page.content.decode()}))
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """What a wheel leaves in a folder of packages: modules, and the files that pyproject says go with them."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    for package in PACKAGES:
        for folder in {path.parent for path in (ROOT / package).rglob("*.py")}:
            for pattern in ("*.py", *patterns):
                for name in glob.glob(pattern, root_dir=folder, recursive=True):
                    there = tmp_path / folder.relative_to(ROOT) / name
                    if (folder / name).is_file():
                        there.parent.mkdir(parents=True, exist_ok=True)
                        shutil.copy(folder / name, there)
    return tmp_path


def test_an_installed_catalogue_has_its_templates_and_shows_pages(installed: Path) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("CATALOG_", "DATABASE_URL"))},
        "PYTHONPATH": str(installed),
        "DJANGO_SETTINGS_MODULE": "catalog_project.settings",
        "CATALOG_ENV": "development",
        "CATALOG_ALLOWED_HOSTS": "localhost",
        "CATALOG_SECRET_KEY": secrets.token_hex(32),
        "CATALOG_KEYS": "k1:" + "A" * 43 + "=",
        "DATABASE_URL": "sqlite://:memory:",
    }
    command = [sys.executable, "-c", ASK, json.dumps(TEMPLATES)]
    done = subprocess.run(
        command, cwd=installed, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["package"].startswith(str(installed))
    assert len(TEMPLATES) > 20
    assert all(origin.startswith(str(installed)) for origin in told["origins"].values()), told["origins"]
    assert told["login"] == 200
    assert "connections/admin.css" in told["page"], "The page is not in our own frame."
