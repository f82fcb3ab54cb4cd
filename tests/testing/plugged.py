"""Distributions that bring sources by entry point, as pip would leave them on the path."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from django.conf import settings


def install(folder: Path, name: str, modules: Mapping[str, str], entry_points: Mapping[str, str]) -> None:
    """Put the modules and the metadata of the distribution ``name`` into ``folder``."""
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text)
    metadata = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{source} = {value}" for source, value in entry_points.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[catalog.sources]", *lines, ""]))


def python(
    *arguments: str,
    checkout: Path | None = None,
    path: Path | None = None,
    seconds: float = 120,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run Python in a checkout (this one if none is given), with ``path`` before its own modules."""
    folder = checkout or settings.BASE_DIR
    places = [str(place) for place in (path, folder) if place is not None]
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places), "CI": "", "PYTEST_ADDOPTS": "", **environment},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
