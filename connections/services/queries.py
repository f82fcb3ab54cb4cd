"""Previews and what belongs to them: describe a query, list tables and columns, stream an export."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import orjson
from django.db import DatabaseError

from connections.adapters.errors import AdapterError, InternalError
from connections.models import Connection, Role
from connections.runner.frames import Begun, Chunk, End, Head, Ready
from connections.runner.jobs import Operation
from connections.runner.supervisor import Run
from connections.services import events, grounds, jobs, orders, state, uses
from connections.services.actor import Actor
from connections.services.errors import CatalogueError, Invalid
from connections.services.grounds import Ground
from connections.services.orders import Order, Request
from connections.services.rows import Condition, NotInserted, Wait
from connections.services.waiting import Deadline


class Stream:
    """A started read: ``columns`` are known, ``chunks`` are the body in its format, then ``end`` is set.

    Close it when it is not read to the end: the work stops. Its ``finished`` event is written either way, at the end
    of ``chunks``; or by ``finish``, for who sets ``finish_later`` because an answer should not wait for it. A read that
    the source answered is counted by ``count``.
    """

    def __init__(self, entry: events.Entry, run: Run, head: Head, count: Callable[[], None]) -> None:
        self.columns = head.columns
        self.end: dict[str, Any] = {}
        self.finish_later = False
        self._entry, self._run, self._count = entry, run, count
        self._outcome: tuple[str, str, int] | None = None
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
            self._outcome = ("ok", "", sent)
        except (AdapterError, CatalogueError) as exc:
            self._outcome = ("failed", exc.code, sent)
            raise
        finally:
            self._run.close()
            self._outcome = self._outcome or ("failed", "cancelled", sent)
            if not self.finish_later:
                self.finish()

    def finish(self) -> None:
        """Record how it ended. May be called again, to no effect."""
        if self._finished or self._outcome is None:
            return
        self._finished = True
        result, code, sent = self._outcome
        page = self.end.get("page") or {}
        self._entry.end(result, code, rows=page.get("returned"), bytes=sent)
        self._count()


def read(actor: Actor, connection: Connection, request: Request) -> Stream:
    """Start a preview or export, up to its first batch: a failure until then is raised here."""
    actor.require(Role.ANALYST, connection)
    ground = grounds.ground(connection)
    return read_on(actor, ground, orders.order(ground.allowance(request.format), request))


def read_on(actor: Actor, ground: Ground, order: Order, only_if: Condition | None = None) -> Stream:
    """``read``, for an actor and a connection that were admitted together.

    They may have been admitted before, and still be ``only_if`` the database says so. Where it does not, this raises
    ``NotInserted``: nothing has happened then.
    """
    actor.require(Role.ANALYST, ground.connection)
    until = Deadline(order.timeout)
    entry = events.Entry(actor, order.action, ground.connection, order.detail, only_if)
    try:
        run = jobs.submit(
            actor,
            ground.adapter.id,
            Operation.READ,
            order.arguments,
            lambda: grounds.settings(ground),
            timeout=order.timeout,
            connection=ground.connection,
            limits=order.limits,
            on=ground.terms,
            since=ground.epoch,
        )
        head = _head(run, entry, order.timeout)
    except NotInserted:
        raise
    except DatabaseError:
        if entry.begun:
            entry.end("failed", "busy")
        raise  # otherwise: no event, no action; and nothing more to be written
    except BaseException as exc:
        entry.end("failed", events.code_of(exc), within=until.patience())
        raise
    count = partial(uses.note, ground.connection.pk, actor.organisation_id, actor.label)
    return Stream(entry, run, head, count)


def _head(run: Run, entry: events.Entry, timeout: float) -> Head:
    """The answer's start, of work that has ``timeout`` seconds. The run is closed when it does not come.

    The event is committed before the source is touched, and made to last while it works: nothing is answered before.
    """
    wait: Wait | None = None
    try:
        for item in run:
            if isinstance(item, Ready):
                wait = entry.begin(timeout)
            elif isinstance(item, Begun) and wait is not None:
                wait()
            elif isinstance(item, Head):
                return item
        raise InternalError("The worker ended without an answer.")
    except BaseException:
        run.close()
        raise


def preview(actor: Actor, connection: Connection, request: Request) -> bytes:
    """The JSON answer of a preview, as the REST contract has it."""
    actor.require(Role.ANALYST, connection)
    ground = grounds.ground(connection)
    answer, finish = preview_on(actor, ground, orders.order(ground.allowance(request.format), request))
    finish()
    return answer


def preview_on(
    actor: Actor, ground: Ground, order: Order, only_if: Condition | None = None
) -> tuple[bytes, Callable[[], None]]:
    """``preview``, for an actor and a connection that were admitted together, or before (``read_on``).

    Call what comes with the answer once that is sent: it records that the preview finished.
    """
    stream = read_on(actor, ground, order, only_if)
    stream.finish_later = True
    try:
        rows = b"".join(stream.chunks())
    except BaseException:
        stream.finish()
        raise
    head = orjson.dumps({"columns": stream.columns})
    tail = orjson.dumps(
        {
            **stream.end,
            "connection": {"slug": ground.connection.slug, "version": ground.connection.version},
            "request_id": actor.request_id,
        }
    )
    return b'%s,"rows":[%s],%s' % (head[:-1], rows, tail[1:]), stream.finish


def describe(actor: Actor, connection: Connection, query: Any, parameters: Any) -> dict[str, Any]:
    """The columns of a query, without fetching its rows."""
    actor.require(Role.ANALYST, connection)
    adapter = state.require_usable(connection)
    arguments = {
        "query": orders.query(adapter.query_class, query),
        "parameters": orders.parameters(parameters),
    }
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
    ground = grounds.ground(connection)
    ground.adapter.require_capability(operation)
    until = Deadline(ground.timeout)
    with (
        events.work(actor, f"connection.{operation}", connection, until=until),
        jobs.submit(
            actor,
            ground.adapter.id,
            operation,
            arguments,
            lambda: grounds.settings(ground),
            timeout=until.left(),
            connection=connection,
        ) as run,
    ):
        found = next(item.fields for item in run if isinstance(item, End))
    uses.note(connection.pk, actor.organisation_id, actor.label)
    return found
