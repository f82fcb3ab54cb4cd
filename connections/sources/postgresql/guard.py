"""The read-only guard: one statement, in a read-only transaction, behind a cursor, in one burst on the wire.

    BEGIN READ ONLY · SET LOCAL statement_timeout · DECLARE … CURSOR FOR <text> · FETCH   one round trip
    ROLLBACK · DISCARD ALL                                                               sent along, read later

The extended protocol takes one statement at a time, so a text cannot end the transaction and begin another. DECLARE
takes nothing but a query. What the login itself may do besides is the role's check (``rights``).
"""

from __future__ import annotations

import select
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer
from psycopg.pq.abc import PGconn, PGresult

from connections.adapters.contract import Column, Row
from connections.adapters.errors import AdapterError, DeadlineError, ProtocolError, UnreachableError
from connections.adapters.limits import Deadline
from connections.adapters.sql.family import Window
from connections.sources.postgresql.book import CATALOGUE_QUERY, CATALOGUE_QUERY_13, Book, Reading
from connections.sources.postgresql.rejected import Rejected, of_libpq, own_question
from connections.sources.postgresql.types import context
from connections.sources.postgresql.values import Bound

PREFIX = "declare _preview no scroll cursor for "
ONE_BURST = 256
"""Rows that are fetched in the first round trip; a window of no more is over with it."""
BATCH_BYTES = 512 * 1024
MOST_ROWS = 5_000
MOST_MOVED = 2**31 - 1
"""Rows that one MOVE may name: an int4."""
KEPT_BYTES = 2048
"""What libpq keeps in a pipeline until it is told to send; it begins by itself at 8192, with what it adds."""
MARGIN = 0.1
"""Seconds by which the server's own time-out comes before ours, so that its error arrives."""

# Plain integers: the driver's C code returns those, and comparing with an enumeration's member is slow.
_CONNECTED = int(pq.ConnStatus.OK)
_SYNC = int(pq.ExecStatus.PIPELINE_SYNC)
_FAILED = (int(pq.ExecStatus.FATAL_ERROR), int(pq.ExecStatus.BAD_RESPONSE))
_COPYING = (int(pq.ExecStatus.COPY_IN), int(pq.ExecStatus.COPY_OUT), int(pq.ExecStatus.COPY_BOTH))

Command = tuple[bytes, Sequence[bytes | None] | None, Sequence[int] | None]


@dataclass(slots=True)
class Rows:
    """The first rows of a statement, loaded; ``more`` when a cursor is left open for the rest."""

    columns: tuple[Column, ...]
    first: list[Row]
    more: bool


