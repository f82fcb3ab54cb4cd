"""One job on its way: an iterator of frames."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, Final, Self

import orjson

from connections.adapters.contract import Step, StepName
from connections.adapters.errors import AdapterError, DeadlineError, WorkerCrashedError, from_dict
from connections.runner.frames import MAX_WORDS, ORDER, Begun, Chunk, End, Frame, Head, Kind, Ready, StepDone
from connections.runner.jobs import Operation
from connections.runner.operations import check_fields
from connections.runner.pool import Pool, Ticket, out_of_time
from connections.runner.processes import Worker

SettingsSource = Callable[[], dict[str, Any]]

MARGIN_SECONDS: Final = 0.1
"""How much earlier than the supervisor the worker gives up by itself, so that its own words arrive."""
SPARE_BYTES: Final = 16 * 1024 * 1024
"""What a body may be longer than twice its budget: rows are counted, and what a format writes around them is not."""
LEAST_BYTES: Final = 64
"""What a frame counts for besides what it holds: to hear many small ones is work too."""
MAX_VALUES: Final = 200_000
"""Values that one frame may tell: each takes many times its length here. 1 600 columns have 20 000."""
WRITING_SECONDS: Final = 0.0008
"""How long an answer is waited for awake that is being written: 100 rows take about a quarter of that."""
_NOT_TOLD: Final = (ValueError, TypeError, KeyError, AttributeError)
"""What comes of a frame that is not as a worker makes it."""
_SAID: Final = (Kind.CHUNK, Kind.HEAD, Kind.END, Kind.ERROR, Kind.STEP, Kind.PLAN)


class Run(ABC):
    """Iterate to get the job's frames, ``End`` last; ``AdapterError`` is raised for what goes wrong.

    Closing before the end cancels the job and frees its place. One thread at a time; to stop a run from another
    thread, cancel the job. A run that nobody closes ends at its deadline.
    """

    def __init__(self) -> None:
        self._frames: Generator[Frame, None, None] = self._steps()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        return next(self._frames)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop, if it has not ended. May be called again."""
        self._frames.close()

    @abstractmethod
    def _steps(self) -> Generator[Frame, None, None]:
        """The frames; closing it cancels."""


