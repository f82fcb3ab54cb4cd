"""What this process shares with the host's others."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from django.conf import settings

from connections.runner.supervisor import Runner, runner


def runner_here() -> Runner:
    """This process's runner, whose limits and whose cancelling hold for all processes of the host together."""
    return runner(settings.CATALOG_RUNNER, _folder(settings.CATALOG_RUNTIME_FOLDER))


@lru_cache(8)
def _folder(path: str) -> Path:
    return Path(path)
