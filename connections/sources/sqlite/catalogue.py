"""What a SQLite file says of its own tables, and of the columns of a statement."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace

from connections.adapters.contract import Table
from connections.adapters.sql.lexis import Kind, Lexis, tokens
from connections.adapters.sql.parameters import Statement
from connections.adapters.sql.tables import Facts, Path, Tables, no_such_table


class SQLiteTables(Tables):
    """Paths are one name long: a file has one schema."""

    def list(self) -> Iterator[Table]:
        for table in super().list():
            yield replace(table, path=table.path[-1:])

    def look_up(self, path: Path) -> Facts:
        if len(path) > 1:  # to SQLite the name before is that of an attached file, which there never is
            raise no_such_table(path)
        return super().look_up(path)


def declared_types(
    connection: sqlite3.Connection, statement: Statement, lexis: Lexis, count: int
) -> Sequence[str | None]:
    """The declared types of a statement's ``count`` columns; None for those that are computed.

    Python's driver does not tell them, but SQLite works them out for a view. A view takes no parameters: each
    becomes null, as the view is never read.
    """
    try:
        connection.execute(f"create temp view described as {_without_parameters(statement, lexis)}")
        found = connection.execute("pragma temp.table_info(described)").fetchall()
    except sqlite3.Error:  # no select: EXPLAIN
        found = []
    connection.execute("drop view if exists temp.described")
    return [row[2] or None for row in found] if len(found) == count else [None] * count


def _without_parameters(statement: Statement, lexis: Lexis) -> str:
    if not statement.values:
        return statement.text
    parts: list[str] = []
    for token in tokens(statement.text, lexis):
        if parts and parts[-1] == "?" and token.kind is Kind.NUMBER:
            parts[-1] = "null"
        else:
            parts.append(token.text)
    return "".join(parts)
