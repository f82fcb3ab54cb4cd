"""Previews and what belongs to them: describe a query, list tables and columns, stream an export."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from pydantic import ValidationError

from connections.adapters import schema
from connections.adapters.errors import AdapterError
from connections.adapters.limits import Budget
from connections.models import Connection, Role
from connections.runner.frames import Chunk, End, Head
from connections.runner.jobs import Operation
from connections.runner.supervisor import Run
from connections.services import budgets, drafts, events, jobs, state
from connections.services.actor import Actor
from connections.services.errors import CatalogueError, Invalid

USUAL_LIMIT = 100
FORMATS = ("json", "csv", "ndjson", "arrow", "parquet")


@dataclass(frozen=True, slots=True)
class Request:
    """What to preview. ``timeout`` is in seconds. ``integers`` is number or string, ``formulas`` escape or keep.

    A ``limit`` or ``timeout`` that is None is the usual one, or less where the organisation may not have that.
    """

    query: Any
    parameters: Any = field(default_factory=dict)
    limit: int | None = None
    offset: int = 0
    count: bool = False
    timeout: float | None = None
    format: str = "json"
    integers: str = "number"
    formulas: str = "escape"


class Stream:
    """A started read: ``columns`` are known, ``chunks`` are the body in its format, then ``end`` is set.

    Close it when it is not read to the end: the work stops. Its ``finished`` event is written either way.
    """

    def __init__(self, actor: Actor, connection: Connection, run: Run, head: Head, request: Request) -> None:
        self.columns = head.columns
        self.end: dict[str, Any] = {}
        self._actor, self._connection, self._run, self._request = actor, connection, run, request
        self._finished = False

    def chunks(self) -> Iterator[bytes]:
        """The body's parts. Raises ``AdapterError`` when the source fails midway."""
        sent = 0
        try:
            for item in self._run:
                if isinstance(item, Chunk):
                    sent += len(item.data)
                    yield item.data
                elif isinstance(item, End):
                    self.end = item.fields
            self._finish("ok", "", sent)
        except (AdapterError, CatalogueError) as exc:
            self._finish("failed", exc.code, sent)
            raise
        finally:
            self._run.close()
            self._finish("failed", "cancelled", sent)

    def _finish(self, result: str, code: str, sent: int) -> None:
        if self._finished:
            return
        self._finished = True
        page = self.end.get("page") or {}
        _record(self._actor, self._connection, self._request, result, code, rows=page.get("returned"), bytes=sent)


def read(actor: Actor, connection: Connection, request: Request) -> Stream:
    """Start a preview or export, up to its first batch: a failure until then is raised here."""
    actor.require(Role.ANALYST, connection)
    adapter = state.require_usable(connection)
    limits = _limits(actor, request)
    if request.limit is None:
        request = replace(request, limit=min(USUAL_LIMIT, limits.rows))
    arguments = {
        "query": _query(adapter.query_class, request.query),
        "parameters": _parameters(request.parameters),
        "limit": request.limit,
        "offset": request.offset,
        "count": request.count,
        "format": request.format,
        "integers": request.integers,
        "formulas": request.formulas,
    }
    timeout = _timeout(actor, request.timeout)
    _record(actor, connection, request, "started")
    try:
        run = jobs.submit(
            actor,
            adapter.id,
            Operation.READ,
            arguments,
            lambda: drafts.settings_of(adapter, connection),
            timeout=timeout,
            connection=connection,
            limits=limits,
        )
        head = _head(run)
    except BaseException as exc:
        _record(actor, connection, request, "failed", events.code_of(exc))
        raise
    return Stream(actor, connection, run, head, request)


def _head(run: Run) -> Head:
    """The run's first frame. The run is closed when it does not come."""
    try:
        return next(item for item in run if isinstance(item, Head))
    except BaseException:
        run.close()
        raise


