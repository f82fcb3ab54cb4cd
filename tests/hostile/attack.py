"""Asking the real runner to use a lying server, and looking at what became of everybody."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from connections.adapters.egress import EgressPolicy
from connections.adapters.errors import AdapterError
from connections.adapters.limits import Budget
from connections.runner.frames import Chunk, End
from connections.runner.jobs import Job, Operation
from connections.runner.supervisor import Runner

SECRET = "C4n4ry-%40'\"\\é{}=;hunter2"
TIMEOUT = 3.0
GRACE = 2.0
"""Seconds after the deadline by which the worker must be gone, or have answered."""
FLAT = 30 * 2**20
"""Bytes by which the supervisor may grow while it is attacked."""

LOOPBACK = EgressPolicy(loopback=True).as_dict()
_ids = count(1)


@dataclass
class Outcome:
    """What a job ended with: an error, or the fields of its ``End``."""

    error: AdapterError | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    size: int = 0
    body: bytes = b""
    """The start of what came, at most a mebibyte."""
    seconds: float = 0.0
    grown: int = 0

    @property
    def code(self) -> str:
        """The error's code, of a check its error's; ``ok`` where there is none."""
        if self.error is not None:
            return self.error.code
        return str((self.fields.get("error") or {"code": "ok"})["code"])

    @property
    def told(self) -> str:
        """All that a caller could see of it."""
        error = self.error.as_dict() if self.error is not None else None
        return json.dumps([error, self.fields], ensure_ascii=False)


def attack(
    runner: Runner,
    source: str,
    settings: dict[str, Any],
    query: dict[str, Any] | None = None,
    *,
    timeout: float = TIMEOUT,
    budget: Budget | None = None,
    egress: dict[str, Any] | None = None,
    root: str | None = None,
    connection: str | None = "c1",
    **arguments: Any,
) -> Outcome:
    """Preview ``query``, or make a status check when it is None. Asserts what holds in every attack."""
    job = Job(
        id=f"attack-{next(_ids)}",
        organisation="acme",
        connection=f"{connection}-{next(_ids)}" if connection else None,
        access_version=1,
        source=source,
        operation=Operation.CHECK if query is None else Operation.READ,
        arguments={} if query is None else {"query": query, **arguments},
        timeout=timeout,
        budget=budget or Budget(),
        egress=egress or LOOPBACK,
        root=root,
    )
    outcome = Outcome()
    with _watched(outcome):
        try:
            with runner.run(job, lambda: settings) as run:
                for frame in run:
                    if isinstance(frame, Chunk):
                        outcome.size += len(frame.data)
                        outcome.body += frame.data[: max(0, 2**20 - len(outcome.body))]
                    elif isinstance(frame, End):
                        outcome.fields = frame.fields
        except AdapterError as error:
            outcome.error = error
    assert outcome.seconds < timeout + GRACE, "The job did not end in time."
    assert outcome.grown < FLAT, f"The supervisor grew by {outcome.grown // 2**20} MiB."
    assert runner.status()["workers"]["running"] == 0, "A worker is still at it."
    assert_unsaid(outcome.told)
    return outcome


def assert_unsaid(content: str | bytes | bytearray) -> None:
    """No spelling of the secret is in ``content``."""
    raw = content.encode() if isinstance(content, str) else bytes(content)
    for spelling in spellings():
        assert spelling not in raw, f"The secret is there: {spelling!r}"


def spellings(secret: str = SECRET) -> set[bytes]:
    plain = secret.encode()
    texts = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], urllib.parse.quote(secret)}
    return {plain, base64.b64encode(plain).rstrip(b"="), b"hunter2", *(text.encode() for text in texts)}


@contextmanager
def _watched(outcome: Outcome) -> Iterator[None]:
    """Fill in time and this process's growth at its highest."""
    before = highest = _resident()
    done = threading.Event()

    def look() -> None:
        nonlocal highest
        while not done.wait(0.02):
            highest = max(highest, _resident())

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    started = time.monotonic()
    try:
        yield
    finally:
        outcome.seconds = time.monotonic() - started
        done.set()
        watcher.join()
        outcome.grown = max(highest, _resident()) - before


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
