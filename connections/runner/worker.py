"""A worker: takes jobs from its socket, one at a time, and answers on it. It serves one realm for life."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import orjson

from connections.adapters.errors import AdapterError, InternalError, TooLargeError
from connections.adapters.gate import Shut
from connections.adapters.limits import Deadline
from connections.adapters.vouching import vouched
from connections.runner import egress_hook, isolation
from connections.runner.confinement import Expected, enter, start
from connections.runner.frames import (
    DESCRIPTOR,
    MAX_CHUNK,
    MAX_HELD,
    MAX_WORDS,
    ORDER,
    Channel,
    Chunk,
    End,
    Frame,
    Head,
    Kind,
    Soon,
    StepDone,
)
from connections.runner.jobs import Job, Operation
from connections.runner.operations import failure, perform
from connections.runner.stopping import Stopped, listen
from connections.runner.warm import Loan, WarmAdapters

ABANDON_SECONDS: Final = 0.8
KEPT_JOB: Final = 16 * 1024
"""Bytes of a job that is kept for the next one that asks the same."""


def serve(sock: socket.socket, zygote: int, expected: Expected) -> None:
    """Harden this process, say so, and do jobs until the supervisor hangs up. ``zygote`` is the parent's id."""
    channel = Channel(sock)
    listen()
    try:
        scratch, _ = start(zygote, expected)
        in_force = {**expected.told(), "connects_judged": egress_hook.install()}
    except OSError as exc:
        channel.send(Kind.FAILED, orjson.dumps(str(exc)))
        return
    sys.set_int_max_str_digits(0)  # integers are exact at any size; the deadline bounds the time
    channel.send(Kind.READY, orjson.dumps(in_force))
    worker = Worker(channel, scratch, expected)
    try:
        while worker.next():
            pass
    except (EOFError, Stopped):
        worker.close()


class Worker:
    """The life between two jobs: which realm, which adapters."""

    def __init__(self, channel: Channel, scratch: Path, expected: Expected) -> None:
        self._channel = channel
        self._scratch = scratch
        self._expected = expected
        self._adapters = WarmAdapters(scratch)
        self._realm: tuple[str, bool, str | None] | None = None
        self._may_go = False

    def next(self) -> bool:
        """Do the next job, or close what has been idle. False when this process must not go on."""
        try:
            _, payload = self._channel.receive(self._adapters.next_expiry())
        except TimeoutError:
            self._adapters.close_idle()
            return True
        content = payload[ORDER.size :]
        job = _kept_job(content) if len(content) <= KEPT_JOB else Job.from_bytes(content)
        seconds, network = ORDER.unpack_from(payload)
        deadline = Deadline.after(seconds)
        isolation.limit_cpu(seconds)
        self._may_go = False
        realm = (job.organisation, network, None if network else job.root)
        if self._realm is None:
            self._await_go(deadline.at)
            if not self._confine(job, network, deadline.at):
                return False
        if self._realm not in (None, realm):
            return False  # the supervisor never sends this; if it does, nothing may be shared
        self._realm = realm
        return self._do(job, deadline)

    def close(self) -> None:
        self._adapters.close()

    def _await_go(self, until: float) -> None:
        """Wait until the job may touch its source. Raises ``EOFError`` when whoever sent it forgot it, or hangs."""
        if self._may_go:
            return
        try:
            word, _ = self._channel.receive_soon(until)
        except TimeoutError:
            raise EOFError from None
        if word is not Kind.GO:
            raise EOFError  # out of step with the supervisor
        self._may_go = True

    def _confine(self, job: Job, network: bool, until: float) -> bool:
        """Give up all that this realm does not need. False, and an answer, when that fails: nothing was done yet."""
        try:
            enter(
                self._scratch,
                job.root if not network else None,
                job.budget.memory_bytes,
                self._expected,
                network=network,
                hand_over=lambda listener: self._hand_over(listener, until),
            )
        except OSError as exc:
            error = InternalError(f"A worker could not be isolated and was not used: {exc}")
            self._channel.send(Kind.ERROR, orjson.dumps({"error": error.as_dict(), "fit": False}))
            return False
        return True

    def _hand_over(self, listener: int, until: float) -> None:
        """Give the supervisor what tells of this process's connecting. Nothing can connect here without it."""
        self._channel.send(Kind.LISTENER, DESCRIPTOR.pack(listener), until)
        if self._channel.receive(until)[0] is not Kind.TAKEN:
            raise ConnectionError("the supervisor did not take on its connections")

    def _do(self, job: Job, deadline: Deadline) -> bool:
        isolation.limit_memory(job.budget.memory_bytes)
        vouched.forget()
        loan: Loan | None = None
        error: AdapterError | None = None
        fit = True

        def begin() -> None:
            try:
                self._await_go(deadline.at)
            except EOFError:
                raise Shut from None

        try:
            loan = self._adapters.take(job, self._settings(deadline))
            if job.operation is Operation.CHECK:
                self._plan(loan)
            whole = job.arguments.get("format", "json") == "json"
            for frame in perform(job, loan.adapter, deadline, begin=begin):
                self._send(frame, whole=whole)
        except (EOFError, TimeoutError, Shut):
            raise EOFError from None  # nobody listens, or nobody gave the settings in time
        except Stopped:
            if loan is not None and self._may_go:  # else the source was asked nothing
                _abandon(loan)
            return False
        except BaseException as exc:  # noqa: BLE001  drivers in Rust raise past Exception; all must be answered
            if isinstance(exc, MemoryError):
                isolation.limit_memory(job.budget.memory_bytes + isolation.SPARE_MEMORY)
            error = failure(exc, job)
            # After a failed allocation or a panic nothing in this process is sure any more.
            fit = isinstance(exc, Exception) and not isinstance(exc, MemoryError)
            self._await_go(deadline.at)  # the supervisor says so once for each job
            self._channel.send(Kind.ERROR, orjson.dumps({"error": error.as_dict(), "fit": fit}))
        if fit and loan is not None:
            self._adapters.give_back(loan, error)
        if fit:
            self._channel.send(Kind.IDLE)
        return fit

    def _settings(self, deadline: Deadline) -> Callable[[], dict[str, Any]]:
        def ask() -> dict[str, Any]:
            self._await_go(deadline.at)
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

    def _send(self, frame: Frame, *, whole: bool) -> None:
        """Send a frame. One of an answer that is read as a whole may go with the next, but not the last."""
        match frame:
            case Chunk(data) if whole and len(data) <= MAX_HELD:
                self._channel.hold(Kind.CHUNK, data)
            case Chunk(data):
                for start in range(0, len(data), MAX_CHUNK):
                    self._channel.send(Kind.CHUNK, data[start : start + MAX_CHUNK])
            case Soon():
                if whole:
                    self._channel.send(Kind.SOON)
            case Head(columns, content_type):
                self._channel.hold(Kind.HEAD, _words({"columns": columns, "content_type": content_type}))
            case StepDone(step):
                self._channel.send(Kind.STEP, _words(step))
            case End(fields):
                self._channel.send(Kind.END, _words(fields))


_kept_job = lru_cache(32)(Job.from_bytes)  # previews come again, and nobody changes a job


def _abandon(loan: Loan) -> None:
    """Have the source end what it was asked. Whatever goes wrong there, this process is killed in a moment."""
    with contextlib.suppress(Exception):
        loan.adapter.abandon(Deadline.after(ABANDON_SECONDS))


def _words(fields: dict[str, Any]) -> bytes:
    payload = orjson.dumps(fields)
    if len(payload) > MAX_WORDS:
        raise TooLargeError("The source says more of its columns, tables or itself than can be shown.")
    return payload