def preview(actor: Actor, connection: Connection, request: Request) -> bytes:
    """The JSON answer of a preview, as the REST contract has it."""
    stream = read(actor, connection, request)
    rows = b"".join(stream.chunks())
    head = orjson.dumps({"columns": stream.columns})
    tail = orjson.dumps(
        {
            **stream.end,
            "connection": {"slug": connection.slug, "version": connection.version},
            "request_id": actor.request_id,
        }
    )
    return b'%s,"rows":[%s],%s' % (head[:-1], rows, tail[1:])


def describe(actor: Actor, connection: Connection, query: Any, parameters: Any) -> dict[str, Any]:
    """The columns of a query, without fetching its rows."""
    adapter = state.require_usable(connection)
    arguments = {"query": _query(adapter.query_class, query), "parameters": _parameters(parameters)}
    return _browse(actor, connection, Operation.DESCRIBE, arguments)


def tables(actor: Actor, connection: Connection, *, search: str, limit: int, after: list[str] | None) -> dict[str, Any]:
    """What can be read, by path: at most ``limit`` tables after the path ``after``, and whether there are more."""
    return _browse(actor, connection, Operation.TABLES, {"search": search, "limit": limit, "after": after})


def columns(actor: Actor, connection: Connection, path: list[str]) -> dict[str, Any]:
    """The columns and primary key of one table."""
    if not path:
        raise Invalid.at("/path", "Name the table: ?path=schema&path=table.", "required")
    return _browse(actor, connection, Operation.COLUMNS, {"path": path})


def _browse(actor: Actor, connection: Connection, operation: Operation, arguments: dict[str, Any]) -> dict[str, Any]:
    actor.require(Role.ANALYST, connection)
    adapter = state.require_usable(connection)
    with (
        events.work(actor, f"connection.{operation}", connection),
        jobs.submit(
            actor,
            adapter.id,
            operation,
            arguments,
            lambda: drafts.settings_of(adapter, connection),
            timeout=_timeout(actor, None),
            connection=connection,
        ) as run,
    ):
        return next(item.fields for item in run if isinstance(item, End))


def _query(model: Any, query: Any) -> dict[str, Any]:
    if not isinstance(query, dict):
        raise Invalid.at("/query", "Send the query as a JSON object.", "required" if query is None else "invalid")
    try:
        model.model_validate(query)
    except ValidationError as exc:
        raise Invalid.of(schema.problems(exc, model, config="/query", secrets="/query")) from None
    return query


def _parameters(parameters: Any) -> dict[str, Any]:
    if not isinstance(parameters, dict):
        raise Invalid.at("/parameters", "Send the parameters as a JSON object of names and values.")
    return parameters


def _limits(actor: Actor, request: Request) -> Budget:
    limits = (budgets.preview if request.format == "json" else budgets.export)(actor.organisation)
    for name, most in (("limit", limits.rows), ("offset", 2**53)):
        value = getattr(request, name)
        if name == "limit" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise Invalid.at(f"/{name}", f"A whole number from 0 to {most}.")
    if not isinstance(request.count, bool):
        raise Invalid.at("/count", "true or false.")
    return limits


def _timeout(actor: Actor, timeout: Any) -> float:
    most = budgets.limit(actor.organisation, "preview_timeout_max")
    if timeout is None:
        return float(min(most, budgets.limit(actor.organisation, "preview_timeout")))
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= most:
        raise Invalid.at("/timeout", f"Seconds, more than 0 and at most {most:g}.")
    return float(timeout)


def _record(
    actor: Actor, connection: Connection, request: Request, result: str, code: str = "", **measured: Any
) -> None:
    """One event of a read. The query is told by hash and length: its text may hold what nobody should keep."""
    text = json.dumps(request.query, default=str, sort_keys=True).encode()
    detail = {
        "query_sha256": hashlib.sha256(text).hexdigest(),
        "query_bytes": len(text),
        "limit": request.limit,
        "format": request.format,
        **measured,
    }
    action = "connection.preview" if request.format == "json" else "connection.export"
    events.record(actor, action, connection, result=result, code=code, detail=detail)
