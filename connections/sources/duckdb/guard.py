"""What a statement may be in DuckDB: one query over the file's own tables, with functions that compute.

The walls are DuckDB's own settings (no file but the database's, no extension, no change of settings) and the worker's
limits. The look at the parsed statement here keeps out what those leave: functions that run other texts, show the
computer's paths or write a log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import duckdb

from connections.adapters.errors import NotAQueryError, QueryForbiddenError
from connections.adapters.sql.lexis import Kind, Lexis, tokens
from connections.sources.duckdb.stored import naming

TEXT_FIELD = "/query/sql"
LEXIS = Lexis(escape_strings=True, dollar_quotes=True, nested_comments=True)

SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_unsigned_extensions": False,
    "python_enable_replacements": False,
    "temp_directory": "",
    "threads": 1,
}

# Table functions that only make rows out of their arguments, or tell about the file's own tables.
_TABLE_FUNCTIONS = frozenset(
    {
        "unnest", "range", "generate_series", "repeat", "repeat_row", "json_each", "json_tree", "summary",
        "test_all_types", "duckdb_columns", "duckdb_constraints", "duckdb_functions", "duckdb_indexes",
        "duckdb_keywords", "duckdb_schemas", "duckdb_sequences", "duckdb_tables", "duckdb_types", "duckdb_views",
        "pragma_table_info", "pragma_version", "pg_timezone_names", "icu_calendar_names",
    }
)  # fmt: skip
_DENIED_FUNCTIONS = frozenset(
    {
        "write_log", "current_setting", "getenv", "which_secret", "json_execute_serialized_sql", "nextval", "setseed",
        "json_serialize_plan",  # plans a text, and so computes what is constant in it
    }
)  # fmt: skip
_DENIED_TABLES = frozenset(
    {
        "duckdb_databases", "duckdb_extensions", "duckdb_external_file_cache", "duckdb_log_contexts", "duckdb_logs",
        "duckdb_secrets", "duckdb_settings", "duckdb_temporary_files", "pg_settings", "pragma_database_list",
    }
)  # fmt: skip
_SHOWING = (_DENIED_FUNCTIONS | _DENIED_TABLES) - {"nextval", "setseed"}
"""What shows the computer. The other two change something; a file that is open for reading refuses that by itself."""


def lock(database: duckdb.DuckDBPyConnection) -> None:
    """Pin what the settings mean and lock them. Raises ``RuntimeError`` unless every one is as it was set."""
    database.execute("set global TimeZone = 'UTC'")
    database.execute("set global lock_configuration = true")
    wanted = SETTINGS | {"lock_configuration": True}
    for name, value in wanted.items():
        found = database.execute("select current_setting($1)", [name]).fetchone()
        if found is None or found[0] != value:
            raise RuntimeError(f"DuckDB did not take the setting {name}.")


def stored_denied(database: duckdb.DuckDBPyConnection, file: int) -> frozenset[str]:
    """Names of what is stored in the open database, itself open as ``file``, that no query may use."""
    return naming(database, file, _SHOWING)


def require_reading(database: duckdb.DuckDBPyConnection, text: str, stored: frozenset[str]) -> bool:
    """Raise unless ``text`` is one query that only reads. The answer: whether it can stand inside another query.

    ``stored`` are the names that ``stored_denied`` gives for the file.
    """
    statements = database.extract_statements(text)
    if len(statements) != 1:
        raise NotAQueryError("Send one statement.", field=TEXT_FIELD)
    kind = statements[0].type
    if kind == duckdb.StatementType.EXPLAIN:
        _require_plan_only(database, text, stored)
        return False
    if kind != duckdb.StatementType.SELECT:
        raise NotAQueryError("The statement does more than read.", field=TEXT_FIELD)
    for node in _nodes(_parsed(database, text)):
        _require_plain(node)
        _require_none(node, stored)
    return _words(text)[0] not in ("show", "describe", "desc", "summarize")


def _require_plan_only(database: duckdb.DuckDBPyConnection, text: str, stored: frozenset[str]) -> None:
    """EXPLAIN binds what it explains, and ANALYZE runs it."""
    words = _words(text)
    if "analyze" in words[1:8]:
        raise NotAQueryError("EXPLAIN ANALYZE runs the statement.", field=TEXT_FIELD, hint="Leave ANALYZE out.")
    after = next(token.start for token in tokens(text, LEXIS) if token.text.casefold() == "explain") + len("explain")
    inner = text[after:]
    if words[1:2] == ["("] and words[2:3] == ["format"]:
        inner = inner[inner.index(")") + 1 :]
    require_reading(database, inner, stored)


def _words(text: str) -> list[str]:
    code = (token for token in tokens(text, LEXIS) if token.kind not in (Kind.BLANK, Kind.COMMENT))
    return [token.text.casefold() for token in code]


def _parsed(database: duckdb.DuckDBPyConnection, text: str) -> Any:
    found = database.execute("select json_serialize_sql($1)", [text]).fetchone()
    tree = json.loads(found[0]) if found else {"error": True}
    if tree["error"]:
        raise NotAQueryError("The statement is not one that can be judged.", field=TEXT_FIELD)
    return tree["statements"]


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a parsed statement."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _require_plain(node: dict[str, Any]) -> None:
    match node:
        case {"type": "TABLE_FUNCTION", "function": {"function_name": str(name)}}:
            if name.casefold() not in _TABLE_FUNCTIONS:
                raise QueryForbiddenError(f"The table function {name} may not be called here.", field=TEXT_FIELD)
        case {"function_name": str(name)} if name.casefold() in _DENIED_FUNCTIONS:
            raise QueryForbiddenError(f"The function {name} may not be called here.", field=TEXT_FIELD)
        case {"type": "BASE_TABLE", "table_name": str(name)} if name.casefold() in _DENIED_TABLES:
            raise QueryForbiddenError(f"{name} tells of the computer, not of the file.", field=TEXT_FIELD)


def _require_none(node: dict[str, Any], stored: frozenset[str]) -> None:
    for key in ("table_name", "function_name"):
        name = node.get(key)
        if isinstance(name, str) and name.casefold() in stored:
            raise QueryForbiddenError(
                f"{name} is stored in the file and uses what may not be used here.", field=TEXT_FIELD
            )
