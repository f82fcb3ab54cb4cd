"""Statements that PostgreSQL keeps prepared, run without a cursor, which would cost as much as the rest.

They are few, and each is run for every preview. For all others the driver has cursors.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import psycopg
from psycopg import errors, pq
from psycopg.adapt import PyFormat, Transformer

Row = tuple[Any, ...]

_ROWS: Final = int(pq.ExecStatus.TUPLES_OK)
_DONE: Final = int(pq.ExecStatus.COMMAND_OK)
_STALE: Final = ("26000", "0A000")
"""What PostgreSQL says of a statement that it lost, and of one whose tables have changed since. Neither has run."""


class Prepared:
    """The prepared statements of one connection, outside transactions. One thread at a time.

    Statements wait for their answers without Python's lock, and without a limit, as cursors do.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._pg = connection.pgconn
        self._transformer = Transformer(connection)
        self._names: dict[tuple[str, tuple[int, ...] | None], bytes] = {}
        self._made = 0

    def first(self, sql: str, values: Sequence[Any]) -> Row | None:
        """The first row of ``sql``, whose values stand at ``%s``. Raises psycopg's errors."""
        try:
            return self._first(sql, values)
        except psycopg.Error as exc:
            if exc.sqlstate not in _STALE or not self._names:
                raise
            self._names.clear()
            return self._first(sql, values)

    def _first(self, sql: str, values: Sequence[Any]) -> Row | None:
        transformer = self._transformer
        dumped: Any = transformer.dump_sequence(values, _formats(len(values)))
        key = (sql, transformer.types)
        name = self._names.get(key) or self._prepare(key)
        result = self._pg.exec_prepared(name, dumped, transformer.formats)
        if result.status == _DONE:
            return None
        if result.status != _ROWS:
            raise self._error(result)
        if not result.ntuples:
            return None
        transformer.set_pgresult(result)
        row: Row = transformer.load_row(0, tuple)
        return row

    def _prepare(self, key: tuple[str, tuple[int, ...] | None]) -> bytes:
        self._made += 1
        name = b"catalogue_%d" % self._made
        result = self._pg.prepare(name, _numbered(key[0]), key[1])
        if result.status != _DONE:
            raise self._error(result)
        self._names[key] = name
        return name

    def _error(self, result: Any) -> psycopg.Error:
        if self._pg.status != pq.ConnStatus.OK:
            return psycopg.OperationalError("The connection to the catalogue's database was lost.")
        return errors.error_from_result(result)


@cache
def _formats(count: int) -> list[PyFormat]:
    return [PyFormat.AUTO] * count


@cache
def _numbered(sql: str) -> bytes:
    """``sql`` with ``$1``, ``$2``, … for ``%s``."""
    first, *others = sql.split("%s")
    return (first + "".join(f"${number}{part}" for number, part in enumerate(others, 1))).encode()
