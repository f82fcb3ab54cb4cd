"""Who gets which worker, and when.

A ticket is a job's place: it waits in its organisation's queue, then holds a worker, then is over. Organisations
take turns. One may hold more than its share of the workers only while no other waits, and never all: what hangs
cannot be taken back when another comes, so every fourth place is kept for others. A worker goes to one
realm of one organisation and back to nobody: when another needs its place, it is ended and a blank one is used.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final

from connections.adapters.errors import (
    AdapterError,
    BusyError,
    CancelledError,
    DeadlineError,
    ThrottledError,
    WorkerCrashedError,
)
from connections.runner.jobs import Job
from connections.runner.leases import Leases, NoSlotError, Want
from connections.runner.processes import Worker
from connections.runner.realms import Realm

RETIRE_SECONDS: Final = 300.0


@dataclass(eq=False, slots=True)
class Ticket:
    """One job's place. ``error`` is why it was taken away; ``over`` says that it holds nothing any more.

    ``holder`` is whoever the job is done for, as the catalogue knows them; ``since`` is in monotonic seconds.
    """

    job: Job
    realm: Realm
    until: float
    holder: Hashable = None
    since: float = 0.0
    slots: list[int] = field(default_factory=list)
    granted: threading.Event = field(default_factory=threading.Event)
    worker: Worker | None = None
    error: AdapterError | None = None
    over: bool = False


class Pool:
    """Workers and the queues for them. Thread-safe; starts and ends no process under its lock."""

    def __init__(
        self,
        spawn: Callable[[float], Worker],
        wake: Callable[[], None],
        *,
        workers: int,
        share: int,
        spares: int,
        leases: Leases | None = None,
    ) -> None:
        """``spawn`` starts a worker, or raises ``TimeoutError`` at the moment that it is given, in monotonic seconds.

        ``wake`` is called when a worker is to be buried or started.
        """
        self.workers = workers
        self.leases = leases or Leases()
        self._spawn = spawn
        self._wake = wake
        self._share = share
        self._most = workers - workers // 4
        self._spares = spares
        self._lock = threading.RLock()
        self._tickets: set[Ticket] = set()
        self._queues: OrderedDict[str, deque[Ticket]] = OrderedDict()
        self._running: Counter[str] = Counter()
        self._bound = 0
        self._idle: list[Worker] = []  # longest idle first
        self._blank: list[Worker] = []
        self._doomed: list[Worker] = []

    def admit(self, job: Job, until: float, holder: Hashable = None) -> Ticket:
        """A place in the queue, for a job that ends at ``until`` (monotonic seconds).

        Raises ``ThrottledError`` when connection or organisation has its fill of jobs.
        Jobs of the host's other processes count too; when all of the host's are too many, it raises ``BusyError``.
        """
        ticket = Ticket(job, Realm.of(job), until, holder, time.monotonic())
        with self._lock:
            ticket.slots = self._lease(job)
            self._tickets.add(ticket)
            self._queues.setdefault(job.organisation, deque()).append(ticket)
            self._dispatch()
        return ticket

    def worker(self, ticket: Ticket) -> Worker:
        """Wait for the ticket's turn. Raises ``BusyError`` at its deadline, ``CancelledError`` if it was cancelled."""
        ticket.granted.wait(max(0.0, ticket.until - time.monotonic()))
        with self._lock:
            if ticket.error is not None:
                raise ticket.error
            if not ticket.granted.is_set():
                self.release(ticket, fit=False)
                raise _busy(ticket)
            if ticket.worker is not None:
                return ticket.worker
        try:
            worker = self._spawn(ticket.until)
            worker.bind(ticket.realm, ticket.job.budget.memory_bytes)
        except TimeoutError:
            self.release(ticket, fit=False)
            raise _busy(ticket) from None
        except BaseException:
            self.release(ticket, fit=False)
            raise
        with self._lock:
            ticket.worker = worker
            if ticket.error is not None:  # taken away while the worker started; its place is given on already
                self._doom(worker)
                raise ticket.error
        return worker

    def release(self, ticket: Ticket, *, fit: bool) -> None:
        """The ticket is over; its worker serves on if it is ``fit``. May be called again, to no effect."""
        with self._lock:
            if ticket.over:
                return
            ticket.over = True
            self._tickets.discard(ticket)
            self.leases.give_back(ticket.slots)
            if ticket.granted.is_set():
                self._take_back(ticket, fit)
            else:
                self._leave_queue(ticket)
            ticket.granted.set()
            self._dispatch()

    def revoke(self, ticket: Ticket, error: AdapterError) -> None:
        """Take the ticket away, from whatever thread. Who waits for its frames finds ``error``."""
        with self._lock:
            if ticket.over:
                return
            ticket.error = error
            self.release(ticket, fit=False)

    def expire(self, ticket: Ticket) -> None:
        """Take away a ticket whose deadline has passed while nobody waited or read."""
        with self._lock:
            self.revoke(ticket, out_of_time(ticket) if ticket.granted.is_set() else _busy(ticket))

    def find(self, job_id: str, organisation: str) -> list[Ticket]:
        """The tickets that run or wait for this job id."""
        with self._lock:
            return [
                ticket for ticket in self._tickets if (ticket.job.id, ticket.job.organisation) == (job_id, organisation)
            ]

    def held(self, age: float = 0.0) -> list[Ticket]:
        """The tickets that run or wait since ``age`` seconds or longer."""
        before = time.monotonic() - age
        with self._lock:
            return [ticket for ticket in self._tickets if ticket.since <= before]

    def overdue(self) -> tuple[list[Ticket], float | None]:
        """The tickets whose deadline has passed, and the next deadline, in monotonic seconds."""
        now = time.monotonic()
        with self._lock:
            late = [ticket for ticket in self._tickets if ticket.until <= now]
            return late, min((ticket.until for ticket in self._tickets if ticket.until > now), default=None)

    def doomed(self) -> tuple[list[Worker], bool]:
        """Workers to bury: given up, dead, at work or hoarding while idle, or idle for long. They are the caller's now.

        And whether there are more in a moment, which are about to end what they did.
        """
        with self._lock:
            long_ago = time.monotonic() - RETIRE_SECONDS
            spent = [
                each
                for each in self._idle
                if each.idle_since < long_ago or each.works_on() or each.hoards() or not each.alive()
            ]
            for worker in spent:
                self._idle.remove(worker)
                self._bound -= 1
                self._doomed.append(worker)
            for worker in [worker for worker in self._blank if not worker.alive()]:
                self._blank.remove(worker)
                self._doomed.append(worker)
            lingering = [worker for worker in self._doomed if worker.lingers()]
            found, self._doomed = [worker for worker in self._doomed if worker not in lingering], lingering
            return found, bool(lingering)

    def end_overgrown(self) -> bool:
        """End the workers with more threads than any job needs: others would get none. Their jobs fail.

        Answers whether there are workers to look at, beside blank ones.
        """
        with self._lock:
            busy = {ticket.worker: ticket for ticket in self._tickets if ticket.worker is not None}
            workers = [*busy, *self._idle, *self._doomed]
        for worker in workers:
            if worker.overgrown():
                worker.kill()
                if worker in busy:
                    self.revoke(busy[worker], WorkerCrashedError("The worker made threads without end, and was ended."))
                self._wake()
        return bool(workers)

    def missing(self) -> int:
        """How many blank workers there should be and are not."""
        with self._lock:
            return self._spares - len(self._blank)

    def stock(self, worker: Worker) -> None:
        """Add a blank worker."""
        with self._lock:
            self._blank.append(worker)
            self._dispatch()

    def clear(
        self, error: Callable[[], AdapterError] = lambda: CancelledError("The runner is closing.")
    ) -> list[Worker]:
        """Take everything away from everybody. Returns all workers, to be ended."""
        with self._lock:
            busy = [ticket.worker for ticket in self._tickets if ticket.worker is not None]
            for queue in self._queues.values():
                queue.clear()
            for ticket in list(self._tickets):
                self.revoke(ticket, error())
            found = [*self._idle, *self._blank, *self._doomed]
            self._idle, self._blank, self._doomed, self._bound = [], [], [], 0
            return list({*found, *busy})

    def counts(self) -> dict[str, int]:
        with self._lock:
            waiting = sum(len(queue) for queue in self._queues.values())
            return {
                "limit": self.workers,
                "running": len(self._tickets) - waiting,
                "waiting": waiting,
                "idle": len(self._idle),
                "blank": len(self._blank),
            }

    def forget(self) -> None:
        """After a fork, in the child: close the copies of descriptors. Takes no lock: its holder may not exist here."""
        self.leases.forget()
        busy = [ticket.worker for ticket in self._tickets if ticket.worker is not None]
        for worker in [*self._idle, *self._blank, *self._doomed, *busy]:
            worker.forget()

    # Under the lock --------------------------------------------------------------------------------------------

    def _lease(self, job: Job) -> list[int]:
        """The job's slots among all processes of the host: of its connection, its organisation, and the host."""
        wants: list[Want] = [
            ("organisation", job.organisation, job.organisation_limit),
            ("host", "", job.host_limit),
        ]
        if job.connection is not None:
            wants.append(("connection", f"{job.organisation} {job.connection}", job.connection_limit))
        try:
            return self.leases.take(wants)
        except NoSlotError as full:
            kind, _, count = full.want
            if kind == "host":
                raise BusyError(
                    f"The catalogue has {count} jobs running or waiting, which is its limit.",
                    hint="Try again shortly; if it stays so, the platform's operators can allow more.",
                    retry_after=1,
                ) from None
            raise ThrottledError(
                f"This {kind} has {count} jobs running or waiting, which is its limit.", retry_after=1
            ) from None

    def _dispatch(self) -> None:
        while self._queues and self._running.total() < self.workers:
            organisation = self._next()
            if organisation is None:
                return
            queue = self._queues[organisation]
            ticket = queue.popleft()
            if queue:
                self._queues.move_to_end(organisation)  # the others' turn
            else:
                del self._queues[organisation]
            self._running[organisation] += 1
            ticket.worker = self._choose(ticket)
            ticket.granted.set()

    def _next(self) -> str | None:
        """The organisation whose turn it is: those within their share first. None when all have the most they may."""
        waiting = [name for name in self._queues if self._running[name] < self._most]
        return next((name for name in waiting if self._running[name] < self._share), next(iter(waiting), None))

    def _choose(self, ticket: Ticket) -> Worker | None:
        """A worker for the ticket; None when its holder must start one."""
        realm, memory, warmth = ticket.realm, ticket.job.budget.memory_bytes, ticket.job.warmth
        own = [worker for worker in reversed(self._idle) if worker.serves(realm, memory) and worker.alive()]
        warm = [worker for worker in own if warmth in worker.warmths]
        room = self._bound < self.workers
        settled = [worker for worker in own if worker.settled]
        # A worker that still resets is worth waiting for when it is warm, and when there is no other.
        usable = warm or settled or ([] if room else own)
        if usable:
            self._idle.remove(usable[0])
            return usable[0]
        if not room:
            self._doom(self._idle.pop(0))
            self._bound -= 1
        self._bound += 1
        while self._blank:
            worker = self._blank.pop()
            self._wake()
            if worker.alive():
                worker.bind(realm, memory)
                return worker
            self._doom(worker)
        return None

    def _take_back(self, ticket: Ticket, fit: bool) -> None:
        self._running[ticket.job.organisation] -= 1
        if not self._running[ticket.job.organisation]:
            del self._running[ticket.job.organisation]
        worker = ticket.worker
        if fit and worker is not None:
            worker.idle_since = time.monotonic()
            self._idle.append(worker)
            return
        self._bound -= 1
        if worker is not None:
            # At the deadline a source stops by itself. What lingers takes memory, and some make many of them.
            if time.monotonic() < ticket.until and len(self._doomed) < self.workers:
                worker.stop()
            else:
                worker.kill()
            self._doom(worker)

    def _doom(self, worker: Worker) -> None:
        self._doomed.append(worker)
        self._wake()

    def _leave_queue(self, ticket: Ticket) -> None:
        queue = self._queues.get(ticket.job.organisation)
        if queue is None:
            return
        if ticket in queue:
            queue.remove(ticket)
        if not queue:
            del self._queues[ticket.job.organisation]


def out_of_time(ticket: Ticket) -> DeadlineError:
    """What a caller is told whose job was ended at its deadline."""
    return DeadlineError(
        f"The source did not answer within {ticket.job.timeout:g} s.", hint="Narrow the query, or allow it more time."
    )


def _busy(ticket: Ticket) -> BusyError:
    return BusyError(
        f"No worker became free within {ticket.job.timeout:g} s.",
        hint="Try again shortly; if it stays so, the platform's operators can allow more workers.",
        retry_after=max(1, math.ceil(min(ticket.job.timeout, 5))),
    )
