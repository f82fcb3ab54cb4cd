"""What a statement may be, and what a login may do.

The walls are the server's: a role that may only read, a read-only transaction, one statement at a time, a time limit.
The look at the text here is for what those leave open (files, locks, session settings) and for early, clear words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from connections.adapters.errors import NotAQueryError, QueryForbiddenError
from connections.adapters.sql.lexis import Kind, Lexis, Token, tokens

TEXT_FIELD = "/query/sql"
LEXIS = Lexis(backslash_escapes=True, backtick_names=True, hash_comments=True, dashes_need_space=True)

ROOTS = frozenset({"select", "with", "values", "table", "show", "describe", "desc", "explain", "("})
_LOCKS = (("for", "update"), ("for", "share"), ("lock", "in", "share", "mode"))
# The lexer's idea of blanks and of the end of a comment is the server's for these characters only.
_ODD = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_RUN_COMMENT = re.compile(r"/\*M?!", re.IGNORECASE)
_SETTING_HINT = re.compile(r"/\*\+.*\b(set_var|max_execution_time|resource_group)\b", re.IGNORECASE | re.DOTALL)


def require_reading(text: str) -> None:
    """Raise ``NotAQueryError`` unless ``text`` looks like one statement that only reads."""
    if _ODD.search(text):
        raise NotAQueryError("The text holds a control character.", field=TEXT_FIELD)
    found = list(tokens(text, LEXIS))
    words = [token.text.casefold() for token in found if token.kind not in (Kind.BLANK, Kind.COMMENT)]
    if words[0] not in ROOTS:
        raise NotAQueryError(
            "The statement is not one that reads.",
            field=TEXT_FIELD,
            hint="SELECT, WITH, VALUES, TABLE, SHOW, DESCRIBE and EXPLAIN read.",
        )
    for token in found:
        _require_plain(token)
    if any(tuple(words[at : at + len(lock)]) == lock for at in range(len(words)) for lock in _LOCKS):
        raise NotAQueryError("The statement locks the rows it reads.", field=TEXT_FIELD)
    if words[0] in ("explain", "describe", "desc") and "analyze" in words[1:6]:
        raise NotAQueryError("EXPLAIN ANALYZE runs the statement.", field=TEXT_FIELD, hint="Leave ANALYZE out.")
    if words[0] == "show" and ("grants" in words[1:2] or words[1:3] == ["create", "user"]):
        raise QueryForbiddenError("The answer may hold hashes of passwords.", field=TEXT_FIELD)


def _require_plain(token: Token) -> None:
    if token.kind is Kind.COMMENT and _RUN_COMMENT.match(token.text):
        raise NotAQueryError("The server would run what stands in a comment that begins with /*!.", field=TEXT_FIELD)
    if token.kind is Kind.COMMENT and _SETTING_HINT.match(token.text):
        raise NotAQueryError("A hint changes the session's settings.", field=TEXT_FIELD)
    # "1.5into" is two words to the server.
    if token.kind in (Kind.WORD, Kind.NUMBER) and token.text.casefold().endswith("into"):
        raise NotAQueryError("INTO writes to a file or a variable.", field=TEXT_FIELD)


# Rights --------------------------------------------------------------------------------------------------------

# What a login may hold on all databases and still be one that reads. All else there is administration, or writes.
_HARMLESS = frozenset(
    """
    usage, select, references, execute, show databases, show view, show create routine, show_routine,
    create temporary tables, lock tables, replication client, binlog monitor, slave monitor, replica monitor
    """.replace("\n", " ")
    .strip()
    .split(", ")
)
_WRITES = frozenset(
    """
    all privileges, insert, update, delete, delete history, create, drop, alter, index, trigger, event, create view,
    create routine, alter routine
    """.replace("\n", " ")
    .strip()
    .split(", ")
)


@dataclass(frozen=True, slots=True)
class Rights:
    """What a login may do beyond reading. ``unsafe`` holds what a preview cannot be kept from using."""

    unsafe: tuple[str, ...] = ()
    writes: bool = False

    @classmethod
    def of(cls, grants: Iterable[str]) -> Rights:
        """From the lines of SHOW GRANTS."""
        unsafe: set[str] = set()
        writes = False
        for line in grants:
            privileges, everywhere = _grant(line)
            writes = writes or bool(privileges & _WRITES)
            if everywhere:
                unsafe |= privileges - _HARMLESS
                if re.search(r"\bWITH\b.*\bGRANT OPTION\b", line):
                    unsafe.add("grant option")
        return cls(tuple(sorted(unsafe)), writes)


def _grant(line: str) -> tuple[set[str], bool]:
    """The privileges of one line, in lower case without columns, and whether they are on all databases."""
    code = [token for token in tokens(line, LEXIS) if token.kind not in (Kind.BLANK, Kind.COMMENT)]
    words = [token.text.casefold() for token in code]
    if words[:1] != ["grant"] or "on" not in words or words[1:2] == ["proxy"]:
        return set(), False  # a role, whose own rights have lines of their own
    at = words.index("on")
    return set(_privileges(words[1:at])), words[at + 1 : at + 4] == ["*", ".", "*"]


def _privileges(words: list[str]) -> Iterator[str]:
    name: list[str] = []
    depth = 0
    for word in [*words, ","]:
        depth += (word == "(") - (word == ")")
        if depth or word == ")":
            continue
        if word == ",":
            yield " ".join(name)
            name = []
        else:
            name.append(word)
