"""A copy of the project's tree, for tests that add files to it."""

from __future__ import annotations

import shutil
from pathlib import Path

from django.conf import settings

PARTS = ("connections", "catalog_project", "templates", "tests", "manage.py", "pyproject.toml")


def copy_checkout(folder: Path) -> Path:
    """Copy what a program of this project needs into ``folder``, and return it."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for part in PARTS:
        there = Path(settings.BASE_DIR, part)
        if there.is_dir():
            shutil.copytree(there, folder / part, ignore=ignored)
        else:
            shutil.copy(there, folder / part)
    return folder
