"""The base of SQL sources: what to run is decided here, running it guarded is each source's own.

``{"table"}`` becomes a select of ours, with limit, offset and the key's order in the source's dialect. ``{"sql"}`` is
never edited: its parameters are bound, rows before the offset are skipped and rows after the limit are not fetched.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from connections.adapters.base import Adapter
from connections.adapters.config import Config
from connections.adapters.contract import Column, Description, Environment, Result, Row, Table
from connections.adapters.errors import QueryError
from connections.adapters.limits import Deadline
from connections.adapters.sql.lexis import Lexis
from connections.adapters.sql.parameters import Statement, Style, bind, require_declared
from connections.adapters.sql.query import SQLQuery

if TYPE_CHECKING:  # SQLAlchemy takes a while to import, and only tables need it
    from connections.adapters.sql.tables import Tables

SQLConfigT = TypeVar("SQLConfigT", bound=Config)

TABLE_FIELD = "/query/table"


@dataclass(frozen=True, slots=True)
class Window:
    """Which rows of a statement are wanted: ``fetch`` of them at most, after ``skip``."""

    skip: int
    fetch: int


class SQLAdapter(Adapter[SQLConfigT, SQLQuery]):
    """A source that is asked in SQL through a DB-API driver."""

    query_class = SQLQuery
    takes_parameters = True

    lexis: ClassVar[Lexis]
    style: ClassVar[Style]
    arrays: ClassVar[bool] = False
    """Whether the driver binds a list as one value."""

    def __init__(self, config: SQLConfigT, environment: Environment) -> None:
        super().__init__(config, environment)
        self._tables: Tables | None = None

    # Hooks of a SQL source -------------------------------------------------------------------------------------

    @abstractmethod
    def execute(self, statement: Statement, window: Window, deadline: Deadline) -> Result:
        """Run one statement through the source's read-only guard.

        Columns are known on return; batches are fetched as they are asked for. Raises whatever the driver raises.
        """

    @abstractmethod
    def catalogue(self) -> Tables:
        """What the open connection's catalogue says of tables; made once for a connection."""

    def describe_statement(self, statement: Statement, deadline: Deadline) -> tuple[Column, ...]:
        """The columns of a statement. A source overrides this where it can tell without running it."""
        return self.execute(statement, Window(0, 0), deadline).columns

    def counting(self, statement: Statement, deadline: Deadline) -> Statement | None:
        """A statement that counts the rows of ``statement``, or None where they cannot be counted."""
        return counted(statement)

    # What the contract asks for --------------------------------------------------------------------------------

    def rows(
        self,
        query: SQLQuery,
        parameters: dict[str, Any],
        *,
        limit: int,
        offset: int,
        count: bool,
        deadline: Deadline,
    ) -> Result:
        if query.table is None:
            statement = self.bound(query, parameters)
            total = self._count(self.counting(statement, deadline), deadline) if count else None
            result = self.execute(statement, Window(offset, limit + 1), deadline)
            result.total = total if total is not None else result.total
            return result
        require_declared(set(), parameters)
        with self._about(query.table):
            total = self._count(self.tables_seen().count(query.table), deadline) if count else None
            select = self.tables_seen().select(query.table, limit=limit + 1, offset=offset)
            result = self.execute(select, Window(0, limit + 1), deadline)
        result.total = total
        result.batches = self._named(query.table, result.batches)
        return result

    def describe_query(self, query: SQLQuery, parameters: dict[str, Any], deadline: Deadline) -> Description:
        if query.table is not None:
            require_declared(set(), parameters)
            return self.describe_table(query.table, deadline)
        return Description(self.describe_statement(self.bound(query, parameters), deadline))

    def list_tables(self, deadline: Deadline) -> Iterator[Table]:
        deadline.require()
        yield from self.tables_seen().list()

    def describe_table(self, path: tuple[str, ...], deadline: Deadline) -> Description:
        """Types as a preview shows them, with what the source's catalogue adds: nullable, comments, the key."""
        with self._about(path):
            known = self.tables_seen().facts(path)
            columns = self.describe_statement(self.tables_seen().select(path, limit=1, offset=0), deadline)
        described = tuple(
            replace(column, nullable=known.nullable.get(column.name), comment=known.comments.get(column.name))
            for column in columns
        )
        return Description(described, known.primary_key)

    def close(self) -> None:
        self._tables = None

    # Pieces ----------------------------------------------------------------------------------------------------

    def bound(self, query: SQLQuery, parameters: dict[str, Any]) -> Statement:
        """The query's text with its parameters bound, in the driver's style."""
        if not parameters:
            return _without_parameters(query.sql or "", self.lexis, self.style)
        return bind(query.sql or "", parameters, lexis=self.lexis, style=self.style, arrays=self.arrays)

    def tables_seen(self) -> Tables:
        """What the open connection's catalogue says of tables."""
        if self._tables is None:
            self._tables = self.catalogue()
        return self._tables

    def _count(self, statement: Statement | None, deadline: Deadline) -> int | None:
        if statement is None:
            return None
        for batch in self.execute(statement, Window(0, 1), deadline).batches:
            for row in batch:
                return int(row[0])
        return None

    def _named(self, path: tuple[str, ...], batches: Iterator[list[Row]]) -> Iterator[list[Row]]:
        with self._about(path):
            yield from batches

    @contextmanager
    def _about(self, path: tuple[str, ...]) -> Iterator[None]:
        """What the source rejects inside is about the table that was named, not about a text."""
        try:
            with self.translating():
                yield
        except QueryError as error:
            self.tables_seen().forget(path)
            error.field = TABLE_FIELD
            raise


@lru_cache(64)
def _without_parameters(text: str, lexis: Lexis, style: Style) -> Statement:
    return bind(text, {}, lexis=lexis, style=style)


SELECTS = frozenset({"select", "with", "values", "table", "from", "("})


def counted(statement: Statement) -> Statement | None:
    """A statement that counts the rows of ``statement``, or None when it is none that can stand in another."""
    if not statement.words or statement.words[0] not in SELECTS:
        return None
    before = "select count(*) from (\n"
    moves = tuple((ours + len(before), theirs) for ours, theirs in statement.moves)
    # The line ends before the bracket: the text may end in a comment.
    apart = counted(statement.apart) if statement.apart else None
    return replace(statement, text=f"{before}{statement.text}\n) as counted", moves=moves, apart=apart)
