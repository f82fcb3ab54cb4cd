"""One worker's isolation, and the trial before: what a worker gets is what the trial got, or it does not serve."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from connections.runner import isolation

SCRATCH: Final = "worker-"
# Arrow's own pools reserve far more than they use, which counts against a worker's memory.
_ARROW: Final = {"ARROW_DEFAULT_MEMORY_POOL": "system"}

Report = dict[str, bool]


@dataclass(frozen=True, slots=True)
class Expected:
    """What is in force after the first stage, and after the second in each class of worker."""

    hardened: Report
    local: Report
    network: Report

    def told(self) -> Report:
        """All of it, by mechanism: true where every worker that can have it has it."""
        shared = {name: got and self.local.get(name, got) for name, got in self.network.items()}
        return {**self.hardened, **self.local, **shared}


def start(parent: int, expected: Expected | None = None) -> tuple[Path, Report]:
    """The first stage, and a folder of this process's own as home: no driver finds the platform's credential files.

    Raises ``OSError`` when it fails, or gives less than ``expected``.
    """
    folder = scratch(os.getpid())
    folder.mkdir(mode=0o700)
    report = isolation.harden(parent, str(folder))
    if expected is not None:
        _require(report, expected.hardened)
    os.chdir(folder)
    os.environ.update(HOME=str(folder), TMPDIR=str(folder), TZ="UTC", **_ARROW)
    tempfile.tempdir = str(folder)
    return folder, report


def enter(folder: Path, root: str | None, memory: int, expected: Report | None, *, network: bool) -> Report:
    """The second stage. Raises ``OSError`` when it fails, or gives less than ``expected``."""
    report = isolation.confine(network=network, root=None if network else root, scratch=str(folder), memory=memory)
    if expected is not None:
        _require(report, expected)
    return report


def trial() -> Expected:
    """Isolate two processes, one of each class, and see what that gives. Raises ``OSError`` when it fails by half."""
    hardened, local = _tried(network=False)
    _, network = _tried(network=True)
    return Expected(hardened, local, network)


def scratch(pid: int) -> Path:
    """The folder of the worker ``pid``, in the folder that this process works in."""
    return Path.cwd() / f"{SCRATCH}{pid}"


def _tried(*, network: bool) -> tuple[Report, Report]:
    parent = os.getpid()
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            _try(parent, writer, network=network)
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answer:
        content = answer.read()
    os.waitpid(pid, 0)
    scratch(pid).rmdir()
    told = json.loads(content or b'"it ended without a word"')
    if isinstance(told, str):
        raise OSError(f"Workers cannot be isolated on this machine: {told}")
    return told[0], told[1]


def _try(parent: int, writer: int, *, network: bool) -> None:
    try:
        folder, hardened = start(parent)
        told: object = [hardened, enter(folder, None, 0, None, network=network)]
    except OSError as exc:
        told = str(exc)
    os.write(writer, json.dumps(told).encode())


def _require(report: Report, expected: Report) -> None:
    missing = [name for name, got in expected.items() if got and not report.get(name)]
    if missing:
        raise PermissionError(f"this worker did not get {', '.join(missing)}, which others have")
