"""Runners: what the catalogue asks to do a job.

``LocalRunner`` supervises worker processes of its own; ``InlineRunner`` does the work in the calling thread, for a
debugger. ``runner`` gives this process's own, started when first used and closed at exit. A forked child starts
anew: it shares no worker with its parent.
"""

from __future__ import annotations

import atexit
import math
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Final, Protocol

from connections.adapters.errors import AdapterError, CancelledError, InternalError
from connections.runner.inline import InlineRunner
from connections.runner.jobs import Job
from connections.runner.pool import Pool
from connections.runner.processes import Worker, Zygote
from connections.runner.runs import Run, SettingsSource, WorkerRun

__all__ = ["InlineRunner", "LocalRunner", "Run", "Runner", "close_all", "runner"]

TICK_SECONDS: Final = 5.0


class Runner(Protocol):
    def run(self, job: Job, settings: SettingsSource) -> Run:
        """Start ``job``. ``settings`` gives the whole settings, secrets included; it is called only when needed.

        Raises ``ThrottledError`` when connection or organisation has its fill of jobs.
        """

    def cancel(self, job_id: str, organisation: str) -> bool:
        """Stop the organisation's jobs of this id; they raise ``CancelledError``. False when there is none."""

    def status(self) -> dict[str, Any]:
        """Whether jobs can run, how many do, and which isolation is in force. Starts the runner if need be."""

    def close(self) -> None:
        """Stop all jobs and end all processes."""


class LocalRunner:
    """A pool of worker processes, supervised from this one. Thread-safe.

    ``share`` is how many workers one organisation may hold while others wait; ``spares`` how many blank ones are
    kept started, beside ``workers``.
    """

    def __init__(self, *, workers: int = 8, share: int = 4, spares: int = 2) -> None:
        self._wake = threading.Event()
        self._pool = Pool(self._spawn, self._wake.set, workers=workers, share=share, spares=spares)
        self._starting = threading.Lock()
        self._restocking = threading.Lock()
        self._zygote: Zygote | None = None
        self._isolation: dict[str, bool] | None = None
        self._next_look = 0.0
        self._keeper: threading.Thread | None = None
        self._closed = False
        _living.add(self)

    def run(self, job: Job, settings: SettingsSource) -> Run:
        content = job.to_bytes()
        self._start()
        ticket = self._pool.admit(job)
        if ticket.until < self._next_look:
            self._wake.set()
        return WorkerRun(self._pool, ticket, content, settings)

    def cancel(self, job_id: str, organisation: str) -> bool:
        found = self._pool.find(job_id, organisation)
        for ticket in found:
            self._pool.revoke(ticket, CancelledError("The job was cancelled."))
        return bool(found)

    def status(self) -> dict[str, Any]:
        try:
            self._start()
            self._restock()
            problem = None
        except AdapterError as error:
            problem = error.message
        return {
            "kind": "local",
            "ok": problem is None,
            "problem": problem,
            "workers": self._pool.counts(),
            "isolation": self._isolation,
        }

    def close(self) -> None:
        self._closed = True
        self._wake.set()
        keeper = self._keeper
        if keeper is not None and keeper is not threading.current_thread():
            keeper.join(10)
        for worker in self._pool.clear():
            worker.kill()
        with self._starting:
            if self._zygote is not None:
                self._zygote.close()
                self._zygote = None

    def forget(self) -> None:
        """After a fork, in the child: let go of the parent's processes without touching them."""
        self._closed = True
        self._pool.forget()
        if self._zygote is not None:
            self._zygote.forget()

    def _start(self) -> Zygote:
        """The living zygote, started if there is none."""
        with self._starting:
            if self._closed:
                raise InternalError("The runner is closed.")
            if self._zygote is None or not self._zygote.alive():
                if self._zygote is not None:
                    self._zygote.close()
                self._zygote = Zygote()
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep, name="catalog-runner", daemon=True)
                self._keeper.start()
            return self._zygote

    def _spawn(self) -> Worker:
        worker = self._start().fork()
        self._isolation = worker.introduce()
        return worker

    def _keep(self) -> None:
        """Hold the deadlines of runs that nobody reads, bury the dead, and keep spares started."""
        while not self._closed:
            self._next_look = math.inf  # a job that comes from here on wakes this thread
            late, next_deadline = self._pool.overdue()
            for ticket in late:
                self._pool.expire(ticket)
            for worker in self._pool.doomed():
                worker.bury()
            try:
                self._restock()
            except AdapterError:
                pass  # the next job meets it, and can tell somebody
            self._next_look = min(next_deadline or math.inf, time.monotonic() + TICK_SECONDS)
            self._wake.wait(max(self._next_look - time.monotonic(), 0.0))
            self._wake.clear()

    def _restock(self) -> None:
        with self._restocking:
            for _ in range(self._pool.missing()):
                if not self._closed:
                    self._pool.stock(self._spawn())


_KINDS: Final[dict[str, Callable[[], Runner]]] = {"local": LocalRunner, "inline": InlineRunner}
_living: weakref.WeakSet[LocalRunner] = weakref.WeakSet()
_runners: dict[str, Runner] = {}
_choosing = threading.Lock()


def runner(kind: str) -> Runner:
    """This process's runner of ``kind``, ``local`` or ``inline``. Raises ``InternalError`` for another."""
    with _choosing:
        if kind not in _runners:
            if kind not in _KINDS:
                raise InternalError(f"There is no runner {kind!r}. Choose one of: {', '.join(_KINDS)}.")
            _runners[kind] = _KINDS[kind]()
        return _runners[kind]


def close_all() -> None:
    """Close this process's runners."""
    with _choosing:
        while _runners:
            _runners.popitem()[1].close()


def _start_anew() -> None:
    global _choosing
    _choosing = threading.Lock()  # another thread of the parent may have held it
    _runners.clear()
    for local in list(_living):
        local.forget()
    _living.clear()


atexit.register(close_all)
os.register_at_fork(after_in_child=_start_anew)
