"""Asking a runner for toy jobs, and reading what it says."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from connections.adapters.limits import Budget
from connections.runner.frames import Chunk, End, Head, StepDone
from connections.runner.jobs import Job, Operation
from connections.runner.runs import Run
from connections.runner.supervisor import Runner

_ids = count(1)


@dataclass
class Answer:
    """All frames of one run."""

    head: Head | None = None
    body: bytes = b""
    steps: list[dict[str, Any]] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> list[Any]:
        rows: list[Any] = json.loads(b"[" + self.body + b"]")
        return rows


@dataclass
class Asker:
    """A runner, and how often it asked for settings."""

    runner: Runner
    settings: dict[str, Any] = field(default_factory=dict)
    opened: int = 0
    organisation: str = field(default_factory=lambda: f"organisation-{next(_ids)}")

    def open(self) -> dict[str, Any]:
        self.opened += 1
        return self.settings

    def job(
        self,
        operation: str = "read",
        *,
        organisation: str | None = None,
        connection: str | None = "c1",
        version: int = 1,
        timeout: float = 20,
        budget: Budget | None = None,
        egress: dict[str, Any] | None = None,
        job_id: str | None = None,
        source: str = "toy",
        limits: tuple[int, int] = (4, 8),
        root: str | None = None,
        **arguments: Any,
    ) -> Job:
        return Job(
            id=job_id or f"job-{next(_ids)}",
            organisation=organisation or self.organisation,
            connection=connection,
            access_version=version,
            source=source,
            operation=Operation(operation),
            arguments=arguments,
            timeout=timeout,
            budget=budget or Budget(),
            egress=egress or {},
            root=root,
            connection_limit=limits[0],
            organisation_limit=limits[1],
        )

    def run(
        self, operation: str = "read", *, settings: Callable[[], dict[str, Any]] | None = None, **asked: Any
    ) -> Run:
        return self.runner.run(self.job(operation, **asked), settings or self.open)

    def ask(self, operation: str = "read", **asked: Any) -> Answer:
        answer = Answer()
        with self.run(operation, **asked) as run:
            for frame in run:
                match frame:
                    case Head():
                        answer.head = frame
                    case Chunk(data):
                        assert type(data) is bytes
                        answer.body += data
                    case StepDone(step):
                        answer.steps.append(step)
                    case End(fields):
                        answer.fields = fields
        return answer

    def do(self, what: str, **asked: Any) -> Answer:
        """A read of the toy's query ``what``, whose own members are among ``asked``."""
        members = {name: asked.pop(name) for name in ("n", "text", "seconds", "batch") if name in asked}
        return self.ask(query=toy(what, **members), **asked)

    def myself(self, **asked: Any) -> dict[str, Any]:
        """What the worker that served this says of itself."""
        found: dict[str, Any] = self.do("self", **asked).rows[0][0]
        return found


def toy(what: str, **members: Any) -> dict[str, Any]:
    return {"do": what, **members}


def sleeping_job(job_id: str = "sleeper", seconds: int = 30) -> Job:
    """A job of the organisation ``acme`` that sleeps; the same in every process."""
    return Job(
        id=job_id,
        organisation="acme",
        connection="c1",
        access_version=1,
        source="toy",
        operation=Operation.READ,
        arguments={"query": toy("sleep", seconds=seconds)},
        timeout=20,
        budget=Budget(),
        egress={},
    )


def gone(pid: int, within: float = 3.0) -> bool:
    """Whether the process ends, its exit status collected or not, before ``within`` seconds have passed."""
    until = time.monotonic() + within
    while _runs(pid):
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
