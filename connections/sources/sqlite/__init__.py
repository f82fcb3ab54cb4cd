"""SQLite: one database file beneath the organisation's folder, read only."""

from __future__ import annotations

import datetime
import decimal
import os
import re
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from connections.adapters.base import Check
from connections.adapters.config import Config
from connections.adapters.contract import Category, Environment, Notice, Result, Row, Server, StepName
from connections.adapters.errors import (
    AdapterError,
    DeadlineError,
    InternalError,
    InvalidError,
    NotAQueryError,
    ProtocolError,
    QueryError,
    QueryForbiddenError,
    TooLargeError,
)
from connections.adapters.files.databases import PATH_FIELD, open_file
from connections.adapters.limits import Deadline
from connections.adapters.sql.family import SQLAdapter, Window
from connections.adapters.sql.lexis import Lexis
from connections.adapters.sql.parameters import Statement, Style
from connections.sources.sqlite.guard import Guard
from connections.sources.sqlite.opening import open_read_only
from connections.sources.sqlite.types import Shape

if TYPE_CHECKING:
    from connections.adapters.sql.tables import Tables

BATCH = 500
TEXT_FIELD = "/query/sql"


class SQLiteConfig(Config):
    path: str = Field(
        title="File",
        description="The database file's path beneath the organisation's folder.",
        examples=["sales/orders.sqlite3"],
        min_length=1,
        max_length=1024,
    )


class SQLiteAdapter(SQLAdapter[SQLiteConfig]):
    """SQLite 3 files, through Python's own driver. The file is opened as it is: a write-ahead log is not read."""

    id = "sqlite"
    label = "SQLite"
    category = Category.DATABASE
    config_class = SQLiteConfig
    docs_url = "https://sqlite.org/lang.html"
    needs_network = False
    job_modules = ("connections.sources.sqlite.catalogue", "sqlalchemy.dialects.sqlite.pysqlite")
    tested_against = "real: Python's sqlite3"
    lexis = Lexis(backtick_names=True, bracket_names=True)
    style = Style.NUMBERED

    def __init__(self, config: SQLiteConfig, environment: Environment) -> None:
        super().__init__(config, environment)
        self._file: int | None = None
        self._reader: sqlite3.Connection | None = None
        self._catalogue: sqlite3.Connection | None = None
        self._guard: Guard | None = None

    def connect(self, deadline: Deadline) -> None:
        if self._reader is not None:
            return
        deadline.require()
        self._file = open_file(self.environment, self.config.path)
        try:
            reader = open_read_only(self._file)
            reader.execute("pragma query_only = on")
            reader.execute("select count(*) from sqlite_master").fetchone()
        except sqlite3.Error:
            self.close()
            raise
        self._reader, self._guard = reader, Guard(reader)

    def checks(self) -> list[Check]:
        return [
            Check(StepName.CONNECT, self._check_connect),
            Check(StepName.SAMPLE, self._check_sample),
        ]

    def execute(self, statement: Statement, window: Window, deadline: Deadline) -> Result:
        assert self._reader is not None  # noqa: S101  connect() comes first
        assert self._guard is not None  # noqa: S101
        deadline.require()
        self._guard.watch(deadline)
        cursor = self._reader.execute(statement.text, [_bindable(value) for value in statement.values])
        if cursor.description is None:
            raise NotAQueryError("The statement returns no rows.", field=TEXT_FIELD)
        names = [entry[0] for entry in cursor.description]
        batches = _batches(cursor, window)
        first = next(batches, [])
        shape = Shape(names, self._declared(statement, len(names)), first)
        result = Result(shape.columns, iter(()))
        result.batches = _converted(shape, first, batches, result.notices)
        return result

    def catalogue(self) -> Tables:
        from connections.sources.sqlite.catalogue import SQLiteTables

        return SQLiteTables("sqlite://", self._catalogue_connection)

    def translate(self, exc: Exception) -> AdapterError | None:
        if isinstance(exc, OverflowError):
            return InvalidError("An integer parameter does not fit 64 bits.", field="/parameters")
        exc = getattr(exc, "orig", None) or exc  # SQLAlchemy's wrapping of what a look-up of tables raised
        if not isinstance(exc, sqlite3.Error):
            return None
        text = str(exc)
        if self._guard is not None and self._guard.overdue:
            return DeadlineError("The query was stopped when its time ran out.")
        if self._guard is not None and self._guard.denied_function is not None:
            return QueryForbiddenError(
                f"The function {self._guard.denied_function} may not be called here.", field=TEXT_FIELD
            )
        if self._guard is not None and self._guard.denied is not None:
            return NotAQueryError("The statement does more than read.", field=TEXT_FIELD)
        if "may not be modified" in text or "readonly" in text:
            return NotAQueryError("The statement does more than read.", field=TEXT_FIELD)
        if isinstance(exc, sqlite3.DatabaseError) and ("not a database" in text or "malformed" in text):
            return ProtocolError("The file is not a SQLite database, or it is damaged.", field=PATH_FIELD)
        return _STATEMENT_ERRORS.get(type(exc), QueryError)(text, field=TEXT_FIELD, hint=_hint(text))

    def close(self) -> None:
        super().close()
        for connection in (self._reader, self._catalogue):
            if connection is not None:
                connection.close()
        if self._file is not None:
            os.close(self._file)
        self._reader = self._catalogue = self._guard = self._file = None

    def reset(self) -> bool:
        """Always opens anew: the file is read as one that does not change, and it may have changed since."""
        self.close()
        return False

    def server(self) -> Server:
        return Server("SQLite", sqlite3.sqlite_version)

    # -----------------------------------------------------------------------------------------------------------

    def _check_connect(self, deadline: Deadline) -> str:
        self.connect(deadline)
        assert self._file is not None  # noqa: S101
        return f"{os.fstat(self._file).st_size} bytes"

    def _check_sample(self, deadline: Deadline) -> str:
        count = self._count(Statement("select count(*) from sqlite_master"), deadline)
        return f"{count} tables, views and indexes"

    def _catalogue_connection(self) -> sqlite3.Connection:
        """A second connection to the same file for our own look-ups, which the guard would refuse."""
        if self._catalogue is None:
            assert self._file is not None  # noqa: S101
            self._catalogue = open_read_only(self._file)
        return self._catalogue

    def _declared(self, statement: Statement, count: int) -> Sequence[str | None]:
        from connections.sources.sqlite.catalogue import declared_types

        return declared_types(self._catalogue_connection(), statement, self.lexis, count)


