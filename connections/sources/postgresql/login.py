"""Logging in to PostgreSQL through libpq, step by step and within a deadline."""

from __future__ import annotations

import select
from dataclasses import dataclass
from pathlib import Path

from psycopg import pq
from psycopg.conninfo import make_conninfo
from psycopg.pq.abc import PGconn

from connections.adapters.errors import UnreachableError
from connections.adapters.limits import Deadline
from connections.adapters.network import TLS, TLSMode
from connections.adapters.tls import PEMFiles, proves_itself, remove_pem_files, system_authorities, write_pem_files
from connections.sources.postgresql.errors import UNSUPPORTED_OPTIONS, login_failed

APPLICATION = "connection-catalogue"

# What a session is pinned to. As options of the start-up packet these are the session's own defaults, which
# DISCARD ALL goes back to; a plain SET would be undone by it.
SESSION = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "iso_8601",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "synchronize_seqscans": "off",  # else a big table is read from a moving start, and pages repeat rows
    "default_transaction_read_only": "on",
    "idle_in_transaction_session_timeout": "120s",
}
# A killed worker's query ends this soon; without it the server notices only when it next writes.
WATCHED_SESSION = SESSION | {"client_connection_check_interval": "100ms"}  # PostgreSQL 14


@dataclass(frozen=True, slots=True)
class Login:
    """Where to and as whom. ``addresses`` are judged; ``host`` is the name that the certificate must show."""

    host: str
    addresses: tuple[str, ...]
    port: int
    database: str
    user: str
    password: str | None
    tls: TLS


def log_in(login: Login, scratch: Path, deadline: Deadline) -> tuple[PGconn, bool]:
    """A connection, and whether its session is pinned by start-up options.

    Poolers and old servers refuse some of those options: then the session is plain, for the caller to pin.
    """
    files = write_pem_files(login.tls, scratch)
    try:
        for session in (WATCHED_SESSION, SESSION, {}):
            connection = _attempt(_conninfo(login, files, session), login, deadline)
            if connection is not None:
                return connection, bool(session)
    finally:
        remove_pem_files(files)
    raise UnreachableError("The server refuses every way of starting a session.", field="/config/host", step="connect")


def _conninfo(login: Login, files: PEMFiles, session: dict[str, str]) -> str:
    """libpq's settings, all that could come from the environment or a file among them."""
    verified = login.tls.mode in (TLSMode.VERIFY_CA, TLSMode.VERIFY_FULL)
    count = len(login.addresses)
    return make_conninfo(
        host=",".join([login.host] * count),
        hostaddr=",".join(login.addresses),
        port=login.port,
        dbname=login.database,
        user=login.user,
        password=login.password or "",
        passfile="/dev/null",
        application_name=APPLICATION,
        client_encoding="UTF8",
        options=" ".join(f"-c {name}={_escaped(value)}" for name, value in session.items()),
        sslmode=str(login.tls.mode),
        sslrootcert=_authorities(login.tls, files, verified),
        sslcertmode="allow" if files.certificate else "disable",
        sslcert=str(files.certificate or ""),
        sslkey=str(files.key or files.certificate or ""),
        sslcrl="",
        ssl_min_protocol_version="TLSv1.2",
        gssencmode="disable",
        require_auth=_methods(login, files),
        channel_binding="prefer",
        target_session_attrs="any",
        keepalives=1,
        tcp_user_timeout=60_000,  # milliseconds
    )


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")


def _authorities(tls: TLS, files: PEMFiles, verified: bool) -> str:
    if files.ca is not None:
        return str(files.ca)
    # Without verification an empty path keeps libpq from looking in the home folder.
    return (system_authorities() or "system") if verified else ""


def _methods(login: Login, files: PEMFiles) -> str:
    """How the server may ask for the password: in ways it can read only where TLS shows that it is the right one."""
    methods = ["scram-sha-256"]
    if proves_itself(login.tls):
        methods += ["md5", "password"]
    if not login.password or files.certificate is not None:
        methods.append("none")
    return ",".join(methods)


def _attempt(conninfo: str, login: Login, deadline: Deadline) -> PGconn | None:
    """One try. None when the server refuses the session's options, and only those."""
    connection = pq.PGconn.connect_start(conninfo.encode())
    authenticated = False
    while (step := pq.PollingStatus(connection.connect_poll())) != pq.PollingStatus.OK:
        authenticated = authenticated or connection.status == pq.ConnStatus.AUTH_OK
        if step == pq.PollingStatus.FAILED:
            message = connection.error_message.decode(errors="replace")
            connection.finish()
            if UNSUPPORTED_OPTIONS.search(message):
                return None
            raise login_failed(message, authenticated=authenticated)
        _wait(connection, step, login, deadline)
    return connection


def _wait(connection: PGconn, step: pq.PollingStatus, login: Login, deadline: Deadline) -> None:
    poll = select.poll()
    poll.register(connection.socket, select.POLLIN if step == pq.PollingStatus.READING else select.POLLOUT)
    left = deadline.remaining()
    if left <= 0 or not poll.poll(left * 1000):
        connection.finish()
        raise UnreachableError(
            f"{login.host} port {login.port} did not answer in time.", field="/config/host", step="connect"
        )
