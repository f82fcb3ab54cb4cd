"""What DuckDB says went wrong, as errors of ours."""

from __future__ import annotations

import re

from connections.adapters.errors import (
    AdapterError,
    DeadlineError,
    InternalError,
    NotAQueryError,
    ProtocolError,
    QueryError,
    QueryForbiddenError,
    TooLargeError,
    UnreachableError,
)
from connections.adapters.files.databases import PATH_FIELD

TEXT_FIELD = "/query/sql"


def failed(exc: Exception, *, opened: bool) -> AdapterError | None:
    """DuckDB's error as one of ours; None for what is not DuckDB's. ``opened``: whether the file was open by then."""
    import duckdb

    if not isinstance(exc, duckdb.Error):
        return None
    text = str(exc)
    if not opened:
        return _not_opened(text)
    if isinstance(exc, duckdb.InterruptException):
        return DeadlineError("The query was stopped when its time ran out.")
    if isinstance(exc, duckdb.OutOfMemoryException):
        return TooLargeError("The query needs more memory than it may have.", field=TEXT_FIELD)
    if isinstance(exc, duckdb.PermissionException):
        return QueryForbiddenError("Files, extensions and settings are closed to queries.", field=TEXT_FIELD)
    if isinstance(exc, duckdb.FatalException | duckdb.InternalException):
        return InternalError("DuckDB failed in a way it does not know.")
    if "read-only mode" in text:
        return NotAQueryError("The statement does more than read.", field=TEXT_FIELD)
    return QueryError(_plain(text), field=TEXT_FIELD)


def _not_opened(text: str) -> AdapterError:
    """Messages about opening name the file's place on this computer: none is passed on."""
    if "lock" in text.lower():
        return UnreachableError(
            "Another program has the file open for writing.", field=PATH_FIELD, step="connect", hint="Close it there."
        )
    if "version" in text.lower():
        return ProtocolError("The file was written by a version of DuckDB that this one cannot read.", field=PATH_FIELD)
    return ProtocolError("The file is not a DuckDB database, or it is damaged.", field=PATH_FIELD)


_PREFIX = re.compile(r"^[A-Z][A-Za-z ]* Error: ")


def _plain(text: str) -> str:
    """DuckDB's message without its kind and without the picture of the text, which may be ours."""
    message = _PREFIX.sub("", text.split("\n\nLINE ")[0]).strip()
    return " ".join(message.split())
