"""What MySQL, MariaDB and PyMySQL say went wrong, as errors of ours."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from pymysql import err

from connections.adapters import tls
from connections.adapters.errors import (
    AdapterError,
    AuthenticationError,
    AuthorizationError,
    CancelledError,
    DeadlineError,
    NotAQueryError,
    ProtocolError,
    QueryError,
    QueryForbiddenError,
    RateLimitedError,
    TLSError,
    TooLargeError,
    UnreachableError,
)

TEXT_FIELD = "/query/sql"


def _unreachable(message: str) -> Callable[[], AdapterError]:
    return lambda: UnreachableError(message, field="/config/host", step="connect")


def _rejected() -> AdapterError:
    return AuthenticationError(
        "The server rejected the user name or password.", field="/secrets/password", step="authenticate"
    )


def _locked() -> AdapterError:
    return AuthenticationError(
        "The account is locked, or its password has expired.", field="/config/user", step="authenticate"
    )


def _no_database() -> AdapterError:
    return AuthorizationError(
        "There is no such database, or the user may not use it.", field="/config/database", step="database"
    )


def _wrong_place() -> AdapterError:
    return AuthorizationError(
        "The server does not let anybody log in from the catalogue's address.",
        field="/config/host",
        step="authenticate",
    )


def _full() -> AdapterError:
    return RateLimitedError("The server, or its limit for this user, has no connection left.", retry_after=5.0)


def _no_tls() -> AdapterError:
    return TLSError(
        "The server does not offer TLS.",
        field="/config/tls",
        step="tls",
        hint="Turn TLS on at the server, or choose another verification.",
    )


def _needs_tls() -> AdapterError:
    return TLSError(
        "The server accepts this login only encrypted.",
        field="/config/tls",
        step="tls",
        hint="Turn on TLS (verify-full).",
    )


# https://mariadb.com/kb/en/mariadb-error-codes/ and https://dev.mysql.com/doc/mysql-errors/8.4/en/
SESSION_ERRORS: dict[int, Callable[[], AdapterError]] = (
    dict.fromkeys((1045, 1698), _rejected)
    | dict.fromkeys((1820, 1862, 3118, 3955, 4151), _locked)
    | dict.fromkeys((1044, 1049), _no_database)
    | dict.fromkeys((1129, 1130), _wrong_place)
    | dict.fromkeys((1040, 1203, 1226), _full)
    | dict.fromkeys((0, 1053, 1927, 2006, 2013, 4031), _unreachable("The server ended the connection."))
    | dict.fromkeys((1158, 1159, 1160, 1161), _unreachable("The connection to the server broke."))
    | {2003: _unreachable("The server cannot be reached."), 2026: _no_tls, 3159: _needs_tls}
)
STATEMENT_ERRORS: dict[int, type[AdapterError]] = {
    1044: QueryForbiddenError,
    1142: QueryForbiddenError,
    1143: QueryForbiddenError,
    1227: QueryForbiddenError,
    1370: QueryForbiddenError,
    1290: NotAQueryError,
    1792: NotAQueryError,
    1836: NotAQueryError,
    1969: DeadlineError,
    3024: DeadlineError,
    1317: CancelledError,
    1205: RateLimitedError,
    1213: RateLimitedError,
    1037: TooLargeError,
    1038: TooLargeError,
    1041: TooLargeError,
    1153: TooLargeError,
}
_WORDS = {
    NotAQueryError: "The statement does more than read.",
    DeadlineError: "The query was stopped when its time ran out.",
    CancelledError: "The query was cancelled at the server.",
}
_DUPLICATE_COLUMN = 1060


def failed(exc: err.MySQLError, *, logged_in: bool, overdue: bool) -> AdapterError:
    """One of ours for what the driver raised. ``logged_in``: about a statement; ``overdue``: after the deadline."""
    number = exc.args[0] if exc.args and isinstance(exc.args[0], int) else None
    text = str(exc.args[1]) if len(exc.args) > 1 else ""
    cause = getattr(exc, "original_exception", None) or exc.__context__
    if isinstance(cause, ssl.SSLError):
        return tls.refused(cause)
    if logged_in and number in STATEMENT_ERRORS:
        return _statement_error(STATEMENT_ERRORS[number], text)
    if number in SESSION_ERRORS:
        if overdue:
            return DeadlineError("Time ran out before the source answered.")
        if "timed out" in text:
            return _unreachable("The server did not answer in time.")()
        return SESSION_ERRORS[number]()
    if number is None:
        return ProtocolError(
            "What answers does not speak MySQL's protocol as it should.", field="/config/port", step="connect"
        )
    if logged_in:
        return _statement_error(QueryError, text)
    return AuthenticationError("The server rejected the login.", field="/config/user", step="authenticate")


def _statement_error(kind: type[AdapterError], text: str) -> AdapterError:
    message = _WORDS.get(kind) or f"{text[:1].upper()}{text[1:].rstrip('.')}."
    return kind(message, field=TEXT_FIELD if issubclass(kind, QueryError) else None)
