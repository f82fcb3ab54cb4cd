"""Where the settings come from: the process environment, then ``var/env`` for what it does not set."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()


def load() -> None:
    """Read the development file ``var/env`` when there is one. Real environment variables win."""
    path = BASE_DIR / "var" / "env"
    if path.is_file():
        env.read_env(path, overwrite=False)


def runtime_folder() -> str:
    """A folder of this user's for this installation, the same for all its processes."""
    place = hashlib.sha256(str(BASE_DIR).encode()).hexdigest()[:12]
    return os.path.join(tempfile.gettempdir(), f"catalogue-{os.getuid()}-{place}")


def required(name: str, why: str) -> str:
    """The variable ``name``. Raises ``ImproperlyConfigured`` when it is missing or empty."""
    value: str = env.str(name, default="")
    if not value:
        raise ImproperlyConfigured(f"{name} is not set. {why}")
    return value
