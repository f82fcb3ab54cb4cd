"""What each operation does with an adapter, as frames. Runs in the worker, or in process for debugging."""

from __future__ import annotations

import heapq
import json
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

from pydantic import ValidationError

from connections.adapters.base import Adapter
from connections.adapters.config import Query
from connections.adapters.contract import Step, Table
from connections.adapters.errors import AdapterError, InternalError, InvalidError, TooLargeError
from connections.adapters.limits import Deadline
from connections.adapters.schema import pointer
from connections.runner.frames import End, Frame, StepDone
from connections.runner.jobs import Job, Operation
from connections.runner.reading import read

AnyAdapter = Adapter[Any, Any]

TABLES: Final = 200
KEPT_TEXT: Final = 4096
"""Characters of a query whose model is kept for the next job that asks the same."""


def perform(
    job: Job, adapter: AnyAdapter, deadline: Deadline, *, begin: Callable[[], None] = lambda: None
) -> Iterator[Frame]:
    """Do ``job``; the last frame is its ``End``. Raises ``AdapterError``, and whatever a bug raises.

    ``begin`` is called before the source is touched; it returns when that may be.
    """
    arguments = job.arguments
    if job.operation is Operation.READ:
        yield from read(adapter, query_of(adapter, arguments), arguments, job.budget, deadline, begin)
        return
    begin()
    match job.operation:
        case Operation.CHECK:
            yield from check(adapter, deadline)
        case Operation.DESCRIBE:
            description = adapter.describe(
                query_of(adapter, arguments), dict(arguments.get("parameters") or {}), deadline
            )
            yield End(description.as_dict())
        case Operation.TABLES:
            yield tables(adapter, arguments, deadline)
        case Operation.COLUMNS:
            yield End(adapter.columns(tuple(arguments["path"]), deadline).as_dict())


def check(adapter: AnyAdapter, deadline: Deadline) -> Iterator[Frame]:
    """Diagnose; every step as it finishes. ``ok`` is None when not even the first step could be tried."""
    started = time.perf_counter()
    steps: list[dict[str, Any]] = []
    error: AdapterError | None = None
    try:
        for found in adapter.check(deadline):
            if isinstance(found, Step):
                steps.append(found.as_dict())
                yield StepDone(steps[-1])
            else:
                error = found
    except AdapterError as exc:
        error = exc
    server, warnings = _server(adapter) if error is None else (None, [])
    yield End(check_fields(steps, error, server, warnings, started))


def check_fields(
    steps: list[dict[str, Any]],
    error: AdapterError | None,
    server: dict[str, str] | None,
    warnings: list[dict[str, str]],
    started: float,
) -> dict[str, Any]:
    """The ``End`` of a check that began at ``started`` on the performance counter."""
    tried = any(step["ok"] is not None for step in steps)
    return {
        "ok": None if error is not None and not tried else error is None,
        "error": error.as_dict() if error else None,
        "steps": steps,
        "server": server,
        "warnings": warnings,
        "duration_ms": round((time.perf_counter() - started) * 1000, 3),
    }


def tables(adapter: AnyAdapter, arguments: dict[str, Any], deadline: Deadline) -> End:
    """The first tables after a path, by path, whatever order the source lists them in."""
    after = tuple(arguments.get("after") or ())
    limit = int(arguments.get("limit", TABLES))
    found = (table for table in adapter.tables(arguments.get("search", ""), deadline) if table.path > after)
    first: list[Table] = heapq.nsmallest(limit + 1, found, key=lambda table: table.path)
    return End({"tables": [table.as_dict() for table in first[:limit]], "has_more": len(first) > limit})


def query_of(adapter: AnyAdapter, arguments: dict[str, Any]) -> Query:
    """The query as the source's model. Raises ``InvalidError``, which points at what is wrong."""
    text = json.dumps(arguments["query"])
    if len(text) > KEPT_TEXT:
        return _query(adapter.query_class, text)
    return _kept_query(adapter.query_class, text)


def _query(model: type[Query], text: str) -> Query:
    try:
        return model.model_validate(json.loads(text))
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False, include_context=False)[0]
        raise InvalidError(first["msg"].removeprefix("Value error, "), field=pointer("/query", first["loc"])) from None


_kept_query = lru_cache(64)(_query)  # previews come again, and a model cannot be changed


def failure(exc: BaseException, job: Job) -> AdapterError:
    """What a caller is told of ``exc``. Of a bug only its kind: its text is not known to be free of secrets."""
    if isinstance(exc, AdapterError):
        return exc
    if isinstance(exc, MemoryError):
        return TooLargeError(
            f"The job needed more than its {job.budget.memory_bytes // 2**20} MiB of memory.",
            hint="Ask for fewer rows or columns.",
        )
    return InternalError(f"The worker failed in a way it does not know ({type(exc).__name__}).")


def _server(adapter: AnyAdapter) -> tuple[dict[str, str] | None, list[dict[str, str]]]:
    """What is known of the server, and what to warn of. A check that passed is not failed by either."""
    try:
        with adapter.translating():
            server = adapter.server()
            return (server.as_dict() if server else None), [notice.as_dict() for notice in adapter.notices()]
    except AdapterError as error:
        return None, [{"code": error.code, "message": error.message}]
