"""How long somebody else's lock in the catalogue's own database is waited for, and what is said when that was too long.

A session waits ``CATALOG_LOCK_TIMEOUT`` seconds for each lock, as it is told when it is opened. Commands at a terminal
wait longer. Who has less time says so with ``within``.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from math import inf
from typing import Any, Final

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, InterfaceError, InternalError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from connections.services.errors import DatabaseAway
from connections.services.logs import Seldom

AWAY: Final = (OperationalError, InterfaceError, InternalError)
"""What Django raises when the database is locked, gone or, the last, read-only for a while."""
LEAST_SECONDS: Final = 1.0
"""What is waited where no time is left: long enough to put on record that there is none."""
_SHORTER_SECONDS: Final = 1.0
"""Less than this does not make a wait shorter: then nothing is said of it."""
_TERMINAL_SECONDS: Final = {"sqlite": 60.0}
"""What commands wait; any time where nothing is said. SQLite must be told something."""
_SQL: Final = {"postgresql": "set lock_timeout = %d", "sqlite": "pragma busy_timeout = %d"}
_STATE: Final = "_catalogue_patience"
_NOT_AVAILABLE: Final = "55P03"  # https://www.postgresql.org/docs/current/errcodes-appendix.html
_log: Final = logging.getLogger(__name__)
_locks: Final = Seldom(_log)
_NOTHING: Final = nullcontext()
_at_terminal = False


class Deadline:
    """The moment by which something is to be done."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until then; 0 when it is past."""
        return max(0.0, self._at - time.monotonic())

    def patience(self) -> float:
        """Seconds that may be waited for a lock: those left, or ``LEAST_SECONDS``."""
        return max(self.left(), LEAST_SECONDS)


def at_terminal() -> None:
    """Let this process wait as commands do: a migration, a rotation, a purge. Called at its start."""
    global _at_terminal
    _at_terminal = True


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Wait in this block for each lock at most so long. Then ``OperationalError`` is raised.

    Where a session would wait no longer anyhow, nothing is said to it; elsewhere this is a statement at either end.
    A pooler that shares sessions keeps none of it.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    before = _patience(connection)
    if seconds >= before - _SHORTER_SECONDS:
        yield
        return
    connection.ensure_connection()
    _tell(connection, seconds)
    try:
        yield
    finally:
        _tell(connection, before)


def within_at_no_cost(seconds: float) -> AbstractContextManager[None]:
    """``within`` on SQLite, whose locks are this host's. On PostgreSQL, where it would be a round trip, nothing."""
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.vendor != "sqlite" or seconds >= _patience(connection) - _SHORTER_SECONDS:
        return _NOTHING
    return within(seconds)


def away(exc: BaseException) -> DatabaseAway:
    """What is said of an error of ``AWAY``."""
    if not is_locked(exc):
        return DatabaseAway("The catalogue's own database does not answer.")
    return DatabaseAway(
        "Other work has held the catalogue's own database for too long.",
        hint="Try again shortly. If it stays so, tell the platform's operators: a transaction there does not end.",
    )


def is_locked(exc: BaseException) -> bool:
    """Whether an error of the database is that somebody else's lock was waited for too long."""
    cause = exc.__cause__
    if isinstance(cause, sqlite3.OperationalError):
        return cause.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return getattr(cause, "sqlstate", None) == _NOT_AVAILABLE


def log(exc: BaseException, request_id: str) -> None:
    """Tell operators of an error of ``AWAY``: of locks seldom, as many requests wait for the same one."""
    if is_locked(exc):
        _locks.tell("Somebody else's lock in the catalogue's own database was waited for too long")
    else:
        _log.error("The catalogue's database failed", exc_info=exc, extra={"request_id": request_id})


def connect() -> None:
    """Have new sessions told how long they wait."""
    connection_created.connect(_on_connection, dispatch_uid=__name__)


def _patience(connection: BaseDatabaseWrapper) -> float:
    """How long the session waits for each lock, in seconds."""
    raw, seconds = getattr(connection, _STATE, (None, inf))
    return float(seconds) if raw is not None and raw is connection.connection else _usual(connection)


def _usual(connection: BaseDatabaseWrapper) -> float:
    if _at_terminal:
        return _TERMINAL_SECONDS.get(connection.vendor, inf)
    return float(settings.CATALOG_LOCK_TIMEOUT)


def _tell(connection: BaseDatabaseWrapper, seconds: float) -> None:
    """Tell the session how long it waits. Any time at all is said as 0 in PostgreSQL, and never to SQLite."""
    raw = connection.connection
    if connection.vendor not in _SQL or raw is None or _is_shared(connection):
        return
    sql = _SQL[connection.vendor] % (0 if seconds == inf else max(1, round(seconds * 1000)))
    if connection.vendor == "sqlite":  # whose settings are in no transaction, failed or not
        raw.execute(sql)
    elif not _failed(connection):
        with connection.cursor() as cursor:
            cursor.execute(sql)
    setattr(connection, _STATE, (raw, seconds))


def _on_connection(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    if connection.alias == DEFAULT_DB_ALIAS and _usual(connection) != inf:
        _tell(connection, _usual(connection))


def _is_shared(connection: BaseDatabaseWrapper) -> bool:
    """Whether a pooler hands the session around: then the next statement may be another's."""
    return connection.vendor == "postgresql" and connection.connection.prepare_threshold is None


def _failed(connection: BaseDatabaseWrapper) -> bool:
    """Whether nothing can be said in this transaction. With its end, what was said in it is gone."""
    return connection.needs_rollback or connection.connection.info.transaction_status.name == "INERROR"