def _batches(cursor: sqlite3.Cursor, window: Window) -> Iterator[list[Row]]:
    skipped = 0
    while skipped < window.skip:
        gone = len(cursor.fetchmany(min(BATCH, window.skip - skipped)))
        if not gone:
            return
        skipped += gone
    left = window.fetch
    while left and (batch := cursor.fetchmany(min(BATCH, left))):
        left -= len(batch)
        yield batch
    cursor.close()


def _converted(
    shape: Shape, first: list[Row], others: Iterator[list[Row]], notices: list[Notice]
) -> Iterator[list[Row]]:
    if first:
        yield shape.rows(first)
    for batch in others:
        before = set(shape.mixed)
        yield shape.rows(batch)
        for name in sorted(shape.mixed - before):
            notices.append(Notice("mixed_types", f"The column {name} holds values of several types."))


def _bindable(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (decimal.Decimal, uuid.UUID, datetime.timedelta)):
        return str(value)
    return value


_STATEMENT_ERRORS: dict[type[Exception], type[AdapterError]] = {
    sqlite3.DataError: TooLargeError,
    sqlite3.InternalError: InternalError,
}


def _hint(text: str) -> str | None:
    if re.search(r"decode to UTF-?8", text):
        return "A text is not valid UTF-8. Select hex(column) to see its bytes."
    if "Incorrect number of bindings" in text:
        return "Write parameters as :name."
    return None


adapter = SQLiteAdapter
