"""How a text is bound when the server cannot make its parameters' types out at first.

The server gives each ``$1`` one type, from the first place that tells. That is right for most texts, and needed where
a grouping must be the same expression as a column. Where the places of one name ask for different types
(``:day is null or placed > :day``), each gets a placeholder of its own. What no place tells is a text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from connections.adapters.errors import AdapterError, QueryError
from connections.sources.postgresql.errors import TEXT_FIELD
from connections.sources.postgresql.rejected import Rejected, in_words
from connections.sources.postgresql.values import Bound, as_text, as_texts, encode

MOST_VALUES = 65_535  # of one statement in the protocol: a count of 16 bits

NO_TYPE = "42P18"
GROUPING = ("42803", "42P10")
"""A column is not grouped, or not in the list of SELECT DISTINCT: two placeholders are two expressions."""
OTHER_TYPE = frozenset({"42P08", "42804", "42846", "42883", "22P02", "22007"})
"""What comes of a parameter that has the type of another place: ambiguous, mismatched, without a cast, without an
operator, or with a value that is none of that type. Each may be the text's own fault; then it comes again."""

Answer = TypeVar("Answer")


def attempt(run: Callable[[Bound], Answer], bound: Bound, prefix: int) -> Answer:
    """What ``run`` answers to ``bound``, or to a better binding of the same text.

    ``prefix`` is the length of what stands before the text. Raises what the server refused as an error of ours.
    """
    shared, ambiguous = bound, False
    while True:
        try:
            return run(bound)
        except Rejected as error:
            if error.sqlstate in GROUPING and bound.statement is not shared.statement:
                bound, ambiguous = as_texts(shared), True
                continue
            better = None if ambiguous else _better(bound, error)
            if better is None:
                two_types = ambiguous and error.sqlstate not in GROUPING
                raise _two_types() if two_types else in_words(error, bound, prefix) from None
            bound = better


def _better(bound: Bound, error: Rejected) -> Bound | None:
    """Another binding that may do where this one was refused; None when there is none."""
    if error.sqlstate == NO_TYPE:
        told = re.search(r"\$([0-9]{1,5})\b", error.message)  # the number is the same in every language
        return as_text(bound, int(told[1])) if told else None
    apart = bound.statement.apart
    if error.sqlstate in OTHER_TYPE and apart is not None and len(apart.values) <= MOST_VALUES:
        return encode(apart)
    return None


def _two_types() -> AdapterError:
    return QueryError(
        "A parameter stands where different types are asked for, and the grouping needs it to be of one.",
        field=TEXT_FIELD,
        hint="Say what the parameter is at each place, as in :name::text.",
    )
