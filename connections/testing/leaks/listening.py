"""Listening to every logger at DEBUG, and to the jobs that go to workers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from connections.runner.jobs import Job
from connections.services.logs import JSONFormatter
from connections.testing.leaks.canaries import Canaries


class Listener(logging.Handler):
    """Keeps every record, whatever its level."""

    def __init__(self) -> None:
        super().__init__(level=0)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def look(self, canaries: Canaries, *, texts_of_exceptions: bool = True) -> None:
        """Look at what was logged. The texts of exceptions, which deployments do not print, only when told to."""
        told, plain = JSONFormatter(), logging.Formatter()
        for record in list(self.records):
            canaries.look("a line of the log", told.format(record))
            canaries.look("a record of the log", f"{record.getMessage()} {record.args!r} {record.msg!r}")
            if texts_of_exceptions:
                canaries.look("a line of the log", plain.format(record))


@contextmanager
def listening() -> Iterator[Listener]:
    """All libraries log at DEBUG meanwhile."""
    listener, root = Listener(), logging.getLogger()
    found = [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    before: list[Any] = [(each, each.level, each.disabled) for each in (root, *found)]
    for each, _, _ in before:
        each.setLevel(logging.DEBUG)
        each.disabled = False
    root.addHandler(listener)
    try:
        yield listener
    finally:
        root.removeHandler(listener)
        for each, level, disabled in before:
            each.setLevel(level)
            each.disabled = disabled


@contextmanager
def looking_at_jobs(canaries: Canaries) -> Iterator[None]:
    """Look at every job as it goes to a worker: its settings go apart from it, and only down that worker's pipe."""
    to_bytes = Job.to_bytes

    def looked_at(job: Job) -> bytes:
        content = to_bytes(job)
        canaries.look("a job", content)
        canaries.look("a job", repr(job))
        canaries.jobs[job.operation] += 1
        return content

    Job.to_bytes = looked_at  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Job.to_bytes = to_bytes  # type: ignore[method-assign]
