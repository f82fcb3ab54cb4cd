"""DuckDB: one database file beneath the organisation's folder, read only."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import Field

from connections.adapters.base import Check
from connections.adapters.config import Config
from connections.adapters.contract import Category, Column, Driver, Environment, Result, Row, Server, StepName
from connections.adapters.errors import AdapterError, InvalidError
from connections.adapters.files.databases import open_file, require_opened
from connections.adapters.limits import Deadline
from connections.adapters.sql.family import SQLAdapter, Window
from connections.adapters.sql.lexis import Lexis
from connections.adapters.sql.parameters import Statement, Style
from connections.sources.duckdb.failures import failed

if TYPE_CHECKING:
    import duckdb

    from connections.adapters.sql.tables import Tables
    from connections.sources.duckdb.types import Shape

BATCH = 500
MARGIN = 0.1
"""Seconds by which a query is stopped before its deadline, so that its error is still told."""
MEMORY = "384MB"
"""DuckDB's own limit, below the worker's; what it does not count is the worker's to stop."""
LARGEST = 2**128


class DuckDBConfig(Config):
    path: str = Field(
        title="File",
        description="The database file's path beneath the organisation's folder.",
        examples=["sales/orders.duckdb"],
        min_length=1,
        max_length=1024,
    )


class DuckDBAdapter(SQLAdapter[DuckDBConfig]):
    """DuckDB database files, through DuckDB's own engine. Other files and the network are closed to it."""

    id = "duckdb"
    label = "DuckDB"
    category = Category.DATABASE
    config_class = DuckDBConfig
    driver = Driver("duckdb", pip="duckdb>=2.0")
    docs_url = "https://duckdb.org/docs/stable/sql/introduction"
    needs_network = False
    tested_against = "real: DuckDB 2.0"
    lexis = Lexis(escape_strings=True, dollar_quotes=True, nested_comments=True)
    style = Style.DOLLAR
    arrays = True

    def __init__(self, config: DuckDBConfig, environment: Environment) -> None:
        super().__init__(config, environment)
        self._file: int | None = None
        self._database: duckdb.DuckDBPyConnection | None = None
        self._denied: frozenset[str] = frozenset()

    def connect(self, deadline: Deadline) -> None:
        if self._database is not None:
            return
        deadline.require()
        self._file = open_file(self.environment, self.config.path)
        try:
            self._database, self._denied = _open(self._file)
        except BaseException:
            self.close()
            raise

    def checks(self) -> list[Check]:
        return [Check(StepName.CONNECT, self._check_connect), Check(StepName.SAMPLE, self._check_sample)]

    def execute(self, statement: Statement, window: Window, deadline: Deadline) -> Result:
        from connections.sources.duckdb.guard import require_reading

        inner = require_reading(self._opened(), statement.text, self._denied)
        cursor = self._opened().cursor()
        try:
            with _interrupted(cursor, deadline):
                shape, text = self._shaped(cursor, statement) if inner else (None, statement.text)
                cursor.execute(text, _values(statement))
        except BaseException:
            cursor.close()
            raise
        shape = shape or _shape_of(cursor)
        return Result(shape.columns, _batches(cursor, shape, window, deadline))

    def describe_statement(self, statement: Statement, deadline: Deadline) -> tuple[Column, ...]:
        from connections.sources.duckdb.guard import require_reading

        if not require_reading(self._opened(), statement.text, self._denied):
            return super().describe_statement(statement, deadline)
        with self._opened().cursor() as cursor, _interrupted(cursor, deadline):
            return self._shaped(cursor, statement)[0].columns

    def catalogue(self) -> Tables:
        from connections.sources.duckdb.catalogue import DuckDBTables

        return DuckDBTables(self._ask)

    def translate(self, exc: Exception) -> AdapterError | None:
        return failed(exc, opened=self._database is not None)

    def close(self) -> None:
        super().close()
        if self._database is not None:
            self._database.close()
        if self._file is not None:
            os.close(self._file)
        self._database = self._file = None

    def reset(self) -> bool:
        """Always opens anew: an open file is locked to its writers."""
        self.close()
        return False

    def server(self) -> Server:
        import duckdb

        return Server("DuckDB", duckdb.__version__)

    # -----------------------------------------------------------------------------------------------------------

    def _opened(self) -> duckdb.DuckDBPyConnection:
        if self._database is None:
            raise RuntimeError("connect comes first")
        return self._database

    def _check_connect(self, deadline: Deadline) -> str:
        self.close()
        self.connect(deadline)
        assert self._file is not None  # noqa: S101
        return f"{os.fstat(self._file).st_size} bytes"

    def _check_sample(self, _deadline: Deadline) -> str:
        return f"{sum(1 for _ in self.tables_seen().list())} tables and views"

    def _shaped(self, cursor: duckdb.DuckDBPyConnection, statement: Statement) -> tuple[Shape, str]:
        """The statement's columns, and the text that gives their values exactly."""
        from connections.sources.duckdb.types import Shape

        described = cursor.execute(f"describe (\n{statement.text}\n)", _values(statement)).fetchall()
        shape = Shape.of([row[0] for row in described], [cursor.type(row[1]) for row in described])
        return shape, shape.exact(statement.text)

    def _ask(self, text: str, values: list[Any]) -> list[tuple[Any, ...]]:
        """All rows of a statement of ours."""
        return list(self._opened().execute(text, values).fetchall())


def _open(file: int) -> tuple[duckdb.DuckDBPyConnection, frozenset[str]]:
    """A locked-down connection to the very file that is open as ``file``, and names in it that no query may use."""
    import duckdb

    from connections.sources.duckdb.guard import SETTINGS, lock, stored_denied

    database = duckdb.connect(f"/dev/fd/{file}", read_only=True, config=SETTINGS | {"memory_limit": MEMORY})
    try:
        require_opened(file)
        lock(database)
        return database, stored_denied(database, file)
    except BaseException:
        database.close()
        raise


def _values(statement: Statement) -> list[Any]:
    for value in statement.values:
        if isinstance(value, int) and not -LARGEST / 2 <= value < LARGEST:
            raise InvalidError("An integer parameter does not fit 128 bits.", field="/parameters")
    return list(statement.values)


def _shape_of(cursor: duckdb.DuckDBPyConnection) -> Shape:
    from connections.sources.duckdb.types import Shape

    described = cursor.description or []
    return Shape.of([entry[0] for entry in described], [cursor.type(str(entry[1])) for entry in described])


def _batches(
    cursor: duckdb.DuckDBPyConnection, shape: Shape, window: Window, deadline: Deadline
) -> Iterator[list[Row]]:
    with cursor, _interrupted(cursor, deadline):
        skipped = 0
        while skipped < window.skip:
            gone = len(cursor.fetchmany(min(BATCH, window.skip - skipped)))
            if not gone:
                return
            skipped += gone
        left = window.fetch
        while left and (batch := cursor.fetchmany(min(BATCH, left))):
            left -= len(batch)
            yield shape.rows(batch)


@contextmanager
def _interrupted(cursor: duckdb.DuckDBPyConnection, deadline: Deadline) -> Iterator[None]:
    """Stop the query when its time is up. A courtesy: what does not heed it is ended with its process."""
    timer = threading.Timer(max(deadline.require() - MARGIN, 0.01), cursor.interrupt)
    timer.daemon = True
    try:
        timer.start()
    except RuntimeError:  # the thread's stack does not fit into what memory is left
        raise MemoryError from None
    try:
        yield
    finally:
        timer.cancel()


adapter = DuckDBAdapter
