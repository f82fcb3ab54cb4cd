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
from collections.abc import Callable, Collection, Hashable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, Protocol

from connections.adapters.errors import AdapterError, BusyError, CancelledError, InternalError
from connections.runner.inline import InlineRunner
from connections.runner.jobs import Job
from connections.runner.leases import Leases
from connections.runner.neighbours import Message, Neighbours, private_folder
from connections.runner.pool import Pool
from connections.runner.processes import Worker, Zygote, no_room, patiently
from connections.runner.runs import Run, SettingsSource, WorkerRun

__all__ = ["InlineRunner", "LocalRunner", "Run", "Runner", "close_all", "runner"]

TICK_SECONDS: Final = 2.0
WATCH_SECONDS: Final = 0.05
QUIET_SECONDS: Final = 0.25
"""Between two looks at how many threads workers have, and while none serves anybody. One can make some thousands in
this time, which a computer has room for."""
LINGER_SECONDS: Final = 0.02


class Runner(Protocol):
    def run(self, job: Job, settings: SettingsSource, holder: Hashable = None) -> Run:
        """Start ``job``. ``settings`` gives the whole settings, secrets included; it is called only when needed.

        ``holder`` is whoever it is done for: ``holders`` tells it, ``stop`` takes it. Raises ``ThrottledError`` when
        connection or organisation has its fill of jobs, ``BusyError`` when the host has or nothing starts in time.
        """

    def cancel(self, job_id: str, organisation: str, reach: Collection[str] | None = None) -> bool:
        """Stop the organisation's jobs of this id; they raise ``CancelledError``.

        ``reach`` are the only connections whose jobs may be stopped. False when there is none here; the host's other
        processes are told too.
        """

    def holders(self, age: float = 0.0) -> set[Hashable]:
        """Whose jobs run or wait since ``age`` seconds or longer."""

    def stop(self, holders: Collection[Hashable], why: str) -> int:
        """Stop all jobs of these holders; they raise ``CancelledError`` with ``why``. Returns how many there were."""

    def status(self) -> dict[str, Any]:
        """Whether jobs can run, how many do, and which isolation is in force. Starts the runner if need be."""

    def close(self) -> None:
        """Stop all jobs and end all processes."""


