"""The rows of one statement on their way from the server."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pymysql import err

from connections.adapters.contract import Column, Row
from connections.adapters.errors import ProtocolError
from connections.adapters.sql.family import Window
from connections.sources.mysql.binary import Reader
from connections.sources.mysql.fields import Field

if TYPE_CHECKING:
    from connections.sources.mysql.session import Session

BATCH_ROWS = 500
BATCH_BYTES = 512 * 1024
PATIENCE = 0.02
"""Seconds to wait for the end of a result that nobody reads on, before the session is given up for it."""
LEFTOVERS = 256 * 1024
"""Bytes of such a result that are read to keep the session."""

_BROKEN = (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError, struct.error)
"""What PyMySQL and the readers here raise over packets that are not as they should be."""


class Stream:
    """The rows of one statement, read as they are asked for."""

    def __init__(self, session: Session, statement: int | None, fields: list[Field]) -> None:
        """``statement`` is the prepared statement's number; None for one that was run as text."""
        self._session = session
        self._statement = statement
        self._fields = fields
        self._open = True
        self.columns: tuple[Column, ...] = tuple(each.column for each in fields)
        self.zero_dates = False

    def batches(self, window: Window) -> Iterator[list[Row]]:
        """The rows of ``window``. What is not read of the result is cancelled when the iterator is closed."""
        try:
            for _ in range(window.skip):
                if self._packet() is None:
                    return
            left = window.fetch
            while left and (batch := self._batch(min(left, BATCH_ROWS))):
                left -= len(batch)
                yield batch
        finally:
            self.finish()

    def finish(self) -> None:
        """Leave the session fit for more where the result ends soon; else give the session up for it."""
        session = self._session
        until = time.monotonic() + PATIENCE
        size = 0
        try:
            while self._open and size < LEFTOVERS and time.monotonic() < until:
                session._read_timeout = PATIENCE
                size += len(self._packet() or b"")
        except (err.MySQLError, ProtocolError):
            pass
        if self._open:
            self._open = False
            session.give_up()

    def _batch(self, most: int) -> list[Row]:
        rows: list[Row] = []
        size = 0
        while len(rows) < most and size < BATCH_BYTES:
            packet = self._packet()
            if packet is None:
                break
            size += len(packet)
            with speaking(self._session):
                rows.append(self._row(packet) if self._statement is not None else self._text_row(packet))
        return rows

    def _row(self, packet: bytes) -> Row:
        reader = Reader(packet, 1 + (len(self._fields) + 9) // 8)
        nulls = int.from_bytes(packet[1 : reader.position], "little") >> 2
        row: list[Any] = []
        for at, each in enumerate(self._fields):
            if nulls >> at & 1:
                row.append(None)
                continue
            value = each.read(reader)
            self.zero_dates = self.zero_dates or value is None
            row.append(value)
        return row

    def _text_row(self, packet: bytes) -> Row:
        reader = Reader(packet)
        row: list[Any] = []
        for each in self._fields:
            if packet[reader.position] == 0xFB:
                reader.take(1)
                row.append(None)
            else:
                row.append(each.from_text(reader.text()))
        return row

    def _packet(self) -> bytes | None:
        """The next row, packed; None at the end."""
        if not self._open:
            return None
        with speaking(self._session):
            packet = self._session._read_packet()
            if not packet.is_eof_packet():
                data: bytes = packet.get_all_data()
                return data
            self._open = False
            self._session.stream = None
            if self._statement is not None:
                self._session._close_statement(self._statement)
            return None


@contextmanager
def speaking(session: Session) -> Iterator[None]:
    """Inside, packets that make no sense become ``ProtocolError``; after one, the session is not to be used."""
    try:
        yield
    except _BROKEN:
        session.give_up()
        raise ProtocolError(
            "What answers does not speak MySQL's protocol as it should.", field="/config/port", step="connect"
        ) from None
