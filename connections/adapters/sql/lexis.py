"""SQL text as tokens, as far as finding parameters needs it: what is code, and what only looks like it.

This is no parser and no wall: whether a statement may run is the source's own decision. It says where a ``:name``
stands outside literals, quoted names and comments, and how many statements there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache


@dataclass(frozen=True, slots=True)
class Lexis:
    """How one dialect writes literals, names and comments."""

    backslash_escapes: bool = False
    """In '…' and "…", a backslash keeps the next character (MySQL). PostgreSQL's E'…' is known by its letter."""
    escape_strings: bool = False
    """E'…' has backslash escapes (PostgreSQL)."""
    backtick_names: bool = False
    bracket_names: bool = False
    dollar_quotes: bool = False
    nested_comments: bool = False
    hash_comments: bool = False
    dashes_need_space: bool = False
    """``--`` is a comment only before white space (MySQL), else two minus signs."""


class Kind(StrEnum):
    BLANK = "blank"
    COMMENT = "comment"
    QUOTED = "quoted"
    WORD = "word"
    NUMBER = "number"
    PARAMETER = "parameter"
    SIGN = "sign"


@dataclass(frozen=True, slots=True)
class Token:
    kind: Kind
    text: str
    start: int


PERMISSIVE = Lexis(nested_comments=True, hash_comments=True)


def is_blank(text: str) -> bool:
    """Whether ``text`` is empty in every dialect: blanks, comments and semicolons."""
    return all(token.kind in (Kind.BLANK, Kind.COMMENT) or token.text == ";" for token in tokens(text, PERMISSIVE))


def tokens(text: str, lexis: Lexis) -> Iterator[Token]:
    """The tokens of ``text``, all of it. What is not closed reaches to the end, and is the source's to refuse."""
    pattern = _pattern(lexis)
    position = 0
    while position < len(text):
        found = pattern.match(text, position)
        if found is None:  # the pattern ends in "any character"
            raise AssertionError(f"No token at {position}.")
        kind, end = Kind(found.lastgroup or ""), found.end()
        if found[0] == "/*":
            kind, end = Kind.COMMENT, _comment_end(text, position, lexis.nested_comments)
        yield Token(kind, text[position:end], position)
        position = end


_BLOCK = re.compile(r"/\*|\*/")


def _comment_end(text: str, start: int, nested: bool) -> int:
    depth = 0
    for found in _BLOCK.finditer(text, start):
        if found[0] == "*/":
            depth -= 1
        elif nested or depth == 0:
            depth += 1
        if depth == 0:
            return found.end()
    return len(text)


@cache
def _pattern(lexis: Lexis) -> re.Pattern[str]:
    blank = r"\s+"
    # MySQL's own idea of white space: another would let a text hide code from us, or from the server.
    comment = [r"--(?=[\x00-\x20\x7f]|\Z)[^\n]*" if lexis.dashes_need_space else r"--[^\n]*"]
    if lexis.hash_comments:
        comment.append(r"\#[^\n]*")
    quoted = []
    if lexis.escape_strings:
        quoted.append(r"[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z)")
    if lexis.dollar_quotes:
        quoted.append(r"\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z)")
    for sign in "'\"":
        plain = rf"[^{sign}\\]|\\." if lexis.backslash_escapes else rf"[^{sign}]"
        quoted.append(rf"{sign}(?:{plain}|{sign}{sign})*(?:{sign}|\Z)")
    if lexis.backtick_names:
        quoted.append(r"`(?:[^`]|``)*(?:`|\Z)")
    if lexis.bracket_names:
        quoted.append(r"\[[^\]]*(?:\]|\Z)")
    parts = [
        (Kind.BLANK, blank),
        (Kind.COMMENT, "|".join(comment)),
        (Kind.QUOTED, "|".join(quoted)),
        (Kind.WORD, r"[^\W\d][\w$]*"),
        (Kind.NUMBER, r"\d[\w.]*"),
        # After a word, a number, a closing sign or a quote, a colon is a slice's, a label's or a cast's.
        (Kind.PARAMETER, r"(?<![\w:)\]'\"`]):[^\W\d]\w*(?!\w)"),
        (Kind.SIGN, r"::|:=|/\*|."),
    ]
    return re.compile("|".join(f"(?P<{kind}>{part})" for kind, part in parts), re.DOTALL)
