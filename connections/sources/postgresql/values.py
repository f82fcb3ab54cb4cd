"""Parameters as PostgreSQL takes them: a text and a type, as psycopg would choose it.

Texts and nulls have no type of their own: the server takes them for what the place asks (a date, a uuid). Numbers
and booleans are typed, so that ``select :n + 1`` is a number.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from dataclasses import dataclass, replace
from typing import Any

from connections.adapters.sql.parameters import Statement
from connections.sources.postgresql.errors import place_in

UNKNOWN = 0
# pg_type.dat: oid, and the oid of its array
BOOL, BYTEA, TEXT, INT4, INT8, FLOAT8, NUMERIC = 16, 17, 25, 23, 20, 701, 1700
TEXT_ARRAY = 1009
ARRAYS = {UNKNOWN: UNKNOWN, BOOL: 1000, BYTEA: 1001, INT4: 1007, INT8: 1016, FLOAT8: 1022, NUMERIC: 1231}
_WIDTH = (INT4, INT8, NUMERIC, FLOAT8)  # of numbers in one list, the widest wins


@dataclass(frozen=True, slots=True)
class Bound:
    """A statement with its values encoded. ``original`` is the text that the user sent, None for one of ours."""

    text: str
    values: list[bytes | None] | None
    types: list[int] | None
    statement: Statement
    original: str | None = None

    def place(self, offset: int) -> str | None:
        """Where ``offset`` of our text is in the user's."""
        if self.original is None or not 0 <= offset <= len(self.text):
            return None
        return place_in(self.original, self.statement.origin(offset))


def encode(statement: Statement) -> Bound:
    """The statement's values in the text format of the extended protocol."""
    if not statement.values:
        return Bound(statement.text, None, None, statement, statement.original)
    pairs = [_encoded(value) for value in statement.values]
    return Bound(
        statement.text, [pair[0] for pair in pairs], [pair[1] for pair in pairs], statement, statement.original
    )


def as_text(bound: Bound, number: int) -> Bound | None:
    """The same where ``$number`` is a text (a list: of texts); None when it has a type or there is no such."""
    types, at = list(bound.types or ()), number - 1
    if not 0 <= at < len(types) or types[at] != UNKNOWN:
        return None
    types[at] = _text_type(bound.statement.values[at])
    return replace(bound, types=types)


def as_texts(bound: Bound) -> Bound:
    """The same where each value without a type is a text (a list: of texts)."""
    typed = zip(bound.types or (), bound.statement.values, strict=True)
    return replace(bound, types=[_text_type(value) if kind == UNKNOWN else kind for kind, value in typed])


def _text_type(value: Any) -> int:
    return TEXT_ARRAY if isinstance(value, list) else TEXT


def _encoded(value: Any) -> tuple[bytes | None, int]:
    if value is None:
        return None, UNKNOWN
    if isinstance(value, list):
        return _array(value).encode(), ARRAYS[_common(value)]
    return _text(value).encode(), _type(value)


def _type(value: Any) -> int:
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, int):
        return INT4 if -(2**31) <= value < 2**31 else INT8 if -(2**63) <= value < 2**63 else NUMERIC
    if isinstance(value, float):
        return FLOAT8
    if isinstance(value, decimal.Decimal):
        return NUMERIC
    return BYTEA if isinstance(value, bytes) else UNKNOWN


def _common(values: list[Any]) -> int:
    """The type of a list's elements; unknown, and so the server's choice, where they have none in common."""
    kinds = {_type(value) for value in values if value is not None}
    if len(kinds) == 1:
        return kinds.pop()
    if kinds and kinds <= set(_WIDTH):
        return max(kinds, key=_WIDTH.index)
    return UNKNOWN


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return f"{value.days} days {value.seconds}.{value.microseconds:06} seconds"
    if isinstance(value, uuid.UUID):
        return str(value)
    return str(value)


def _array(values: list[Any]) -> str:
    return "{" + ",".join("NULL" if value is None else _quoted(_text(value)) for value in values) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
