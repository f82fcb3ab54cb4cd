"""What a source's catalogue says of tables, and our own statements about them, through SQLAlchemy's dialect.

Not on the path of ``{"sql"}``. The engine borrows the adapter's one DB-API connection and never opens another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql import Select

from connections.adapters.contract import Table
from connections.adapters.errors import QueryError
from connections.adapters.sql.parameters import Statement

Path = tuple[str, ...]
MOST_SELECTS = 256
SYSTEM_SCHEMAS = frozenset({"information_schema", "pg_catalog", "mysql", "performance_schema", "sys"})


@dataclass(frozen=True, slots=True)
class Facts:
    """What the catalogue adds to a table's columns, each by the column's name."""

    primary_key: Path = ()
    nullable: dict[str, bool] = field(default_factory=dict)
    comments: dict[str, str | None] = field(default_factory=dict)


class Tables:
    """Tables by path: a name, with the schema before it where it is not the default one.

    A source whose catalogue SQLAlchemy cannot read overrides ``list`` and ``facts``.
    """

    def __init__(self, url: str, connection: Callable[[], Any]) -> None:
        """``url`` names dialect and driver and nothing else: ``postgresql+psycopg://``."""
        self._engine = sqlalchemy.create_engine(url, creator=connection, poolclass=StaticPool)
        # A dialect whose paramstyle is a driver's %s doubles every percent sign; our texts are not formatted.
        dialect: Callable[..., Dialect] = type(self._engine.dialect)
        self._dialect = dialect(paramstyle="named")
        self._facts: dict[Path, Facts] = {}
        self._selects: dict[tuple[Path, int, int], Statement] = {}

    def list(self) -> Iterator[Table]:
        """Tables and views outside the source's own schemas, by path."""
        found = sqlalchemy.inspect(self._engine)
        for schema in sorted(found.get_schema_names()):
            if schema.lower() not in SYSTEM_SCHEMAS:
                named = [("table", name) for name in found.get_table_names(schema)]
                named += [("view", name) for name in found.get_view_names(schema)]
                for kind, name in sorted(named, key=lambda pair: pair[1]):
                    yield Table((schema, name), kind)

    def facts(self, path: Path) -> Facts:
        """Nullable, comments and the key. Raises ``QueryError`` when there is no such table."""
        if path not in self._facts:
            self._facts[path] = self.look_up(path)
        return self._facts[path]

    def forget(self, path: Path) -> None:
        """Look the table up anew next time: a statement built from what is known of it failed."""
        self._facts.pop(path, None)
        self._selects.clear()

    def look_up(self, path: Path) -> Facts:
        schema = ".".join(path[:-1]) or None
        found = sqlalchemy.inspect(self._engine)
        try:
            columns = found.get_columns(path[-1], schema)
            key = found.get_pk_constraint(path[-1], schema)
        except NoSuchTableError:
            raise no_such_table(path) from None
        return Facts(
            tuple(key.get("constrained_columns") or ()),
            {column["name"]: column["nullable"] for column in columns},
            {column["name"]: column.get("comment") for column in columns},
        )

    def select(self, path: Path, *, limit: int, offset: int) -> Statement:
        """All columns, in the key's order when there is one. Kept, as compiling takes as long as a small query."""
        known = self._selects.get((path, limit, offset))
        if known is None:
            if len(self._selects) >= MOST_SELECTS:
                self._selects.clear()
            known = self._selects[path, limit, offset] = self._select(path, limit, offset)
        return known

    def _select(self, path: Path, limit: int, offset: int) -> Statement:
        statement = self._from(path, sqlalchemy.literal_column("*")).limit(limit).offset(offset or None)
        key = self.facts(path).primary_key
        return self._compiled(statement.order_by(*(sqlalchemy.text(self._quote(name)) for name in key)))

    def count(self, path: Path) -> Statement:
        return self._compiled(self._from(path, sqlalchemy.literal_column("count(*)")))

    def _from(self, path: Path, columns: Any) -> Select[Any]:
        return sqlalchemy.select(columns).select_from(sqlalchemy.text(".".join(map(self._quote, path))))

    def _quote(self, name: str) -> str:
        # A colon in a text construct would begin a bound parameter.
        return self._dialect.identifier_preparer.quote_identifier(name).replace(":", r"\:")

    def _compiled(self, statement: Select[Any]) -> Statement:
        text = str(statement.compile(dialect=self._dialect, compile_kwargs={"literal_binds": True}))
        return Statement(text, words=("select",))


def no_such_table(path: Path) -> QueryError:
    return QueryError(f"There is no table {'.'.join(path)}.", field="/query/table")