class WorkerRun(Run):
    """A job in a worker process."""

    def __init__(self, pool: Pool, ticket: Ticket, content: bytes, settings: SettingsSource) -> None:
        super().__init__()
        self._pool = pool
        self._ticket = ticket
        self._content = content
        self._settings = settings
        self._began = time.monotonic()
        self._queue_ms = 0.0
        self._fit = False
        self._plan: list[StepName] | None = None
        self._done: list[dict[str, Any]] = []
        self._given = False
        self._words = self._body = 0
        self._asides: set[Kind] = set()

    def close(self) -> None:
        super().close()
        self._pool.release(self._ticket, fit=False)  # a run that never started holds its place nevertheless

    def _steps(self) -> Generator[Frame, None, None]:
        job = self._ticket.job
        worker = self._pool.worker(self._ticket)
        self._queue_ms = (time.monotonic() - self._began) * 1000
        started = time.perf_counter()
        try:
            yield from self._converse(worker)
        except (DeadlineError, WorkerCrashedError) as error:
            if job.operation is not Operation.CHECK:
                raise
            yield End(self._cut_short(error, started))
        finally:
            self._pool.release(self._ticket, fit=False)
            if not self._fit:
                worker.close()

    def _converse(self, worker: Worker) -> Generator[Frame, None, None]:
        """Send the job, and settings if asked for; yield what comes back. Ends the worker if it is not heard out."""
        ticket = self._ticket
        try:
            worker.settled = False
            worker.leave.grant(ticket.job.egress)
            worker.channel.send(Kind.JOB, self._order() + self._content, ticket.until)
            yield Ready()
            worker.channel.send(Kind.GO, until=ticket.until)
            yield Begun()
            while True:
                kind, payload = self._next_of(worker)
                if ticket.error is not None:
                    raise ticket.error
                if kind is Kind.NEED and not self._given:
                    self._given = True
                    self._hand_over(worker)
                elif kind is Kind.LISTENER:
                    worker.dial(payload, ticket.until)
                elif kind in _SAID:
                    frame = self._heard(worker, kind, payload)
                    if frame is not None:
                        yield frame
                    if isinstance(frame, End):
                        return
                else:
                    self._require_once(kind)
                    worker.hear(kind)  # done with resetting after the job before
                    worker.settled = False
        except TimeoutError:
            self._pool.release(ticket, fit=False)
            raise ticket.error or out_of_time(ticket) from None
        except EOFError:
            self._pool.release(ticket, fit=False)
            raise ticket.error or _crashed(worker) from None

    def _next_of(self, worker: Worker) -> tuple[Kind, bytes]:
        """The worker's next frame. When it says that the answer comes soon, we stay awake for that at first."""
        kind, payload = worker.channel.receive(self._ticket.until)
        if kind is not Kind.SOON:
            return kind, payload
        self._require_once(kind)
        return worker.channel.receive_soon(self._ticket.until, WRITING_SECONDS)

    def _require_once(self, kind: Kind) -> None:
        """A worker says each of these once for a job. Raises ``WorkerCrashedError`` for one that goes on."""
        if kind in self._asides:
            raise _untrue()
        self._asides.add(kind)

    def _order(self) -> bytes:
        left = self._ticket.until - time.monotonic()
        return ORDER.pack(max(left - min(MARGIN_SECONDS, left / 10), 0.0), self._ticket.realm.network)

    def _hand_over(self, worker: Worker) -> None:
        """Give the worker the settings that it lacks. This is the only place where a secret leaves this process."""
        try:
            settings = json.dumps(self._settings()).encode()
        except BaseException:
            self._have_it_given_up(worker)
            raise
        worker.channel.send(Kind.SETTINGS, settings, self._ticket.until)
        if (warmth := self._ticket.job.warmth) is not None:
            connection = warmth.partition(",")[0]  # of its other adapters for this connection the worker lets go
            worker.warmths = {kept for kept in worker.warmths if kept.partition(",")[0] != connection} | {warmth}

    def _have_it_given_up(self, worker: Worker) -> None:
        """Tell the worker that there are no settings. Why there are none is what the caller is told."""
        try:
            worker.channel.send(Kind.NO_SETTINGS, until=self._ticket.until)
            if worker.channel.receive(self._ticket.until)[0] is Kind.ERROR:
                self._let_go(fit=True)  # it gave the job up, and nothing else happened
        except (EOFError, TimeoutError):
            pass  # it waited as long as it had

    def _heard(self, worker: Worker, kind: Kind, payload: bytes) -> Frame | None:
        """What a caller hears of a frame. Raises ``WorkerCrashedError`` for one that no worker of ours sends.

        A worker keeps to its budget and tells things as they are. One that a plug-in or a broken driver has taken over
        does not, and is ended before it is felt here.
        """
        try:
            return self._chunk(payload) if kind is Kind.CHUNK else self._told(worker, kind, payload)
        except _NOT_TOLD:
            raise _untrue() from None

    def _chunk(self, payload: bytes) -> Chunk:
        self._body += len(payload) + LEAST_BYTES
        if self._body > 2 * self._ticket.job.budget.bytes + SPARE_BYTES:
            raise _untrue()
        return Chunk(payload)

    def _told(self, worker: Worker, kind: Kind, payload: bytes) -> Frame | None:
        self._words += len(payload) + LEAST_BYTES
        if self._words > 2 * MAX_WORDS or payload.count(b",") + payload.count(b"[") + payload.count(b"{") > MAX_VALUES:
            raise _untrue()
        told = orjson.loads(payload)
        match kind:
            case Kind.PLAN:
                self._plan = [StepName(name) for name in told]
                return None
            case Kind.HEAD:
                return Head(list(told["columns"]), str(told["content_type"]))
            case Kind.STEP:
                StepName(told["name"])
                self._done.append(told)
                return StepDone(told)
        return self._over(worker, kind, told)

    def _over(self, worker: Worker, kind: Kind, content: dict[str, Any]) -> Frame:
        """The answer is whole: the worker serves on before the caller has read it."""
        if kind is Kind.ERROR:
            error, fit = from_dict(content["error"]), content["fit"] is True
            refusal = worker.leave.refusal(error.code)
            self._let_go(fit=fit)
            raise refusal or error
        content = dict(content)
        if "stats" in content:
            content["stats"]["queue_ms"] = round(self._queue_ms, 3)
        self._let_go(fit=True)
        return End(content)

    def _let_go(self, *, fit: bool) -> None:
        """Give the worker back. If it is fit, another job may have it from here on."""
        self._fit = fit and not self._ticket.over
        self._pool.release(self._ticket, fit=fit)

    def _cut_short(self, error: AdapterError, started: float) -> dict[str, Any]:
        """The end of a check that did not get to its end: what it found, and what it did not reach."""
        reached = {step["name"] for step in self._done}
        missed = [Step(name).as_dict() for name in self._plan or () if name not in reached]
        fields = check_fields([*self._done, *missed], error, None, [], started)
        # Time that ran out in a step is the source's failure; a worker that died says nothing about the source.
        fields["ok"] = False if isinstance(error, DeadlineError) and self._plan is not None else None
        return fields


def _untrue() -> WorkerCrashedError:
    return WorkerCrashedError("The worker answered as none does, and was ended.")


def _crashed(worker: Worker) -> WorkerCrashedError:
    return WorkerCrashedError(
        f"The worker process died ({worker.bury()}) before it answered.",
        hint="Try again. If it happens again, the query or the data makes the driver fail, or needs too much memory.",
    )
