"""One worker's isolation, and the trial before: what a worker gets is what the trial got, or it does not serve."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from connections.runner import isolation
from connections.runner.isolation import HandOver
from connections.runner.rehearsal import rehearsed

SCRATCH: Final = "worker-"
ONE_QUESTION: Final = "single-request"
"""The C library sends two at once by a call that could carry addresses, which is refused (resolv.conf(5))."""
# Arrow's own pools reserve far more than they use, which counts against a worker's memory.
_ARROW: Final = {"ARROW_DEFAULT_MEMORY_POOL": "system"}

Report = dict[str, bool]


@dataclass(frozen=True, slots=True)
class Expected:
    """What is in force after the first stage, and after the second in each class of worker."""

    hardened: Report
    local: Report
    network: Report
    traceable: bool = False
    """Whether the class with the network must let its own user look into it, so that its sockets can be connected."""

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


def enter(
    folder: Path, root: str | None, memory: int, expected: Expected, *, network: bool, hand_over: HandOver
) -> Report:
    """The second stage. Raises ``OSError`` when it fails, or gives less than ``expected``."""
    dialled = network and expected.network["connects_dialled"]
    if dialled:
        os.environ["RES_OPTIONS"] = ONE_QUESTION
    report = isolation.confine(
        network=network,
        root=None if network else root,
        scratch=str(folder),
        memory=memory,
        hand_over=hand_over if dialled else None,
        traceable=dialled and expected.traceable,
    )
    _require(report, expected.network if network else expected.local)
    return report


def trial() -> Expected:
    """Isolate two processes, one of each class, and see what that gives. Raises ``OSError`` when it fails by half."""
    hardened, local = _tried(network=False)
    # As the same user, this process may take a socket of one that it may look into: if other workers may not.
    for traceable in (False, True) if local["files_confined"] else (False,):
        network = _dialled(traceable=traceable)
        if network is not None:
            return Expected(hardened, local, network, traceable)
    _, network = _tried(network=True)
    return Expected(hardened, local, network)


def scratch(pid: int) -> Path:
    """The folder of the worker ``pid``, in the folder that this process works in."""
    return Path.cwd() / f"{SCRATCH}{pid}"


def _dialled(*, traceable: bool) -> Report | None:
    """What the class with the network gets where its connecting can be judged; None where that is not to be had."""
    parent = os.getpid()

    def confine(hand_over: HandOver) -> Report:
        folder, _ = start(parent)
        return isolation.confine(
            network=True, root=None, scratch=str(folder), memory=0, hand_over=hand_over, traceable=traceable
        )

    def clean(pid: int) -> None:
        shutil.rmtree(scratch(pid), ignore_errors=True)

    return rehearsed(confine, clean)


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
        told: object = [hardened, isolation.confine(network=network, root=None, scratch=str(folder), memory=0)]
    except OSError as exc:
        told = str(exc)
    os.write(writer, json.dumps(told).encode())


def _require(report: Report, expected: Report) -> None:
    missing = [name for name, got in expected.items() if got and not report.get(name)]
    if missing:
        raise PermissionError(f"this worker did not get {', '.join(missing)}, which others have")
