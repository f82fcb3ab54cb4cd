"""Which of a file's own views, macros and computed columns call what no text may call.

The words of a text do not show what a view that it names is made of. What is stored is judged by its definition, and
by those of what that names in turn: a word that is only a text or a column's name there counts all the same.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from typing import Final

import duckdb

# DuckDB writes these definitions from what it would run, whatever text they were made of.
_DEFINITIONS: Final = (
    "select view_name, sql from duckdb_views() where not internal "
    "union all select table_name, sql from duckdb_tables() where contains(lower(sql), 'generated always as') "
    "union all select function_name, macro_definition from duckdb_functions() "
    "where not internal and macro_definition is not null"
)
# What a macro takes for arguments that are left out stands in no definition.
_MACROS: Final = (
    "select schema_name, function_name, function_type = 'table_macro', max(len(parameters)) from duckdb_functions() "
    "where not internal and macro_definition is not null and len(parameters) > 0 group by all"
)
_RUNS_A_TEXT: Final = re.compile(r'\bquery(?:_table)?"?\s*\(', re.IGNORECASE)
"""Calls whose arguments are texts, in which a name can be put together."""
_ANYTHING: Final = "query("
"""The definition of what may come to anything."""
_KEPT: Final = 64
_answers: dict[tuple[int, ...], frozenset[str]] = {}


def naming(database: duckdb.DuckDBPyConnection, file: int, denied: Collection[str]) -> frozenset[str]:
    """The names, case-folded, of what is stored in the open database and comes to one of ``denied``.

    The definitions are read once for each state of ``file``: DuckDB takes some 20 milliseconds for that.
    """
    found = os.fstat(file)
    state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    if state not in _answers:
        if len(_answers) >= _KEPT:
            _answers.clear()
        definitions = database.execute(_DEFINITIONS).fetchall()
        macros = database.execute(_MACROS).fetchall()
        definitions += [(macro[1], _ANYTHING) for macro in macros if not _takes_all(database, *macro)]
        _answers[state] = _reaching(definitions, denied)
    return _answers[state]


def _takes_all(database: duckdb.DuckDBPyConnection, schema: str, name: str, of_tables: bool, most: int) -> bool:
    """Whether a macro takes nothing for arguments that are left out. DuckDB tells who gives too many.

    It tells what comes of such a value, not what it is made of.
    """
    quoted = ".".join('"{}"'.format(part.replace('"', '""')) for part in (schema, name))
    call = f"{quoted}({', '.join(['null'] * (most + 1))})"
    try:
        database.execute(f"explain select * from {call}" if of_tables else f"explain select {call}")  # noqa: S608  quoted
    except duckdb.Error as exc:
        told = str(exc).partition("Candidate macros:")[2]
        return bool(told) and ":=" not in told
    return False


def _reaching(definitions: list[tuple[str, str]], denied: Collection[str]) -> frozenset[str]:
    reaching = {name.casefold() for name, text in definitions if _RUNS_A_TEXT.search(text)}
    left = [(name.casefold(), text) for name, text in definitions]
    fresh = {*denied, *reaching}
    while fresh:
        words = "|".join(re.escape(name.replace('"', '""')) for name in sorted(fresh))
        pattern = re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE)
        left = [(name, text) for name, text in left if name not in reaching]
        fresh = {name for name, text in left if pattern.search(text)}
        reaching |= fresh
    return frozenset(reaching)
