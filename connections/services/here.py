"""What this process shares with the host's others."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from connections.runner.supervisor import Runner, runner


def runner_here() -> Runner:
    """This process's runner, whose limits and whose cancelling hold for all processes of the host together."""
    return runner(settings.CATALOG_RUNNER, Path(settings.CATALOG_RUNTIME_FOLDER))
