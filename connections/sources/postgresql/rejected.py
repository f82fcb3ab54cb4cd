"""A statement that the server refused, from its answer to words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import pq
from psycopg.pq.abc import PGresult

from connections.adapters.errors import AdapterError, NotAQueryError, ProtocolError, TooLargeError, UnreachableError
from connections.sources.postgresql.errors import rejected
from connections.sources.postgresql.statements import TEXT_FIELD, is_command
from connections.sources.postgresql.values import Bound


class Rejected(Exception):
    """The server refused a statement."""

    def __init__(self, result: PGresult) -> None:
        field = pq.DiagnosticField
        self.sqlstate = _text(result.error_field(field.SQLSTATE))
        self.message = _text(result.error_field(field.MESSAGE_PRIMARY)) or _text(result.error_message)
        self.hint = _text(result.error_field(field.MESSAGE_HINT)) or None
        position = result.error_field(field.STATEMENT_POSITION)
        # Characters from the text's start.
        self.position = int(position) - 1 if position and re.fullmatch(rb"[0-9]{1,9}", position) else None
        super().__init__(self.sqlstate)


def _text(raw: bytes | None) -> str:
    return raw.decode(errors="replace").strip() if raw else ""


def in_words(error: Rejected, bound: Bound, prefix: int) -> AdapterError:
    """A refusal as an error of ours. ``prefix`` is the length of what stood before the statement."""
    if not error.sqlstate:
        return of_libpq(error.message)
    at = None if error.position is None else max(0, error.position - prefix)
    if is_command(error.sqlstate, error.message, bound.statement.words, bound.text, at or 0):
        return NotAQueryError("The statement is not a query, or it does more than read.", field=TEXT_FIELD)
    place = None if at is None else bound.place(at)
    return rejected(error.sqlstate, error.message, place=place, hint=error.hint)


@contextmanager
def own_question() -> Iterator[None]:
    """Inside, an answer to a question of ours that has not the shape asked for becomes ``ProtocolError``."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise _no_postgresql() from None


def of_libpq(message: str) -> AdapterError:
    """What libpq itself says of an answer or of a lost connection: the server's refusals all have a code."""
    if re.search(r"out of memory|allocate memory", message):
        return TooLargeError("The answer needs more memory than the job has.", hint="Ask for fewer rows or columns.")
    if _LOST.search(message) or not message.strip():
        return UnreachableError("The server ended the connection.", field="/config/host")
    return _no_postgresql()


def _no_postgresql() -> ProtocolError:
    return ProtocolError("The server does not keep to PostgreSQL's protocol.", field="/config/port")


# Not "lost synchronization": that is what libpq says of bytes that are no message.
_LOST = re.compile(r"closed the connection|no connection|could not (receive|send) data|SSL|timed out")
