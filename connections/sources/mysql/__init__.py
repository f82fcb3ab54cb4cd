"""MySQL and MariaDB, read only."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from connections.adapters import tls
from connections.adapters.contract import Category, Column, Driver, Environment, Notice, Result, Row, Server
from connections.adapters.egress import dial
from connections.adapters.errors import AdapterError, DeadlineError, UnreachableError, UnsafeRoleError
from connections.adapters.limits import Deadline
from connections.adapters.network import TLSMode
from connections.adapters.sql.family import Window
from connections.adapters.sql.parameters import Statement, Style
from connections.adapters.sql.query import SQLQuery
from connections.adapters.sql.server import ServerAdapter
from connections.sources.mysql.guard import LEXIS, Rights, require_reading
from connections.sources.mysql.opening import ask_for_tls
from connections.sources.mysql.settings import MySQLConfig

if TYPE_CHECKING:
    from connections.adapters.sql.tables import Tables
    from connections.sources.mysql.session import Session
    from connections.sources.mysql.stream import Stream

__all__ = ["MySQLAdapter", "MySQLConfig", "adapter"]


class MySQLAdapter(ServerAdapter[MySQLConfig]):
    """MySQL 5.7+ and MariaDB 10.5+, through PyMySQL."""

    id = "mysql"
    label = "MySQL"
    category = Category.DATABASE
    config_class = MySQLConfig
    driver = Driver("pymysql", pip="pymysql>=1.1.2")
    docs_url = "https://dev.mysql.com/doc/refman/8.4/en/select.html"
    tested_against = "real: MariaDB 10.11"
    lexis = LEXIS
    style = Style.QUESTION
    probes_tls = True

    def __init__(self, config: MySQLConfig, environment: Environment) -> None:
        super().__init__(config, environment)
        self._session: Session | None = None
        self._logged_in = False
        self._rights = Rights()
        self._deadline: Deadline | None = None

    def connect(self, deadline: Deadline) -> None:
        self._deadline = deadline
        if self._session is not None and self._session.settled():
            return
        self.close()
        self._deadline = deadline
        within = self.connect_deadline(deadline)
        self._session = self._log_in(within)
        self._logged_in = True
        self._require_contained(within)

    def _require_contained(self, within: Deadline) -> None:
        """Refuse a login that the guard cannot hold, unless the platform and the organisation allow it."""
        from connections.sources.mysql.stream import speaking

        with speaking(self._opened()):
            self._rights = Rights.of(self._grants(within))
        self._judged_at = time.monotonic()
        if self._rights.unsafe and not self.environment.allow_unsafe_roles:
            raise UnsafeRoleError(
                f"The login {self.config.user} can do more than read: {', '.join(self._rights.unsafe)}.",
                field="/config/user",
                step="privileges",
                hint="Make a user that may only SELECT what is to be previewed, and log in as that.",
            )

    def execute(self, statement: Statement, window: Window, deadline: Deadline) -> Result:
        self._deadline = deadline
        stream = self._opened().start(statement.text, statement.values, window, deadline)
        result = Result(stream.columns, iter(()))
        result.batches = _noted(stream, window, result.notices)
        return result

    def bound(self, query: SQLQuery, parameters: dict[str, Any]) -> Statement:
        require_reading(query.sql or "")
        return super().bound(query, parameters)

    def describe_statement(self, statement: Statement, deadline: Deadline) -> tuple[Column, ...]:
        self._deadline = deadline
        # What a parameter is makes what is computed from it, so only a text without is described unexecuted.
        found = () if statement.values else self._opened().columns(statement.text, deadline)
        return found or super().describe_statement(statement, deadline)

    def counting(self, statement: Statement, deadline: Deadline) -> Statement | None:
        if super().counting(statement, deadline) is None:
            return None
        # With names of our own: a query inside another may not have two columns of one name.
        names = ", ".join(f"c{at}" for at, _ in enumerate(self.describe_statement(statement, deadline)))
        before = f"with counted ({names}) as (\n"
        moves = tuple((ours + len(before), theirs) for ours, theirs in statement.moves)
        text = f"{before}{statement.text}\n) select count(*) from counted"  # noqa: S608  a statement of its own
        return replace(statement, text=text, moves=moves)

    def catalogue(self) -> Tables:
        from connections.sources.mysql.catalogue import MySQLTables

        return MySQLTables(self._ask)

    def translate(self, exc: Exception) -> AdapterError | None:
        from pymysql import err

        from connections.sources.mysql.failures import failed

        overdue = self._deadline is not None and self._deadline.remaining() <= 0.05
        if isinstance(exc, err.MySQLError):
            return failed(exc, logged_in=self._logged_in, overdue=overdue)
        if isinstance(exc, ssl.SSLError):
            return tls.refused(exc)
        if isinstance(exc, TimeoutError):
            return DeadlineError("Time ran out before the source answered.")
        if isinstance(exc, OSError):
            return UnreachableError("The server ended the connection.", field="/config/host", step="connect")
        return None

    def close(self) -> None:
        if self._session is not None:
            self._session.give_up()
        self._session = None
        self._logged_in = False
        super().close()

    def reset(self) -> bool:
        """Back to a new session's state. Rights that the login gained meanwhile are looked at now and then: as no job
        waits for it, here."""
        from pymysql import err

        try:
            if self._session is not None and self._session.renew() and self._contained_still(self._session):
                return True
        except (AdapterError, err.MySQLError, OSError):
            pass
        self.close()
        return False

    def _contained_still(self, session: Session) -> bool:
        """Whether the session, as new, is fit for another job; it is as new afterwards. Raises what a look raises."""
        if self.judged_lately():
            return True
        self._require_contained(Deadline.after(5))
        return session.renew()

    def abandon(self, deadline: Deadline) -> None:
        """KILL QUERY, from a session of its own: a server that computes does not see that its client is gone."""
        if self._session is None or not self._logged_in:
            return
        running = int(self._session.thread_id())
        self._deadline = deadline
        other = self._log_in(deadline)
        try:
            other.end(running)
        finally:
            other.give_up()

    def server(self) -> Server | None:
        if self._session is None:
            return None
        version = str(self._session.server_version).removeprefix("5.5.5-")  # MariaDB's bow to old replicas
        return Server("MariaDB" if self._session.is_mariadb else "MySQL", version)

    def notices(self) -> list[Notice]:
        found = super().notices()
        if self._rights.writes:
            found.append(Notice("role_can_write", f"The login {self.config.user} may write; a reader would do."))
        return found

    def start_tls(self, plain: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
        return ask_for_tls(plain, context, self.config.host)

    def check_database(self, deadline: Deadline) -> str | None:
        self.connect(deadline)
        return self.config.database

    def check_privileges(self, deadline: Deadline) -> str | None:
        return "may write" if self._rights.writes else "reads only"

    # -----------------------------------------------------------------------------------------------------------

    def _log_in(self, within: Deadline) -> Session:
        from connections.sources.mysql.login import Login
        from connections.sources.mysql.session import Session

        mode = self.config.tls.mode
        login = Login(
            self.config.host,
            self.config.database,
            self.config.user,
            self.config.password.get_secret_value() if self.config.password else "",
            self.config.charset,
            None if mode is TLSMode.DISABLE else tls.context(self.config.tls, self.scratch()),
            trusted=tls.proves_itself(self.config.tls),
        )
        session = Session(login)
        peer = self.peer(within)
        plain = dial([ip_address(text) for text in peer.addresses], self.config.host, peer.port, within)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            session.open_on(plain, within)
        except BaseException:
            session.give_up()
            raise
        return session

    def _opened(self) -> Session:
        if self._session is None:
            raise RuntimeError("connect comes first")
        return self._session

    def _grants(self, deadline: Deadline) -> list[str]:
        roles = ""
        if not self._opened().is_mariadb:  # whose SHOW GRANTS tells the active role's rights too
            active = next(self._ask(Statement("select current_role()"), deadline), ["NONE"])[0]
            roles = "" if active in (None, "NONE") else f" for current_user() using {active}"
        return [row[0] for row in self._ask(Statement(f"show grants{roles}"), deadline)]

    def _ask(self, statement: Statement, deadline: Deadline | None = None) -> Iterator[Row]:
        """All rows of a statement of ours."""
        within = deadline or self._deadline or Deadline.after(self.config.connect_timeout)
        for batch in self.execute(statement, Window(0, 1_000_000), within).batches:
            yield from batch


def _noted(stream: Stream, window: Window, notices: list[Notice]) -> Iterator[list[Row]]:
    # Holds no result: a cycle would keep an unread stream from being closed when its result is let go.
    for batch in stream.batches(window):
        if stream.zero_dates and not notices:
            notices.append(Notice("zero_date", "Dates that no calendar has, such as 0000-00-00, are shown as null."))
        yield batch


adapter = MySQLAdapter
