"""Secrets in the environment of the catalogue's own process, read at use."""

from __future__ import annotations

import os

from connections.services.references.missing import Missing

PLACE = "the environment of the catalogue's process"


def look_up(name: str, until: float) -> str:
    """The value of the variable ``name``. Raises ``Missing``."""
    value = os.environ.get(name)
    if value is None:
        raise Missing(f"{PLACE}: no variable {name}")
    return value
