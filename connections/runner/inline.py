"""A runner without processes, for a debugger: the same frames, from the calling thread.

Nothing is isolated and nothing can be killed: a job that hangs, hangs its caller.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Collection, Generator, Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any

from connections.adapters.errors import AdapterError, CancelledError, InternalError
from connections.adapters.limits import Deadline
from connections.runner.frames import Begun, Frame, Ready, Soon
from connections.runner.jobs import Job
from connections.runner.operations import failure, perform
from connections.runner.runs import Run, SettingsSource
from connections.runner.warm import Loan, WarmAdapters


class InlineRun(Run):
    """A job in the calling thread. It notices that it was cancelled between two frames."""

    def __init__(self, runner: InlineRunner, job: Job, settings: SettingsSource, holder: Hashable) -> None:
        super().__init__()
        self.job = job
        self.holder = holder
        self.since = time.monotonic()
        self.stopped: str | None = None
        self._runner = runner
        self._settings = settings
        self._unopened: Exception | None = None
        self._deadline = Deadline.after(job.timeout)

    def close(self) -> None:
        super().close()
        self._runner.over(self)

    def _steps(self) -> Generator[Frame, None, None]:
        loan: Loan | None = None
        error: AdapterError | None = InternalError("The job was not read to its end.")
        try:
            yield Ready()
            yield Begun()
            loan = self._runner.adapters.take(self.job, self._open)
            for frame in perform(self.job, loan.adapter, self._deadline):
                if self.stopped is not None:
                    raise CancelledError(self.stopped)
                if not isinstance(frame, Soon):  # there is nobody to wake
                    yield frame
            error = None
        except Exception as exc:
            error = failure(exc, self.job)
            if exc is self._unopened:
                raise  # why there are no settings is the caller's to tell
            raise error from exc
        finally:
            self._runner.over(self)
            if loan is not None:
                self._runner.adapters.give_back(loan, error)

    def _open(self) -> dict[str, Any]:
        try:
            return self._settings()
        except Exception as exc:
            self._unopened = exc
            raise


class InlineRunner:
    """Does each job where its run is iterated."""

    def __init__(self) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="catalog-inline-")
        self._lock = threading.Lock()
        self._runs: set[InlineRun] = set()
        self.adapters = WarmAdapters(Path(self._scratch.name))

    def run(self, job: Job, settings: SettingsSource, holder: Hashable = None) -> Run:
        run = InlineRun(self, replace(Job.from_bytes(job.to_bytes()), id=job.id), settings, holder)
        with self._lock:
            self._runs.add(run)
        return run

    def cancel(self, job_id: str, organisation: str, reach: Collection[str] | None = None) -> bool:
        with self._lock:
            found = [run for run in self._runs if (run.job.id, run.job.organisation) == (job_id, organisation)]
        for run in found:
            if reach is None or run.job.connection in reach:
                run.stopped = "The job was cancelled."
        return bool(found)

    def holders(self, age: float = 0.0) -> set[Hashable]:
        before = time.monotonic() - age
        with self._lock:
            return {run.holder for run in self._runs if run.since <= before}

    def stop(self, holders: Collection[Hashable], why: str) -> int:
        with self._lock:
            found = [run for run in self._runs if run.holder in holders]
        for run in found:
            run.stopped = why
        return len(found)

    def status(self) -> dict[str, Any]:
        return {
            "kind": "inline",
            "ok": True,
            "problem": None,
            "workers": {"limit": 0, "running": len(self._runs), "waiting": 0, "idle": 0, "blank": 0},
            "isolation": {},
        }

    def close(self) -> None:
        self.adapters.close()
        self._scratch.cleanup()

    def over(self, run: InlineRun) -> None:
        """Forget a run that has ended."""
        with self._lock:
            self._runs.discard(run)
