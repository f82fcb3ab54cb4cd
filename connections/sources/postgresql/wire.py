"""Commands and their answers, many on the wire at once: libpq's pipeline mode.

Nothing here waits inside libpq, which would hold Python's lock. Rows may be taken in pieces, so that no more of an
answer is in memory than was looked at.
"""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from psycopg import OperationalError, pq
from psycopg.pq.abc import PGconn, PGresult

from connections.adapters.errors import AdapterError, DeadlineError, ProtocolError, UnreachableError
from connections.adapters.limits import Deadline
from connections.sources.postgresql.rejected import Rejected, of_libpq

Command = tuple[bytes, Sequence[bytes | None] | None, Sequence[int] | None]
"""A text, and its values with their types."""

KEPT_BYTES: Final = 2048
"""What libpq keeps in a pipeline until it is told to send; it begins by itself at 8192, with what it adds."""
PIECE_ROWS: Final = 128
"""As many cells of 1 MiB are in memory at once."""

# Plain integers: the driver's C code returns those, and comparing with an enumeration's member is slow.
_CONNECTED: Final = int(pq.ConnStatus.OK)
_SYNC: Final = int(pq.ExecStatus.PIPELINE_SYNC)
_FAILED: Final = (int(pq.ExecStatus.FATAL_ERROR), int(pq.ExecStatus.BAD_RESPONSE))
_COPYING: Final = (int(pq.ExecStatus.COPY_IN), int(pq.ExecStatus.COPY_OUT), int(pq.ExecStatus.COPY_BOTH))
_TAKES_PIECES: Final = pq.version() >= 170000  # PQsetChunkedRowsMode


class Wire:
    """The wire of one connection. Every wait ends at its deadline, and then the connection does."""

    def __init__(self, connection: PGconn, before: Callable[[], None]) -> None:
        """``before`` is called before anything is sent."""
        self._pg = connection
        self._before = before
        self._poll = select.poll()
        self._owed = 0
        """Syncs that were asked for and not yet read."""
        connection.nonblocking = 1

    def send(self, commands: Sequence[Command], deadline: Deadline, *, then: Sequence[bytes] = ()) -> None:
        """Send ``commands`` as one answer is wanted to them, and texts ``then``, each with an answer of its own."""
        if _size(commands) > KEPT_BYTES:
            self._before()
        if self._pg.pipeline_status == pq.PipelineStatus.OFF:
            self._pg.enter_pipeline_mode()
        for text, values, types in commands:
            self._pg.send_query_params(text, values, types)
        try:
            self._before()
        except BaseException:
            self._shut()
            raise
        if commands:
            self._sync()
        for text in then:
            self._pg.send_query_params(text, None)
            self._sync()
        while self._pg.flush():
            if self._wait(select.POLLIN | select.POLLOUT, deadline) & select.POLLIN:
                self._pg.consume_input()

    def answer(self, deadline: Deadline) -> PGresult:
        """The last result before the next sync, whole. Raises ``Rejected`` with the first error."""
        return _last([*self._results(deadline)])

    def pieces(self, deadline: Deadline) -> Iterator[PGresult]:
        """Results with rows before the next sync, ``PIECE_ROWS`` at most in each. Raises ``Rejected``."""
        failed: PGresult | None = None
        for result in self._results(deadline, in_pieces=True):
            if result.status in _FAILED:
                failed = failed or result
            elif result.ntuples:
                yield result
        if failed is not None:
            raise Rejected(failed)

    def settle(self, deadline: Deadline) -> None:
        """Let go of the answers that are still owed. Raises ``UnreachableError`` where one is an error."""
        while self._owed:
            if any(result.status in _FAILED for result in self._results(deadline, in_pieces=True)):
                raise UnreachableError("The session could not be put back.", field="/config/host")
        if self._pg.pipeline_status != pq.PipelineStatus.OFF:
            self._pg.exit_pipeline_mode()

    def has_news(self) -> bool:
        """Whether there is something to read, or the connection has ended."""
        poll = select.poll()
        poll.register(self._pg.socket, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        self._owed = 0
        self._pg.finish()

    def _sync(self) -> None:
        self._pg.pipeline_sync()
        self._owed += 1

    def _results(self, deadline: Deadline, *, in_pieces: bool = False) -> Iterator[PGresult]:
        """The results before the next sync."""
        pg = self._pg
        if in_pieces:
            self._take_pieces()
        while True:
            while pg.is_busy():
                self._wait(select.POLLIN, deadline)
                pg.consume_input()
            result = pg.get_result()
            if result is None:  # between two commands
                if pg.status != _CONNECTED:
                    raise self._lost()
                if in_pieces:
                    self._take_pieces()
            elif result.status == _SYNC:
                self._owed -= 1
                return
            elif result.status in _COPYING:  # libpq would say so again and again
                self.close()
                raise ProtocolError("The server does not keep to PostgreSQL's protocol.", field="/config/port")
            else:
                yield result

    def _take_pieces(self) -> None:
        """Have the next command's rows come in pieces. libpq refuses where that is not one, or has begun."""
        if _TAKES_PIECES:
            with contextlib.suppress(OperationalError):
                self._pg.set_chunked_rows_mode(PIECE_ROWS)

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

    def _shut(self) -> None:
        """Let nothing out any more: to finish a connection sends what waits in its pipeline."""
        held = socket.socket(fileno=self._pg.socket)
        try:
            with contextlib.suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)
        finally:
            held.detach()


def _last(results: list[PGresult]) -> PGresult:
    for result in results:
        if result.status in _FAILED:
            raise Rejected(result)
    if not results:
        raise ProtocolError("The server answered nothing.", field="/config/port")
    return results[-1]


def _size(commands: Sequence[Command]) -> int:
    """Bytes of texts and values."""
    return sum(len(text) + sum(len(value or b"") for value in values or ()) for text, values, _ in commands)