class LocalRunner:
    """A pool of worker processes, supervised from this one. Thread-safe.

    ``share`` is how many workers one organisation may hold while others wait; ``spares`` how many blank ones are
    kept started, beside ``workers``. Processes of a host with the same ``folder`` count their jobs together and cancel
    one another's; without one, each is alone.
    """

    def __init__(self, *, workers: int = 8, share: int = 4, spares: int = 2, folder: Path | None = None) -> None:
        self._folder = folder
        self._neighbours: Neighbours | None = None
        self._wake = threading.Event()
        self._pool = Pool(self._spawn, self._wake.set, workers=workers, share=share, spares=spares)
        self._starting = threading.Lock()
        self._restocking = threading.Lock()
        self._zygote: Zygote | None = None
        self._isolation: dict[str, bool] | None = None
        self._next_look = 0.0
        self._keeper: threading.Thread | None = None
        self._watcher: threading.Thread | None = None
        self._closing = threading.Event()
        self._closed = False
        _living.add(self)

    def run(self, job: Job, settings: SettingsSource, holder: Hashable = None) -> Run:
        until = time.monotonic() + job.timeout
        content = job.to_bytes()
        self._start_by(until)
        ticket = self._pool.admit(job, until, holder)
        if ticket.until < self._next_look:
            self._wake.set()
        return WorkerRun(self._pool, ticket, content, settings)

    def cancel(self, job_id: str, organisation: str, reach: Collection[str] | None = None) -> bool:
        with self._starting:
            self._meet()
        if self._neighbours is not None:
            named = None if reach is None else sorted(reach)
            self._neighbours.tell({"cancel": job_id, "organisation": organisation, "reach": named})
        return self._cancel_here(job_id, organisation, reach)

    def holders(self, age: float = 0.0) -> set[Hashable]:
        return {ticket.holder for ticket in self._pool.held(age)}

    def stop(self, holders: Collection[Hashable], why: str) -> int:
        found = [ticket for ticket in self._pool.held() if ticket.holder in holders]
        for ticket in found:
            self._pool.revoke(ticket, CancelledError(why))
        return len(found)

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
        self._closing.set()
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
            if self._neighbours is not None:
                self._neighbours.close()
                self._neighbours = None
        self._pool.leases.close()

    def forget(self) -> None:
        """After a fork, in the child: let go of the parent's processes without touching them."""
        self._closed = True
        self._pool.forget()
        if self._zygote is not None:
            self._zygote.forget()
        if self._neighbours is not None:
            self._neighbours.forget()

    def _start_by(self, until: float) -> None:
        """Have a living zygote. Raises ``BusyError`` at ``until``; whoever starts one goes on nevertheless."""
        if self._keeper is not None and self._zygote is not None and self._zygote.alive():
            return
        started: Future[Zygote] = Future()
        starter = threading.Thread(target=self._start_into, args=(started,), name="catalog-runner-start", daemon=True)
        try:
            starter.start()
        except RuntimeError:
            raise no_room() from None
        try:
            started.result(max(until - time.monotonic(), 0.0))
        except TimeoutError:
            raise BusyError(
                "The runner was still starting when the time ran out.", hint="Try again shortly.", retry_after=1
            ) from None

    def _start_into(self, started: Future[Zygote]) -> None:
        try:
            started.set_result(self._start())
        except BaseException as exc:  # noqa: BLE001  raised where it is waited for
            started.set_exception(exc)

    def _start(self) -> Zygote:
        """The living zygote, started if there is none."""
        with self._starting:
            if self._closed:
                raise InternalError("The runner is closed.")
            if self._zygote is None or not self._zygote.alive():
                if self._zygote is not None:
                    self._zygote.close()
                self._zygote = Zygote()
            self._meet()
            if self._keeper is None:
                keeper = threading.Thread(target=self._keep, name="catalog-runner", daemon=True)
                try:
                    if self._watcher is None:
                        watcher = threading.Thread(target=self._watch, name="catalog-runner-watch", daemon=True)
                        watcher.start()
                        self._watcher = watcher
                    keeper.start()
                except RuntimeError:
                    raise no_room() from None
                self._keeper = keeper
            return self._zygote

    def _meet(self) -> None:
        """Share slots with the host's other processes, and hear them. Raises ``InternalError`` where that fails."""
        if self._folder is None or self._neighbours is not None or self._closed:
            return
        try:
            self._pool.leases = Leases(private_folder(self._folder) / "slots")
            self._neighbours = Neighbours(self._folder, self._heard)
        except OSError as exc:
            raise InternalError(
                f"The folder that this host's processes share cannot be used: {exc}",
                hint="Set CATALOG_RUNTIME_FOLDER to a folder of the service's own user, mode 700.",
            ) from None

    def _heard(self, message: Message) -> None:
        """Do what another process of this host asked for."""
        if "cancel" in message:
            self._cancel_here(message["cancel"], message["organisation"], message["reach"])

    def _cancel_here(self, job_id: str, organisation: str, reach: Collection[str] | None) -> bool:
        found = [
            ticket
            for ticket in self._pool.find(job_id, organisation)
            if reach is None or ticket.job.connection in reach
        ]
        for ticket in found:
            self._pool.revoke(ticket, CancelledError("The job was cancelled."))
        return bool(found)

    def _spawn(self, until: float = math.inf) -> Worker:
        zygote = self._start()
        # Somebody waits for it, and may wait a moment longer; the keeper has no time for that.
        worker = zygote.fork() if until == math.inf else patiently(zygote.fork, until)
        self._isolation = worker.introduce(until)
        return worker

    def _keep(self) -> None:
        """Hold the deadlines of runs that nobody reads, bury the dead, and keep spares started."""
        while not self._closed:
            self._next_look = math.inf  # a job that comes from here on wakes this thread
            late, next_deadline = self._pool.overdue()
            for ticket in late:
                self._pool.expire(ticket)
            doomed, more = self._pool.doomed()
            for worker in doomed:
                worker.bury()
            try:
                self._restock()
            except AdapterError:
                pass  # the next job meets it, and can tell somebody
            pause = LINGER_SECONDS if more else TICK_SECONDS
            self._next_look = min(next_deadline or math.inf, time.monotonic() + pause)
            self._wake.wait(max(self._next_look - time.monotonic(), 0.0))
            self._wake.clear()

    def _watch(self) -> None:
        """See to it that no worker takes the others' threads, whatever the keeper waits for."""
        while not self._closing.is_set():
            some = self._pool.end_overgrown()
            self._closing.wait(WATCH_SECONDS if some else QUIET_SECONDS)

    def _restock(self) -> None:
        with self._restocking:
            for _ in range(self._pool.missing()):
                if not self._closed:
                    self._pool.stock(self._spawn())


_KINDS: Final[dict[str, Callable[[Path | None], Runner]]] = {
    "local": lambda folder: LocalRunner(folder=folder),
    "inline": lambda folder: InlineRunner(),
}
_living: weakref.WeakSet[LocalRunner] = weakref.WeakSet()
_runners: dict[str, Runner] = {}
_choosing = threading.Lock()


def runner(kind: str, folder: Path | None = None) -> Runner:
    """This process's runner of ``kind``, ``local`` or ``inline``. Raises ``InternalError`` for another.

    ``folder`` is the one that the host's processes share; it counts when the runner is made.
    """
    with _choosing:
        if kind not in _runners:
            if kind not in _KINDS:
                raise InternalError(f"There is no runner {kind!r}. Choose one of: {', '.join(_KINDS)}.")
            _runners[kind] = _KINDS[kind](folder)
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
