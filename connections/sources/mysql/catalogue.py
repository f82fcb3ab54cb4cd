"""What the server's catalogue says of tables, asked through the guard like everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from connections.adapters.contract import Row, Table
from connections.adapters.sql.parameters import Statement
from connections.adapters.sql.tables import Facts, Path, Tables, no_such_table

LIST_QUERY = """
select table_schema, table_name, table_type, table_comment from information_schema.tables
where table_schema not in ('information_schema', 'mysql', 'performance_schema', 'sys')
order by table_schema, table_name
"""
FACTS_QUERY = """
select column_name, is_nullable, column_comment from information_schema.columns
where table_schema = coalesce(?, database()) and table_name = ? order by ordinal_position
"""
# Of a table the user sees no constraints of, the columns still tell; of the order in the key, the statistics do.
KEY_QUERY = """
select column_name from information_schema.statistics
where table_schema = coalesce(?, database()) and table_name = ? and index_name = 'PRIMARY' order by seq_in_index
"""

Ask = Callable[[Statement], Iterator[Row]]


class MySQLTables(Tables):
    """Paths are (database, name). A name alone is looked for in the connection's database."""

    def __init__(self, ask: Ask) -> None:
        super().__init__("mysql+pymysql://", _no_connection)
        self._ask = ask

    def list(self) -> Iterator[Table]:
        for schema, name, kind, comment in self._ask(Statement(LIST_QUERY)):
            is_view = "VIEW" in kind
            yield Table((schema, name), "view" if is_view else "table", None if is_view else comment or None)

    def look_up(self, path: Path) -> Facts:
        if len(path) > 2:
            raise no_such_table(path)
        values = (path[-2] if len(path) == 2 else None, path[-1])
        columns = list(self._ask(Statement(FACTS_QUERY, values)))
        if not columns:
            raise no_such_table(path)
        return Facts(
            tuple(name for (name,) in self._ask(Statement(KEY_QUERY, values))),
            {name: nullable == "YES" for name, nullable, _ in columns},
            {name: comment or None for name, _, comment in columns},
        )


def _no_connection() -> Any:
    raise AssertionError("The catalogue is asked through the guard, never through a connection of SQLAlchemy's.")
