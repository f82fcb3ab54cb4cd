"""What a DuckDB file says of its own tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from connections.adapters.contract import Table
from connections.adapters.sql.tables import Facts, Path, Tables, no_such_table

LIST_QUERY = """
select schema_name, table_name, 'table', comment from duckdb_tables()
where not internal and database_name = current_database()
union all
select schema_name, view_name, 'view', comment from duckdb_views()
where not internal and database_name = current_database()
order by all
"""
FACTS_QUERY = """
select column_name, is_nullable, comment from duckdb_columns()
where database_name = current_database() and schema_name = $1 and table_name = $2 order by column_index
"""
KEY_QUERY = """
select unnest(constraint_column_names) from duckdb_constraints()
where database_name = current_database() and schema_name = $1 and table_name = $2 and constraint_type = 'PRIMARY KEY'
"""
NAMES_QUERY = """
select schema_name, table_name from (
  select schema_name, table_name from duckdb_tables() where database_name = current_database()
  union all
  select schema_name, view_name from duckdb_views() where database_name = current_database()
)
where lower(schema_name) = lower($1) and lower(table_name) = lower($2)
"""

Ask = Callable[[str, list[Any]], list[tuple[Any, ...]]]


class DuckDBTables(Tables):
    """Paths are (schema, name); a name alone is looked for in the schema main."""

    def __init__(self, ask: Ask) -> None:
        super().__init__("sqlite://", _no_connection)  # for its plain SQL: quoted names, LIMIT and OFFSET
        self._ask = ask

    def list(self) -> Iterator[Table]:
        for schema, name, kind, comment in self._ask(LIST_QUERY, []):
            yield Table((schema, name), kind, comment)

    def look_up(self, path: Path) -> Facts:
        if len(path) > 2:
            raise no_such_table(path)
        named = self._ask(NAMES_QUERY, [path[0] if len(path) == 2 else "main", path[-1]])
        if not named:
            raise no_such_table(path)
        where = list(named[0])  # names are the same in any case
        columns = self._ask(FACTS_QUERY, where)
        return Facts(
            tuple(name for (name,) in self._ask(KEY_QUERY, where)),
            {name: nullable for name, nullable, _ in columns},
            {name: comment for name, _, comment in columns},
        )


def _no_connection() -> Any:
    raise AssertionError("The catalogue is asked through the adapter, never through a connection of SQLAlchemy's.")
