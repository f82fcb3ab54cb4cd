"""One logged-in session: PyMySQL logs in and carries packets; what is said over them is decided here.

Statements are prepared at the server and executed in the binary protocol, which PyMySQL does not have: one statement
at a time whatever its text, values that never meet the text, and exact numbers (the text protocol rounds FLOAT).
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Sequence
from typing import Any

from pymysql import err

from connections.adapters.contract import Column
from connections.adapters.errors import NotAQueryError, ProtocolError, QueryError, TooLargeError
from connections.adapters.limits import Deadline
from connections.adapters.sql.family import Window
from connections.sources.mysql.binary import Reader, packed_values
from connections.sources.mysql.fields import Field
from connections.sources.mysql.login import Login, LoginConnection
from connections.sources.mysql.stream import Stream, speaking

MARGIN = 0.1
"""Seconds by which the server's own time-out comes before ours, so that its error arrives."""

# What a text means must not depend on the server's settings: no ANSI_QUOTES, no NO_BACKSLASH_ESCAPES.
SQL_MODE = "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"

# https://dev.mysql.com/doc/dev/mysql-server/latest/my__command_8h.html
_PREPARE, _EXECUTE, _CLOSE_STATEMENT, _RESET, _QUERY = 0x16, 0x17, 0x19, 0x1F, 0x03
_UNKNOWN_COMMAND, _NOT_PREPARED = 1047, 1295
_PREPARED = 0x00
_MOST_COLUMNS = 4096  # https://dev.mysql.com/doc/refman/8.4/en/column-count-limit.html


class Session(LoginConnection):
    """A logged-in connection: one statement at a time, in a read-only transaction."""

    def __init__(self, login: Login) -> None:
        super().__init__(login)
        self.stream: Stream | None = None

    # Opening, keeping and giving up ----------------------------------------------------------------------------

    def open_on(self, plain: socket.socket, deadline: Deadline) -> None:
        """Log in over ``plain``, which is this session's from now on, and pin the session's settings."""
        self._hurry(deadline)
        with speaking(self):
            self.connect(plain)
        self._logged_in = True
        self.pin()

    def pin(self) -> None:
        """The session's settings, whatever the server's defaults are."""
        self._command(
            f"set names {self.charset}, session sql_mode = '{SQL_MODE}', session time_zone = '+00:00', "
            "session sql_auto_is_null = 0, session sql_safe_updates = 0"
        )
        self._command("set session transaction isolation level repeatable read, read only")

    def renew(self) -> bool:
        """The session as if new. False when a result is unread or the server cannot: then it is not to be used."""
        if not self.settled():
            return False
        self._hurry(Deadline.after(5))
        try:
            with speaking(self):
                self._execute_command(_RESET, b"")
                self._read_ok_packet()
        except err.MySQLError as exc:
            if exc.args and exc.args[0] == _UNKNOWN_COMMAND:
                return False
            raise
        self.pin()
        return True

    def settled(self) -> bool:
        """Whether the session is there for a statement; what is left of the last one is done with."""
        if self.stream is not None:
            self.stream.finish()
        return self.alive()

    def alive(self) -> bool:
        """Whether the connection still stands. A server that has something to say unasked says goodbye."""
        if self._sock is None:
            return False
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return not poll.poll(0)

    def end(self, thread: int) -> None:
        """End what another session of the same user is at, by the number that the server gave it."""
        self._command(f"kill query {thread}")

    def give_up(self) -> None:
        """Close the socket without a word. The server ends a query when it cannot send its rows."""
        self.stream = None
        self._force_close()

    # Statements ------------------------------------------------------------------------------------------------

    def columns(self, text: str, deadline: Deadline) -> tuple[Column, ...]:
        """The columns that ``text`` would give, from preparing it; none where only executing tells."""
        self._guard(deadline, most=0)
        with speaking(self):
            statement, fields = self._prepare(text, 0)
            self._close_statement(statement)
        return tuple(each.column for each in fields)

    def start(self, text: str, values: Sequence[Any], window: Window, deadline: Deadline) -> Stream:
        """Run one statement in a read-only transaction that ends by the deadline; its rows come as they are read."""
        # The limit is the session's, so the text stays as it is; a LIMIT of the text's own comes before it.
        self._guard(deadline, most=window.skip + window.fetch)
        packed = packed_values(values)
        with speaking(self):
            try:
                statement, _ = self._prepare(text, len(values))
            except err.MySQLError as exc:
                if values or exc.args[:1] != (_NOT_PREPARED,):
                    raise
                stream = self._run(text)
            else:
                self._execute_command(_EXECUTE, struct.pack("<IBI", statement, 0, 1) + packed)
                stream = self._result_of(statement)
        self.stream = stream
        if window.fetch == 0:
            stream.finish()
        return stream

    def _run(self, text: str) -> Stream:
        """A statement that this server does not prepare. It is one statement still: we never said we send several."""
        self._execute_command(_QUERY, text.encode())
        return self._result_of(None)

    def _guard(self, deadline: Deadline, *, most: int) -> None:
        if self.stream is not None:
            self.give_up()
        self._hurry(deadline)
        left = max(deadline.require() - MARGIN, 0.05)
        limit = f"max_statement_time = {left:.3f}" if self.is_mariadb else f"max_execution_time = {int(left * 1000)}"
        self._command(f"set session {limit}, session sql_select_limit = {most}")
        self._command("start transaction read only")

    def _hurry(self, deadline: Deadline) -> None:
        self._read_timeout = self._write_timeout = deadline.require()

    def _command(self, text: str) -> None:
        with speaking(self):
            self._execute_command(_QUERY, text.encode())
            self._read_ok_packet()

    def _prepare(self, text: str, count: int) -> tuple[int, list[Field]]:
        self._execute_command(_PREPARE, text.encode())
        kind, statement, columns, parameters = struct.unpack_from("<BIHH", self._read_packet().get_all_data())
        if kind != _PREPARED:
            raise ValueError("no answer to preparing a statement")
        self._require_width(columns)
        if parameters:
            self._fields(parameters)
        fields = self._fields(columns) if columns else []
        if parameters != count:
            raise QueryError(
                "The text holds a question mark that is no parameter of ours.",
                field="/query/sql",
                hint="Write parameters as :name.",
            )
        return statement, fields  # none for SHOW PROCESSLIST and the like: executing tells

    def _result_of(self, statement: int | None) -> Stream:
        first = self._read_packet().get_all_data()
        if first[0] == 0xFB:
            self.give_up()
            raise ProtocolError("The server asked for a file of this computer; it was refused.", field="/config/host")
        if first[0] == 0x00:
            raise NotAQueryError("The statement returns no rows.", field="/query/sql")
        width = Reader(first).integer()
        self._require_width(width)
        return Stream(self, statement, self._fields(width))

    def _require_width(self, columns: int) -> None:
        if columns > _MOST_COLUMNS:
            self.give_up()
            raise TooLargeError(f"The answer has {columns} columns; a server has at most {_MOST_COLUMNS}.")

    def _fields(self, count: int) -> list[Field]:
        fields = [Field.parse(self._read_packet().get_all_data(), self._extended) for _ in range(count)]
        if not self._read_packet().is_eof_packet():
            raise ValueError("no end of the columns")
        return fields

    def _close_statement(self, statement: int) -> None:
        self._execute_command(_CLOSE_STATEMENT, struct.pack("<I", statement))  # has no answer
