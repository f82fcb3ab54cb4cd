"""The read-only guard: one statement, in a read-only transaction, behind a cursor, in one burst on the wire.

    BEGIN READ ONLY · SET LOCAL statement_timeout · DECLARE … CURSOR FOR <text> · FETCH   one round trip
    ROLLBACK · DISCARD ALL                                                               sent along, read later

The extended protocol takes one statement at a time, so a text cannot end the transaction and begin another. DECLARE
takes nothing but a query. What the login itself may do besides is the role's check (``rights``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer
from psycopg.pq.abc import PGconn, PGresult

from connections.adapters.contract import Column, Row
from connections.adapters.errors import AdapterError, DeadlineError, ProtocolError
from connections.adapters.limits import Deadline
from connections.adapters.sql.family import Window
from connections.sources.postgresql.book import CATALOGUE_QUERY, CATALOGUE_QUERY_13, Book, Reading
from connections.sources.postgresql.rejected import Rejected, of_libpq, own_question
from connections.sources.postgresql.types import context
from connections.sources.postgresql.values import Bound
from connections.sources.postgresql.wire import Command, Wire

PREFIX: Final = "declare _preview no scroll cursor for "
ONE_BURST: Final = 256
"""Rows that are fetched in the first round trip, of a text whose rows are known to be narrow; a window of no more is
over with it."""
FIRST_ROWS: Final = 16
"""Rows that are fetched first of any other: a cell may have a hundred megabytes."""
NARROW_BYTES: Final = 4096
"""What the rows of a text take on average that is fetched in one burst the next time."""
KNOWN: Final = 256
"""Texts that a session knows to have narrow rows."""
BATCH_BYTES: Final = 512 * 1024
MOST_ROWS: Final = 5_000
GROWTH: Final = 8
"""How many times the rows of one FETCH the next may ask for: those that come may be wider than those that came."""
MOST_MOVED: Final = 2**31 - 1
"""Rows that one MOVE may name: an int4."""
MARGIN: Final = 0.1
"""Seconds by which the server's own time-out comes before ours, so that its error arrives."""


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
        self._pg = connection
        if not self.usable:
            raise of_libpq(connection.error_message.decode(errors="replace"))
        self._wire = Wire(connection, before)
        self.connection: psycopg.Connection[Any] = psycopg.Connection(connection)
        self.connection.prepare_threshold = None  # DISCARD ALL would leave psycopg's list of prepared ones stale
        self.connection.autocommit = True
        self._transformer = Transformer(context(self.connection))
        self._book = Book()
        self._narrow: set[str] = set()
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
        count = min(window.fetch, ONE_BURST if bound.text in self._narrow else FIRST_ROWS)
        fetch = _fetch(count)
        whole = window.fetch == count
        if window.skip > MOST_MOVED:
            result = self._walked(commands, window.skip, fetch, deadline)
        else:
            if window.skip:
                commands += [_move(window.skip), *self._limits(deadline)]
            result = self._run([*commands, fetch], deadline, whole=whole)
        more = not whole and result.ntuples == count
        if not more:
            self.end(deadline)
        rows = self._loaded(result, deadline, more=more)
        self._learn_width(bound.text, rows.first)
        return rows

    def _walked(self, commands: list[Command], skip: int, fetch: Command, deadline: Deadline) -> PGresult:
        """``fetch`` after more rows than one MOVE may name. A step that comes out short was the last."""
        result = self._run([*commands, _move(MOST_MOVED)], deadline, whole=False)
        left = skip - MOST_MOVED
        try:
            while left and result.command_tuples == MOST_MOVED:
                deadline.require()
                step = min(left, MOST_MOVED)
                self._wire.send([*self._limits(deadline), _move(step)], deadline)
                result = self._wire.answer(deadline)
                left -= step
            self._wire.send([*self._limits(deadline), fetch], deadline)
            return self._wire.answer(deadline)
        except (Rejected, DeadlineError):
            self.end(deadline)
            raise

    def statement(self, bound: Bound, deadline: Deadline) -> Rows:
        """Run a statement that can stand behind no cursor (SHOW, EXPLAIN), alone. Raises ``Rejected``."""
        result = self._run([(bound.text.encode(), bound.values, bound.types)], deadline, whole=True)
        return self._loaded(result, deadline, more=False)

    def rest(self, first: list[Row], left: int, deadline: Deadline) -> Iterator[list[Row]]:
        """Up to ``left`` more rows of the open cursor, in batches, after the ``first`` ones. Raises ``Rejected``.

        A FETCH asks for as many rows as a batch's bytes hold, by what came before. While one is read, the next is asked
        for already: the server works on it.
        """
        width = _width(first)
        count = self._ask(min(left, GROWTH * len(first)), width, deadline)
        while count:
            left -= count
            asked, came, held = 0, 0, list[Row]()
            reading: Reading | None = None
            for result in self._wire.pieces(deadline):
                if left and not asked:
                    asked = self._ask(min(left, GROWTH * count), width, deadline)
                rows = self._rows(result, reading := reading or self._book.read(result), goes_on=came > 0)
                width = _width(rows)
                came += len(rows)
                held += rows
                if len(held) * width >= BATCH_BYTES:
                    yield held
                    held = []
            if held:
                yield held
            count = asked if came == count else 0

    def _ask(self, most: int, width: float, deadline: Deadline) -> int:
        count = min(most, MOST_ROWS, max(1, int(BATCH_BYTES / max(width, 1.0))))
        self._wire.send([*self._limits(deadline), _fetch(count)], deadline)
        return count

    def end(self, deadline: Deadline) -> None:
        """Leave the transaction and put the session back; the answers are read when they are needed."""
        if self._open:
            self._open = False
            self._wire.send((), deadline, then=self._ending())

    def settle(self, deadline: Deadline) -> None:
        """Read the answers that are still owed. Raises ``UnreachableError`` when the session is not as new."""
        self._wire.settle(deadline)

    def pin(self, settings: Mapping[str, str], deadline: Deadline) -> None:
        """Set what the start-up packet could not. DISCARD ALL would undo it, so this session is used once."""
        self.resets = False
        values = [(name.encode(), value.encode()) for name, value in settings.items()]
        self._wire.send([(b"select set_config($1, $2, false)", pair, (25, 25)) for pair in values], deadline)
        self._wire.answer(deadline)

    def close(self) -> None:
        self._open = False
        self._wire.close()

    def stale(self, deadline: Deadline) -> bool:
        """Whether the server ended this session while it was idle: then there is something to read."""
        try:
            self.end(deadline)
            self.settle(deadline)
        except AdapterError:
            return True
        return self._wire.has_news()

    @property
    def usable(self) -> bool:
        idle = pq.TransactionStatus.IDLE
        return self._pg.status == pq.ConnStatus.OK and self._pg.transaction_status == idle

    # The transaction -------------------------------------------------------------------------------------------

    def _run(self, commands: list[Command], deadline: Deadline, *, whole: bool) -> PGresult:
        """Send ``commands`` in a guarded transaction and return the last one's answer."""
        self.end(deadline)
        self.settle(deadline)
        begin: Command = (b"begin isolation level repeatable read read only", None, None)
        before = [begin, *self._limits(deadline)]
        self._open = not whole
        self._wire.send(before + commands, deadline, then=self._ending() if whole else ())
        try:
            return self._wire.answer(deadline)
        except Rejected:
            self.end(deadline)
            raise

    def _limits(self, deadline: Deadline) -> list[Command]:
        """The server's own time-out for the next command, which is armed as it begins.

        A text may call ``set_config``: what it sets holds from its next command on, and so is set back before that.
        """
        timeout = max(1, int((deadline.require() - MARGIN) * 1000))
        return [(b"set local statement_timeout = %d" % timeout, None, None)]

    def _ending(self) -> tuple[bytes, ...]:
        """ROLLBACK has a sync of its own, or an error before would skip it; DISCARD ALL wants no transaction."""
        return (b"rollback", b"discard all") if self.resets else (b"rollback",)

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

    def _rows(self, result: PGresult, reading: Reading | None = None, *, goes_on: bool = False) -> list[Row]:
        """A result's rows, loaded. One that ``goes_on`` has the columns of the last that was loaded."""
        conversions = (reading or self._book.read(result)).conversions
        self._transformer.set_pgresult(result, set_loaders=not goes_on)
        try:
            if not conversions:
                return self._transformer.load_rows(0, result.ntuples, tuple)
            rows: list[Any] = self._transformer.load_rows(0, result.ntuples, list)
            for at, convert in conversions:
                convert(rows, at)
        except (ValueError, psycopg.DataError):
            raise ProtocolError("The server sent a value that is not of its column's type.") from None
        return rows

    def _learn_width(self, text: str, rows: list[Row]) -> None:
        """Remember a text whose rows are narrow. One that surprises ends this worker, and what it knows."""
        if text not in self._narrow and _width(rows) <= NARROW_BYTES:
            if len(self._narrow) >= KNOWN:
                self._narrow.clear()
            self._narrow.add(text)

    def _learn(self, wanted: set[int], deadline: Deadline) -> None:
        """Look unknown types up, without losing a cursor that is open: the look-up is within its transaction."""
        if not wanted:
            return
        text = CATALOGUE_QUERY if self.server_version >= 140000 else CATALOGUE_QUERY_13

        def look_up(oids: list[int]) -> list[Any]:
            values = ["{" + ",".join(map(str, oids)) + "}"]
            command = (text.encode(), [value.encode() for value in values], [1016])
            if self._open:
                self._wire.send([command], deadline)
                return list(self._rows(self._wire.answer(deadline)))
            return list(self._rows(self._run([command], deadline, whole=True)))

        with own_question():
            self._book.learn(wanted, look_up)


def _fetch(rows: int) -> Command:
    return (b"fetch forward %d from _preview" % rows, None, None)


def _width(rows: list[Row]) -> float:
    """About the bytes of a row, from a few of these."""
    few = rows[:: max(1, len(rows) // 4)]
    return sum(len(cell) if isinstance(cell, (str, bytes)) else 16 for row in few for cell in row) / max(1, len(few))


def _move(rows: int) -> Command:
    return (b"move forward %d in _preview" % rows, None, None)
