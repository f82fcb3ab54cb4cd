"""PostgreSQL 12 and later, and servers that speak its protocol."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from connections.adapters.contract import Category, Column, Driver, Environment, Notice, Result, Row, Server
from connections.adapters.errors import (
    AdapterError,
    ProtocolError,
    TLSError,
    UnreachableError,
    UnsafeRoleError,
)
from connections.adapters.limits import Deadline
from connections.adapters.sql.family import Window
from connections.adapters.sql.lexis import Lexis
from connections.adapters.sql.parameters import Statement, Style
from connections.adapters.sql.server import ServerAdapter
from connections.sources.postgresql.settings import PostgreSQLConfig
from connections.sources.postgresql.statements import stands_alone

if TYPE_CHECKING:  # the driver is loaded when a connection is opened, not when the source is listed
    from connections.adapters.sql.tables import Tables
    from connections.sources.postgresql.guard import Rows, Session
    from connections.sources.postgresql.rights import Rights
    from connections.sources.postgresql.values import Bound

__all__ = ["PostgreSQLAdapter", "PostgreSQLConfig", "adapter"]

SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # protocol-message-formats, SSLRequest


class PostgreSQLAdapter(ServerAdapter[PostgreSQLConfig]):
    """PostgreSQL 12+ and wire-compatible servers, through psycopg 3."""

    id = "postgresql"
    label = "PostgreSQL"
    category = Category.DATABASE
    config_class = PostgreSQLConfig
    driver = Driver("psycopg", pip="psycopg[binary]>=3.3")
    docs_url = "https://www.postgresql.org/docs/current/"
    job_modules = (
        "connections.adapters.sql.tables",
        "connections.sources.postgresql.attempts",
        "connections.sources.postgresql.catalogue",
        "connections.sources.postgresql.guard",
        "connections.sources.postgresql.login",
        "connections.sources.postgresql.rejected",
        "connections.sources.postgresql.rights",
        "sqlalchemy.dialects.postgresql.psycopg",
    )
    tested_against = "real: PostgreSQL 18 from pip, Debian's PostgreSQL for TLS"
    lexis = Lexis(escape_strings=True, dollar_quotes=True, nested_comments=True)
    style = Style.DOLLAR
    arrays = True
    probes_tls = True
    waits_itself = True

    def __init__(self, config: PostgreSQLConfig, environment: Environment) -> None:
        super().__init__(config, environment)
        self._session: Session | None = None
        self._rights: Rights | None = None
        self._can_write = False

    # Connecting ------------------------------------------------------------------------------------------------

    def connect_with_retries(self, deadline: Deadline) -> None:
        if self._session is not None and self._session.stale(deadline):
            self.close()
        if self._session is None:
            self.gate.enter()
            super().connect_with_retries(deadline)

    def connect(self, deadline: Deadline) -> None:
        if self._session is not None:
            return
        from connections.sources.postgresql.guard import Session
        from connections.sources.postgresql.login import SESSION, Login, log_in

        peer = self.peer(deadline)
        login = Login(
            self.config.host,
            peer.addresses,
            peer.port,
            self.config.database,
            self.config.user,
            self.config.password.get_secret_value() if self.config.password else None,
            self.config.tls,
        )
        try:
            connection, pinned = log_in(login, self.scratch(), self.connect_deadline(deadline))
        except UnreachableError:
            deadline.require()  # it was the job's own time that ran out
            raise
        try:
            self._session = Session(connection, self._enter)
            if not pinned:
                self._session.pin(SESSION, deadline)
            self._require_contained(deadline)
        except BaseException:
            self.close()
            connection.finish()
            raise

    def _require_contained(self, deadline: Deadline) -> None:
        """Refuse a login that the guard cannot hold, unless the platform and the organisation allow it."""
        from connections.sources.postgresql.rejected import own_question
        from connections.sources.postgresql.rights import RIGHTS_QUERY, Rights

        with own_question():
            self._rights = Rights.of(next(self._ask(Statement(RIGHTS_QUERY), deadline), None))
        self._judged_at = time.monotonic()
        if self._rights.unsafe and not self.environment.allow_unsafe_roles:
            raise UnsafeRoleError(
                f"The login {self.config.user} can do more than read: {', '.join(self._rights.found)}.",
                field="/config/user",
                step="privileges",
                hint="Make a role that may only SELECT what is to be previewed, and log in as that.",
            )

    def start_tls(self, plain: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
        plain.sendall(SSL_REQUEST)
        answer = plain.recv(1)
        if answer == b"N":
            raise TLSError(
                "The server does not offer TLS.",
                field="/config/tls/mode",
                step="tls",
                hint="Turn TLS on at the server, or choose another verification.",
            )
        if answer != b"S":
            raise ProtocolError(
                "What answers at this host and port does not speak PostgreSQL's protocol.",
                field="/config/port",
                step="connect",
            )
        return context.wrap_socket(plain, server_hostname=self.config.host)

    def check_database(self, deadline: Deadline) -> str:
        return self.config.database

    def check_privileges(self, deadline: Deadline) -> str:
        from connections.sources.postgresql.rights import WRITES_QUERY

        row = next(self._ask(Statement(WRITES_QUERY), deadline), None)
        self._can_write = bool(row and row[0])
        return "may write; previews read only" if self._can_write else "reads only"

    def close(self) -> None:
        super().close()
        if self._session is not None:
            self._session.close()
            self._session = None

    def reset(self) -> bool:
        """Back to a new session's state, by DISCARD ALL; the answer to it is awaited here.

        A login may gain rights while its session is warm. They are looked at here, now and then: no job waits for it.
        """
        import psycopg

        session = self._session
        if session is None:
            return False
        deadline = Deadline.after(5)
        try:
            session.end(deadline)
            session.settle(deadline)
            if session.resets and not self.judged_lately():
                self._require_contained(deadline)
                session.settle(deadline)
        except (AdapterError, psycopg.Error):
            session.close()
        if session.usable and session.resets:
            return True
        self.close()
        return False

    def abandon(self, deadline: Deadline) -> None:
        """A cancel request, on a connection of its own: a text can have the server look for no client that is gone."""
        if self._session is not None:
            self._session.connection.cancel_safe(timeout=deadline.require())

    def server(self) -> Server | None:
        if self._session is None:
            return None
        raw = self._session.connection.info.parameter_status("server_version") or ""
        return Server("PostgreSQL", raw.split(" ", 1)[0])

    def notices(self) -> list[Notice]:
        found = super().notices()
        if self._rights is not None and self._rights.superuser:
            found.append(Notice("role_is_superuser", f"The login {self.config.user} is a superuser."))
        if self._can_write:
            found.append(Notice("role_can_write", f"The login {self.config.user} may write; a reader would do."))
        return found

    # Reading ---------------------------------------------------------------------------------------------------

    def execute(self, statement: Statement, window: Window, deadline: Deadline) -> Result:
        from connections.sources.postgresql.values import encode

        assert self._session is not None  # noqa: S101  connect() comes first
        bound = encode(statement)
        if stands_alone(statement.words):
            rows = self._answered(bound, deadline)
            wanted = rows.first[window.skip : window.skip + window.fetch]
            return Result(rows.columns, iter([wanted] if wanted else []), total=len(rows.first))
        rows = self._queried(bound, window, deadline)
        return Result(rows.columns, self._batches(rows, window, bound, deadline))

    def describe_statement(self, statement: Statement, deadline: Deadline) -> tuple[Column, ...]:
        return self.execute(statement, Window(0, 0), deadline).columns

    def catalogue(self) -> Tables:
        from connections.sources.postgresql.catalogue import PostgreSQLTables

        return PostgreSQLTables(lambda statement: self._ask(statement, Deadline.after(30)), self.config.database)

    def _enter(self) -> None:
        self.gate.enter()

    def _queried(self, bound: Bound, window: Window, deadline: Deadline) -> Rows:
        from connections.sources.postgresql.attempts import attempt
        from connections.sources.postgresql.guard import PREFIX

        session = self._session
        assert session is not None  # noqa: S101
        return attempt(lambda bound: session.query(bound, window, deadline), bound, len(PREFIX))

    def _answered(self, bound: Bound, deadline: Deadline) -> Rows:
        from connections.sources.postgresql.attempts import attempt

        session = self._session
        assert session is not None  # noqa: S101
        return attempt(lambda bound: session.statement(bound, deadline), bound, 0)

    def _batches(self, rows: Rows, window: Window, bound: Bound, deadline: Deadline) -> Iterator[list[Row]]:
        from connections.sources.postgresql.rejected import Rejected, in_words

        session = self._session
        assert session is not None  # noqa: S101
        try:
            if rows.first:
                yield rows.first
            if rows.more:
                yield from session.rest(rows.first, window.fetch - len(rows.first), deadline)
        except Rejected as error:
            raise in_words(error, bound, 0) from None
        finally:
            session.end(deadline)

    def _ask(self, statement: Statement, deadline: Deadline) -> Iterator[Row]:
        """The rows of a statement of ours."""
        for batch in self.execute(statement, Window(0, 100_000), deadline).batches:
            yield from batch

    def translate(self, exc: Exception) -> AdapterError | None:
        import psycopg

        if isinstance(exc, psycopg.OperationalError):
            return UnreachableError("The server ended the connection.", field="/config/host")
        if isinstance(exc, UnicodeDecodeError):
            return ProtocolError("The server sent text that is not UTF-8.")
        if isinstance(exc, psycopg.NotSupportedError):
            return ProtocolError("The server speaks in an encoding that was not asked for.", field="/config/port")
        return None


adapter = PostgreSQLAdapter
