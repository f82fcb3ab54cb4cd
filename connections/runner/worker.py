"""A worker: takes jobs from its socket, one at a time, and answers on it. It serves one organisation for life."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson

from connections.adapters.errors import AdapterError, InternalError
from connections.adapters.limits import Deadline
from connections.adapters.vouching import vouched
from connections.runner import egress_hook, isolation
from connections.runner.frames import MAX_CHUNK, SECONDS, Channel, Chunk, End, Frame, Head, Kind, StepDone
from connections.runner.jobs import Job, Operation
from connections.runner.operations import failure, perform
from connections.runner.warm import Loan, WarmAdapters

SPARE_MEMORY: Final = 64 * 1024 * 1024
"""What a worker that ran out of memory gets more, to say so."""


def serve(sock: socket.socket, zygote: int) -> None:
    """Confine this process, say so, and do jobs until the supervisor hangs up. ``zygote`` is the parent's id."""
    channel = Channel(sock)
    try:
        in_force = isolation.harden(zygote) | {"connects_judged": egress_hook.install()}
        scratch = _scratch()
    except OSError as exc:
        channel.send(Kind.FAILED, orjson.dumps(str(exc)))
        return
    sys.set_int_max_str_digits(0)  # integers are exact at any size; the deadline bounds the time
    channel.send(Kind.READY, orjson.dumps(in_force))
    worker = Worker(channel, scratch)
    try:
        while worker.next():
            pass
    except EOFError:
        worker.close()


class Worker:
    """The life between two jobs: which organisation, which adapters."""

    def __init__(self, channel: Channel, scratch: Path) -> None:
        self._channel = channel
        self._adapters = WarmAdapters(scratch)
        self._organisation: str | None = None

    def next(self) -> bool:
        """Do the next job, or close what has been idle. False when this process must not go on."""
        try:
            _, payload = self._channel.receive(self._adapters.next_expiry())
        except TimeoutError:
            self._adapters.close_idle()
            return True
        job = Job.from_bytes(payload[SECONDS.size :])
        if self._organisation not in (None, job.organisation):
            return False  # the supervisor never sends this; if it does, nothing may be shared
        self._organisation = job.organisation
        return self._do(job, Deadline.after(*SECONDS.unpack_from(payload)))

    def close(self) -> None:
        self._adapters.close()

    def _do(self, job: Job, deadline: Deadline) -> bool:
        isolation.limit_memory(job.budget.memory_bytes)
        vouched.forget()
        loan: Loan | None = None
        error: AdapterError | None = None
        fit = True
        try:
            loan = self._adapters.take(job, self._settings(deadline))
            if job.operation is Operation.CHECK:
                self._plan(loan)
            for frame in perform(job, loan.adapter, deadline):
                self._send(frame)
        except (EOFError, TimeoutError):
            raise EOFError from None  # nobody listens, or nobody gave the settings in time
        except BaseException as exc:  # noqa: BLE001  drivers in Rust raise past Exception; all must be answered
            if isinstance(exc, MemoryError):
                isolation.limit_memory(job.budget.memory_bytes + SPARE_MEMORY)
            error = failure(exc, job)
            # After a failed allocation or a panic nothing in this process is sure any more.
            fit = isinstance(exc, Exception) and not isinstance(exc, MemoryError)
            self._channel.send(Kind.ERROR, orjson.dumps({"error": error.as_dict(), "fit": fit}))
        if fit and loan is not None:
            self._adapters.give_back(loan, error)
        if fit:
            self._channel.send(Kind.IDLE)
        return fit

    def _settings(self, deadline: Deadline) -> Callable[[], dict[str, Any]]:
        def ask() -> dict[str, Any]:
            self._channel.send(Kind.NEED)
            kind, payload = self._channel.receive(deadline.at)
            if kind is not Kind.SETTINGS:
                raise InternalError("The settings could not be read.")
            settings: dict[str, Any] = json.loads(payload)
            return settings

        return ask

    def _plan(self, loan: Loan) -> None:
        """Tell which steps will be tried, so that those not reached can be named if time runs out."""
        try:
            names = [step.name for step in loan.adapter.checks()]
        except Exception:  # noqa: BLE001  the check itself meets this again, and reports it
            names = []
        self._channel.send(Kind.PLAN, orjson.dumps(names))

    def _send(self, frame: Frame) -> None:
        match frame:
            case Chunk(data):
                for start in range(0, len(data), MAX_CHUNK):
                    self._channel.send(Kind.CHUNK, data[start : start + MAX_CHUNK])
            case Head(columns, content_type):
                self._channel.send(Kind.HEAD, orjson.dumps({"columns": columns, "content_type": content_type}))
            case StepDone(step):
                self._channel.send(Kind.STEP, orjson.dumps(step))
            case End(fields):
                self._channel.send(Kind.END, orjson.dumps(fields))


def _scratch() -> Path:
    """This worker's own folder, and home: no driver finds the platform's password or credential files."""
    folder = tempfile.mkdtemp(prefix="worker-", dir=Path.cwd())
    os.chdir(folder)
    os.environ.update(HOME=folder, TMPDIR=folder, TZ="UTC")
    tempfile.tempdir = folder
    return Path(folder)
