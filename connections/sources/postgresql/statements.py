"""What kind of statement a text is, as far as the guard must know: queries stand behind a cursor, a few run alone."""

from __future__ import annotations

import re

from connections.adapters.errors import NotAQueryError

TEXT_FIELD = "/query/sql"

# What no cursor takes and is no query. The server refuses each of them anyway; this gives the refusal its name.
_COMMANDS = """
abort alter analyze begin call checkpoint close cluster comment commit copy create deallocate declare delete discard do
drop end execute fetch grant import insert listen load lock merge move notify prepare reassign refresh reindex release
reset revoke rollback savepoint security set start truncate unlisten update vacuum
"""
COMMANDS = frozenset(_COMMANDS.split())
_SELECT_INTO = re.compile(r"\binto\s+((temporary|temp|unlogged|local|global)\s+)*(table\s+)?$", re.IGNORECASE)
WRITES = ("insert", "update", "delete", "merge")

_EXPLAIN_OPTIONS = """
( ) , verbose costs settings generic_plan buffers memory format text xml json yaml on off true false 0 1
"""
EXPLAIN_OPTIONS = frozenset(_EXPLAIN_OPTIONS.split())


def stands_alone(words: tuple[str, ...]) -> bool:
    """Whether a statement reads without being a query: SHOW, and EXPLAIN where it runs nothing.

    Raises ``NotAQueryError`` for an EXPLAIN that would run its query. ``words`` are the statement's first words and
    signs, in lower case.
    """
    if words[:1] == ("show",):
        return True
    if words[:1] != ("explain",):
        return False
    if not _explains_only(words[1:]):
        raise NotAQueryError(
            "EXPLAIN works here without ANALYZE and without options that run the query.", field=TEXT_FIELD
        )
    return True


def _explains_only(rest: tuple[str, ...]) -> bool:
    if rest[:1] == ("(",) and ")" in rest:
        return set(rest[: rest.index(")")]) <= EXPLAIN_OPTIONS
    return rest[:1] != ("(",) and not {"analyze", "analyse"} & set(rest[:2] if rest[:1] == ("verbose",) else rest[:1])


def is_command(sqlstate: str, message: str, words: tuple[str, ...], text: str, at: int) -> bool:
    """Whether the server refused a statement because a cursor takes queries only. ``at`` is where it points."""
    if sqlstate == "0A000":
        return "DECLARE CURSOR" in message or "data-modifying" in message
    if sqlstate != "42601":
        return False
    first = words[0] if words else ""
    if first in COMMANDS or (first == "with" and text[at:].lower().startswith(WRITES)):
        return True
    return _SELECT_INTO.search(text[:at]) is not None
