"""What PostgreSQL and libpq say went wrong, as errors of ours."""

from __future__ import annotations

import re
from collections.abc import Callable

from connections.adapters.errors import (
    AdapterError,
    AuthenticationError,
    AuthorizationError,
    CancelledError,
    DeadlineError,
    EgressDeniedError,
    InvalidError,
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

# https://www.postgresql.org/docs/current/errcodes-appendix.html; the whole code first, then its class.
STATEMENT_ERRORS: dict[str, type[AdapterError]] = {
    "25006": NotAQueryError,  # it would write
    "42501": QueryForbiddenError,
    "42P18": QueryError,
    "53100": UnreachableError,
    "53200": TooLargeError,
    "53400": TooLargeError,
    "54000": TooLargeError,
    "57014": DeadlineError,
    "57P01": UnreachableError,
    "57P02": UnreachableError,
    "57P03": UnreachableError,
    "57P05": UnreachableError,
    "25P03": UnreachableError,
    "08P01": QueryError,  # a $1 in the text, which is no parameter of ours
    "08": UnreachableError,
    "25": NotAQueryError,  # it would change the transaction it runs in
    "53": RateLimitedError,
    "28": AuthenticationError,
    "3D": AuthorizationError,
}


def rejected(sqlstate: str | None, message: str, *, place: str | None = None, hint: str | None = None) -> AdapterError:
    """The server's answer to a statement. ``place`` tells where in the user's text, ``hint`` is the server's own."""
    state = sqlstate or ""
    kind = STATEMENT_ERRORS.get(state) or STATEMENT_ERRORS.get(state[:2]) or QueryError
    if state == "57014" and "timeout" not in message:
        kind = CancelledError
    if issubclass(kind, (DeadlineError, CancelledError)):
        return kind("The query was stopped when its time ran out." if kind is DeadlineError else "It was cancelled.")
    if state == "22P02" and place is None:
        hint = hint or "Check the values of the parameters."
    hint = " ".join(part for part in (f"At {place}." if place else None, hint) if part) or None
    return kind(message, field=TEXT_FIELD if issubclass(kind, QueryError) else None, hint=hint)


def place_in(text: str, offset: int) -> str:
    """An offset as a person counts: ``line 2, column 5``."""
    before = text[:offset]
    return f"line {before.count(chr(10)) + 1}, column {offset - (before.rfind(chr(10)) + 1) + 1}"


# Logging in ----------------------------------------------------------------------------------------------------

Make = Callable[[re.Match[str]], AdapterError]


def _authentication(message: str, field: str, hint: str | None = None) -> Make:
    return lambda found: AuthenticationError(found.expand(message), field=field, step="authenticate", hint=hint)


def _unreachable(message: str) -> Make:
    return lambda found: UnreachableError(message, field="/config/host", step="connect")


def _denied(_found: re.Match[str]) -> AdapterError:
    return EgressDeniedError(
        "The server's address is not one that this organisation may reach.", field="/config/host", step="policy"
    )


def _tls(message: str, hint: str | None = None) -> Make:
    return lambda found: TLSError(message, field="/config/tls", step="tls", hint=hint)


def _protocol(_found: re.Match[str]) -> AdapterError:
    return ProtocolError(
        "What answers at this host and port does not speak PostgreSQL's protocol.", field="/config/port", step="connect"
    )


# libpq gives a failed login no sqlstate, only text. These are the server's and libpq's own words, in English; the
# order matters where one message holds another's words.
LOGIN_ERRORS: tuple[tuple[re.Pattern[str], Make], ...] = tuple(
    (re.compile(pattern, re.DOTALL), make)
    for pattern, make in (
        (
            r"password authentication failed for user|empty password returned by client|no password supplied",
            _authentication("The server rejected the user name or password.", "/secrets/password"),
        ),
        (r'role "[^"]*" does not exist', _authentication("The server does not know this user.", "/config/user")),
        (
            r'role "[^"]*" is not permitted to log in',
            _authentication("The server does not let this user log in.", "/config/user"),
        ),
        (
            r"authentication method requirement|server requested (a cleartext|a hashed|.*authentication)|"
            r"channel binding required",
            _authentication(
                "The server asked for the password in a way that could be read on the way, and it was not sent.",
                "/config/tls/mode",
                "Let the server ask for SCRAM, or verify its name (verify-full), or give its own CA (verify-ca).",
            ),
        ),
        (
            r"(certificate|peer|ident|LDAP|PAM|RADIUS|GSSAPI|OAuth\S*) authentication failed",
            _authentication("The server rejected the login.", "/config/user"),
        ),
        (
            r"no pg_hba\.conf entry for .*(no encryption|SSL off)",
            _tls("The server accepts this login only encrypted, or not from here.", "Turn on TLS (verify-full)."),
        ),
        (
            r"no pg_hba\.conf entry|pg_hba\.conf rejects connection",
            lambda found: AuthorizationError(
                "The server does not let this user log in from the catalogue's address.",
                field="/config/user",
                step="authenticate",
                hint="Ask for a line in the server's pg_hba.conf.",
            ),
        ),
        (
            r'database "[^"]*" does not exist|is not currently accepting connections',
            lambda found: AuthorizationError(
                "There is no such database, or it accepts no connections.", field="/config/database", step="database"
            ),
        ),
        (
            r"permission denied for database",
            lambda found: AuthorizationError(
                "The user may not connect to this database.", field="/config/database", step="database"
            ),
        ),
        (
            r"too many connections|too many clients|remaining connection slots",
            lambda found: RateLimitedError("The server has no connection left.", step="authenticate", retry_after=5.0),
        ),
        (
            r"the database system is (starting up|shutting down|in recovery mode|not yet accepting connections)",
            _unreachable("The server is starting or stopping."),
        ),
        (
            r"certificate verify failed|server certificate for|does not match host name|root certificate file",
            _tls("The server's certificate was refused.", "Give the CA certificate, and check the host's name in it."),
        ),
        (
            r"server does not support SSL",
            _tls("The server does not offer TLS.", "Turn TLS on at the server, or choose another verification."),
        ),
        (r"received unencrypted data after SSL", _tls("Somebody on the way put data into the TLS handshake.")),
        (r"invalid response to SSL negotiation|server sent an error response during SSL exchange", _protocol),
        (r"expected authentication request|invalid message length|lost synchronization", _protocol),
        (r"unsupported frontend protocol|received .*unexpected|message contents do not agree", _protocol),
        (
            r"could not (read|load) (certificate|private key)|private key file|certificate does not match",
            _tls("The client certificate and its key cannot be read, or do not belong together."),
        ),
        (r"SSL error|tlsv1 alert|sslv3 alert|SSL SYSCALL", _tls("The TLS handshake failed.")),
        (r"[Tt]imeout expired|timed out", _unreachable("The server did not answer in time.")),
        (r"Connection refused", _unreachable("The server refused the connection.")),
        (r"failed: Permission denied", _denied),
        (
            r"server closed the connection|[Cc]onnection reset|Broken pipe|could not receive data",
            _unreachable("The server ended the connection while logging in."),
        ),
        (
            r"could not connect|[Nn]etwork is unreachable|No route to host",
            _unreachable("The server cannot be reached."),
        ),
    )
)


def login_failed(message: str, *, authenticated: bool) -> AdapterError:
    """A failed login from libpq's words. Where those are not known (a server may speak any language), the stage tells:
    before the server accepted the login it was the login that failed, after it the database."""
    for pattern, make in LOGIN_ERRORS:
        found = pattern.search(message)
        if found:
            return make(found)
    if authenticated:
        return AuthorizationError("The server ended the session.", field="/config/database", step="database")
    return AuthenticationError("The server rejected the login.", field="/config/user", step="authenticate")


UNSUPPORTED_OPTIONS = re.compile(
    r"unsupported startup parameter|unrecognized configuration parameter|invalid command-line"
)


def invalid_parameter(name: str, message: str) -> InvalidError:
    return InvalidError(message, field=f"/parameters/{name}")