class Session:
    """One logged-in connection. At most one statement at a time. Raises ``AdapterError`` when it is lost by now."""

    def __init__(self, connection: PGconn, before: Callable[[], None] = lambda: None) -> None:
        """``before`` is called before anything is sent."""
        self._before = before
        self._pg = connection
        if not self.usable:
            raise of_libpq(connection.error_message.decode(errors="replace"))
        self._pg.nonblocking = 1
        self._poll = select.poll()
        self.connection: psycopg.Connection[Any] = psycopg.Connection(connection)
        self.connection.prepare_threshold = None  # DISCARD ALL would leave psycopg's list of prepared ones stale
        self.connection.autocommit = True
        self._transformer = Transformer(context(self.connection))
        self._book = Book()
        self._owed = 0
        """Answers (syncs) that were asked for and not yet read."""
        self._asked = 0
        """Rows of the open cursor that were asked for and not yet read."""
        self._open = False
        """Whether a transaction of ours is open at the server."""
        self.resets = True
        """Whether DISCARD ALL puts the session back; not when it was pinned by SET."""
        self.server_version = connection.server_version

    # Statements ------------------------------------------------------------------------------------------------

    def query(self, bound: Bound, window: Window, deadline: Deadline) -> Rows:
        """Run a query behind a cursor and load its first rows. Raises ``Rejected``."""
        declare = (PREFIX + bound.text).encode()
        commands: list[Command] = [(declare, bound.values, bound.types)]
        fetch: Command = (b"fetch forward %d from _preview" % min(window.fetch, ONE_BURST), None, None)
        whole = window.fetch <= ONE_BURST
        if window.skip > MOST_MOVED:
            result = self._walked(commands, window.skip, fetch, deadline)
        else:
            if window.skip:
                commands += [_move(window.skip), *self._limits(deadline)]
            result = self._run([*commands, fetch], deadline, whole=whole)
        more = not whole and result.ntuples == ONE_BURST
        if not more:
            self.end(deadline)
        return self._loaded(result, deadline, more=more)

    def _walked(self, commands: list[Command], skip: int, fetch: Command, deadline: Deadline) -> PGresult:
        """``fetch`` after more rows than one MOVE may name. A step that comes out short was the last."""
        result = self._run([*commands, _move(MOST_MOVED)], deadline, whole=False)
        left = skip - MOST_MOVED
        try:
            while left and result.command_tuples == MOST_MOVED:
                deadline.require()
                step = min(left, MOST_MOVED)
                self._send([*self._limits(deadline), _move(step)], deadline)
                result = self._answer(deadline)
                left -= step
            self._send([*self._limits(deadline), fetch], deadline)
            return self._answer(deadline)
        except (Rejected, DeadlineError):
            self.end(deadline)
            raise

    def statement(self, bound: Bound, deadline: Deadline) -> Rows:
        """Run a statement that can stand behind no cursor (SHOW, EXPLAIN), alone. Raises ``Rejected``."""
        result = self._run([(bound.text.encode(), bound.values, bound.types)], deadline, whole=True)
        return self._loaded(result, deadline, more=False)

    def fetch(self, left: int, deadline: Deadline, average: float) -> list[Row]:
        """The next rows of the open cursor, as many as a batch's bytes hold; none when it is at its end.

        The batch after it is asked for already: the server works on it while this one is read.
        """
        count = self._asked or self._ask(left, average, deadline)
        self._asked = 0
        result = self._answer(deadline)
        if result.ntuples == count < left:
            self._asked = self._ask(left - count, average, deadline)
        return self._rows(result)

    def _ask(self, left: int, average: float, deadline: Deadline) -> int:
        count = min(left, MOST_ROWS, max(1, int(BATCH_BYTES / max(average, 1.0))))
        self._send([*self._limits(deadline), (b"fetch forward %d from _preview" % count, None, None)], deadline)
        return count

    def end(self, deadline: Deadline) -> None:
        """Leave the transaction and put the session back; the answers are read when they are needed."""
        if self._open:
            self._asked = 0
            self._pg.enter_pipeline_mode()
            self._queue_end()
            self._flush(deadline)

    def settle(self, deadline: Deadline) -> None:
        """Read the answers that are still owed. Raises ``UnreachableError`` when the session is not as new."""
        while self._owed:
            if any(result.status in _FAILED for result in self._until_sync(deadline)):
                raise UnreachableError("The session could not be put back.", field="/config/host")
        if self._pg.pipeline_status != pq.PipelineStatus.OFF:
            self._pg.exit_pipeline_mode()

    def pin(self, settings: Mapping[str, str], deadline: Deadline) -> None:
        """Set what the start-up packet could not. DISCARD ALL would undo it, so this session is used once."""
        self.resets = False
        values = [(name.encode(), value.encode()) for name, value in settings.items()]
        self._send([(b"select set_config($1, $2, false)", pair, (25, 25)) for pair in values], deadline)
        self._answer(deadline)

    def close(self) -> None:
        self._owed, self._open = 0, False
        self._pg.finish()

    def stale(self, deadline: Deadline) -> bool:
        """Whether the server ended this session while it was idle: then there is something to read."""
        try:
            self.end(deadline)
            self.settle(deadline)
        except AdapterError:
            return True
        poll = select.poll()
        poll.register(self._pg.socket, select.POLLIN)
        return bool(poll.poll(0))

    @property
    def usable(self) -> bool:
        idle = pq.TransactionStatus.IDLE
        return self._pg.status == pq.ConnStatus.OK and self._pg.transaction_status == idle

    # The wire --------------------------------------------------------------------------------------------------

    def _run(self, commands: list[Command], deadline: Deadline, *, whole: bool) -> PGresult:
        """Send ``commands`` in a guarded transaction and return the last one's answer."""
        self.end(deadline)
        self.settle(deadline)
        begin: Command = (b"begin isolation level repeatable read read only", None, None)
        before = [begin, *self._limits(deadline)]
        self._open = True
        self._send(before + commands, deadline, end=whole)
        try:
            return self._answer(deadline)
        except Rejected:
            self.end(deadline)
            raise

    def _limits(self, deadline: Deadline) -> list[Command]:
        """The server's own time-out for the next command, which is armed as it begins.

        A text may call ``set_config``: what it sets holds from its next command on, and so is set back before that.
        """
        timeout = max(1, int((deadline.require() - MARGIN) * 1000))
        return [(b"set local statement_timeout = %d" % timeout, None, None)]

    def _send(self, commands: list[Command], deadline: Deadline, *, end: bool = False) -> None:
        if _size(commands) > KEPT_BYTES:
            self._before()
        if self._pg.pipeline_status == pq.PipelineStatus.OFF:
            self._pg.enter_pipeline_mode()
        for text, values, types in commands:
            self._pg.send_query_params(text, values, types)
        self._before()
        self._pg.pipeline_sync()
        self._owed += 1
        if end:
            self._queue_end()
        self._flush(deadline)

    def _queue_end(self) -> None:
        """ROLLBACK has a sync of its own, or an error before it would skip it; DISCARD ALL wants no transaction."""
        for text in (b"rollback", b"discard all") if self.resets else (b"rollback",):
            self._pg.send_query_params(text, None)
            self._pg.pipeline_sync()
            self._owed += 1
        self._open = False

    def _answer(self, deadline: Deadline) -> PGresult:
        """The last answer before the next sync. Raises ``Rejected`` with the first error."""
        results = self._until_sync(deadline)
        for result in results:
            if result.status in _FAILED:
                raise Rejected(result)
        if not results:
            raise ProtocolError("The server answered nothing.", field="/config/port")
        return results[-1]

    def _until_sync(self, deadline: Deadline) -> list[PGresult]:
        """The answers before the next sync. Never waits inside libpq, which would hold Python's lock."""
        pg = self._pg
        found: list[PGresult] = []
        while True:
            while pg.is_busy():
                self._wait(select.POLLIN, deadline)
                pg.consume_input()
            result = pg.get_result()
            if result is None:  # between two commands
                if pg.status != _CONNECTED:
                    raise self._lost()
            elif result.status == _SYNC:
                self._owed -= 1
                return found
            elif result.status in _COPYING:  # libpq would say so again and again
                self.close()
                raise ProtocolError("The server does not keep to PostgreSQL's protocol.", field="/config/port")
            else:
                found.append(result)

    def _flush(self, deadline: Deadline) -> None:
        while self._pg.flush():
            if self._wait(select.POLLIN | select.POLLOUT, deadline) & select.POLLIN:
                self._pg.consume_input()

    def _wait(self, events: int, deadline: Deadline) -> int:
        self._poll.register(self._pg.socket, events)
        ready = self._poll.poll(max(0.0, deadline.remaining()) * 1000)
        if not ready:
            self.close()  # the server ends the query of a client that is gone
            raise DeadlineError("The query was stopped when its time ran out.")
        return ready[0][1]

    def _lost(self) -> AdapterError:
        message = self._pg.error_message.decode(errors="replace")
        self.close()
        return of_libpq(message)

    # Rows ------------------------------------------------------------------------------------------------------

    def _loaded(self, result: PGresult, deadline: Deadline, *, more: bool) -> Rows:
        reading = self._reading(result, deadline)
        try:
            rows = self._rows(result, reading)
        except ProtocolError:  # a row type may have been altered since it was looked up
            self._book = Book()
            reading = self._reading(result, deadline)
            rows = self._rows(result, reading)
        return Rows(reading.columns, rows, more)

    def _reading(self, result: PGresult, deadline: Deadline) -> Reading:
        self._learn(self._book.unknown(result), deadline)
        return self._book.read(result)

    def _rows(self, result: PGresult, reading: Reading | None = None) -> list[Row]:
        conversions = (reading or self._book.read(result)).conversions
        self._transformer.set_pgresult(result)
        try:
            if not conversions:
                return self._transformer.load_rows(0, result.ntuples, tuple)
            rows: list[Any] = self._transformer.load_rows(0, result.ntuples, list)
            for at, convert in conversions:
                convert(rows, at)
        except (ValueError, psycopg.DataError):
            raise ProtocolError("The server sent a value that is not of its column's type.") from None
        return rows

    def _learn(self, wanted: set[int], deadline: Deadline) -> None:
        """Look unknown types up, without losing a cursor that is open: the look-up is within its transaction."""
        if not wanted:
            return
        text = CATALOGUE_QUERY if self.server_version >= 140000 else CATALOGUE_QUERY_13

        def look_up(oids: list[int]) -> list[Any]:
            values = ["{" + ",".join(map(str, oids)) + "}"]
            command = (text.encode(), [value.encode() for value in values], [1016])
            if self._open:
                self._send([command], deadline)
                return list(self._rows(self._answer(deadline)))
            return list(self._rows(self._run([command], deadline, whole=True)))

        with own_question():
            self._book.learn(wanted, look_up)


def _size(commands: list[Command]) -> int:
    """Bytes of texts and values."""
    return sum(len(text) + sum(len(value or b"") for value in values or ()) for text, values, _ in commands)


def _move(rows: int) -> Command:
    return (b"move forward %d in _preview" % rows, None, None)
