"""What PostgreSQL's catalogue says of tables, asked through the guard like everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from connections.adapters.contract import Row, Table
from connections.adapters.sql.parameters import Statement
from connections.adapters.sql.tables import Facts, Path, Tables, no_such_table

LIST_QUERY = """
select n.nspname::text, c.relname::text, c.relkind in ('v', 'm'), pg_catalog.obj_description(c.oid, 'pg_class')
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'f', 'v', 'm') and n.nspname not in ('pg_catalog', 'information_schema')
  and n.nspname not like 'pg\\_%' and pg_catalog.has_schema_privilege(n.oid, 'usage')
  and pg_catalog.has_table_privilege(c.oid, 'select')
order by n.nspname collate "C", c.relname collate "C"
"""
FACTS_QUERY = """
select a.attname::text, not a.attnotnull, pg_catalog.col_description(a.attrelid, a.attnum),
       pg_catalog.array_position(i.indkey::int2[], a.attnum)
from pg_catalog.pg_attribute a
left join pg_catalog.pg_index i on i.indrelid = a.attrelid and i.indisprimary
where a.attrelid = pg_catalog.to_regclass($1) and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""

Ask = Callable[[Statement], Iterator[Row]]


class PostgreSQLTables(Tables):
    """Paths are (schema, name). A name alone is looked for as the session would; of three the first is the database."""

    def __init__(self, ask: Ask, database: str) -> None:
        super().__init__("postgresql+psycopg://", _no_connection)
        self._ask = ask
        self._database = database

    def list(self) -> Iterator[Table]:
        for schema, name, is_view, comment in self._ask(Statement(LIST_QUERY)):
            yield Table((schema, name), "view" if is_view else "table", comment)

    def look_up(self, path: Path) -> Facts:
        if len(path) > 3 or (len(path) == 3 and path[0] != self._database):
            raise no_such_table(path)
        name = ".".join(self._quote(part) for part in path[-2:]).replace(r"\:", ":")
        rows = list(self._ask(Statement(FACTS_QUERY, (name,))))
        if not rows:
            raise no_such_table(path)
        key = sorted((position, column) for column, _, _, position in rows if position is not None)
        return Facts(
            tuple(column for _, column in key),
            {column: nullable for column, nullable, _, _ in rows},
            {column: comment for column, _, comment, _ in rows},
        )


def _no_connection() -> Any:
    raise AssertionError("The catalogue is asked through the guard, never through a connection of SQLAlchemy's.")
