"""SQL sources on a network: how to reach one, and the steps of a status check."""

from __future__ import annotations

import shutil
import socket
import ssl
import tempfile
import time
from abc import abstractmethod
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

from connections.adapters import tls
from connections.adapters.addresses import Address
from connections.adapters.base import Check
from connections.adapters.contract import Environment, Notice, StepName
from connections.adapters.egress import dial
from connections.adapters.errors import UnreachableError
from connections.adapters.limits import Deadline
from connections.adapters.network import NetworkConfig, TLSMode
from connections.adapters.sql.family import SQLAdapter
from connections.adapters.sql.query import SQLQuery
from connections.adapters.tunnel import Forward
from connections.adapters.vouching import vouched

ServerConfigT = TypeVar("ServerConfigT", bound=NetworkConfig)

RIGHTS_HOLD = 30.0
"""Seconds for which a look at a login's rights counts. What is kept warm for longer is looked at again between jobs."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Where to connect: judged addresses, or the tunnel's end on loopback."""

    addresses: tuple[str, ...]
    port: int


class ServerAdapter(SQLAdapter[ServerConfigT]):
    """A SQL source at a host and a port, with TLS and an SSH tunnel."""

    probes_tls: ClassVar[bool] = False
    """Whether ``start_tls`` is there, and so a step of its own for the handshake."""

    def __init__(self, config: ServerConfigT, environment: Environment) -> None:
        super().__init__(config, environment)
        self._resolved: list[Address] = []
        self._forward: Forward | None = None
        self._own_scratch: Path | None = None
        self._judged_at = 0.0

    # Hooks of a SQL server -------------------------------------------------------------------------------------

    def start_tls(self, plain: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
        """Ask the server for TLS in its own protocol and shake hands. ``plain`` has its timeout set."""
        raise NotImplementedError

    @abstractmethod
    def check_database(self, deadline: Deadline) -> str | None:
        """Make sure of the database on the open connection; return what to show."""

    @abstractmethod
    def check_privileges(self, deadline: Deadline) -> str | None:
        """Look at what the login may do beyond reading; return what to show."""

    # -----------------------------------------------------------------------------------------------------------

    def judged_lately(self) -> bool:
        """Whether the open session's rights need no other look: they are known, or nothing would come of it."""
        return self.environment.allow_unsafe_roles or time.monotonic() - self._judged_at < RIGHTS_HOLD

    def peer(self, deadline: Deadline) -> Peer:
        """Where to connect now. Addresses are resolved and judged anew for every attempt."""
        if self.config.tunnel is not None:
            return Peer(("127.0.0.1",), self._near_end(self._open_forward(deadline)))
        addresses = self.environment.egress.reach(self.config.host, self.config.port, deadline)
        return Peer(tuple(str(address) for address in addresses), self.config.port)

    def scratch(self) -> Path:
        """A private folder (0700) for files that the driver wants."""
        if self.environment.scratch is not None:
            return self.environment.scratch
        if self._own_scratch is None:
            self._own_scratch = Path(tempfile.mkdtemp(prefix="catalogue-"))
        return self._own_scratch

    def notices(self) -> list[Notice]:
        return tls.notices(self.config.tls)

    def close(self) -> None:
        super().close()
        if self._forward is not None:
            self._forward.close()
            self._forward = None
        if self._own_scratch is not None:
            shutil.rmtree(self._own_scratch, ignore_errors=True)
            self._own_scratch = None

    def checks(self) -> list[Check]:
        steps = [Check(StepName.RESOLVE, self._check_resolve), Check(StepName.POLICY, self._check_policy)]
        if self.config.tunnel is not None:
            steps.append(Check(StepName.TUNNEL, self._check_tunnel))
        steps.append(Check(StepName.CONNECT, self._check_connect))
        if self.probes_tls and self.config.tls.mode is not TLSMode.DISABLE:
            steps.append(Check(StepName.TLS, self._check_tls))
        return [
            *steps,
            Check(StepName.AUTHENTICATE, self._check_authenticate),
            Check(StepName.DATABASE, self.check_database),
            Check(StepName.PRIVILEGES, self.check_privileges),
            Check(StepName.SAMPLE, self._check_sample),
        ]

    def connect_deadline(self, deadline: Deadline) -> Deadline:
        """The end of one attempt to connect: the configured timeout, within ``deadline``."""
        return Deadline(min(deadline.at, Deadline.after(self.config.connect_timeout).at))

    def _check_resolve(self, deadline: Deadline) -> str:
        self.close()
        target = self.config.tunnel or self.config
        self._resolved = self.environment.egress.resolve(target.host, target.port, deadline, field=self._host_field)
        return f"{target.host} -> {', '.join(map(str, self._resolved))}"

    def _check_policy(self, _deadline: Deadline) -> None:
        target = self.config.tunnel or self.config
        for address in self._resolved:
            self.environment.egress.judge(address, target.port, field=self._host_field)

    def _check_tunnel(self, deadline: Deadline) -> str:
        return self._open_forward(deadline).described

    def _check_connect(self, deadline: Deadline) -> str | None:
        if self._forward is not None:
            return None  # the tunnel's step opened the way to the end
        with closing(
            dial(self._resolved, self.config.host, self.config.port, self.connect_deadline(deadline))
        ) as plain:
            return f"{_peer_of(plain)} port {self.config.port}"

    def _check_tls(self, deadline: Deadline) -> str:
        """A handshake of our own, closed again: it tells the certificate apart from the login."""
        within = self.connect_deadline(deadline)
        context = tls.context(self.config.tls, self.scratch())
        with closing(self._plain_socket(within)) as plain:
            plain.settimeout(within.require())
            try:
                with closing(self.start_tls(plain, context)) as secured:
                    return tls.described(secured)
            except ssl.SSLError as exc:
                raise tls.refused(exc) from None
            except OSError:
                raise UnreachableError(
                    "The server ended the connection during the TLS handshake.", field="/config/host", step="tls"
                ) from None

    def _plain_socket(self, deadline: Deadline) -> socket.socket:
        if self._forward is not None:
            return socket.create_connection(("127.0.0.1", self._near_end(self._forward)), timeout=deadline.require())
        return dial(self._resolved, self.config.host, self.config.port, deadline)

    def _check_authenticate(self, deadline: Deadline) -> str | None:
        self.connect(deadline)
        user = getattr(self.config, "user", None)
        return f"as {user}" if user else None

    def _check_sample(self, deadline: Deadline) -> None:
        result = self.rows(SQLQuery(sql="select 1"), {}, limit=1, offset=0, count=False, deadline=deadline)
        for _batch in result.batches:
            pass

    @staticmethod
    def _near_end(forward: Forward) -> int:
        """The tunnel's port on loopback, which no policy has judged: it is this process's own."""
        vouched.add("127.0.0.1", forward.port)
        return forward.port

    def _open_forward(self, deadline: Deadline) -> Forward:
        if self._forward is not None and not self._forward.alive:
            self._forward.close()
            self._forward = None
        if self._forward is None:
            assert self.config.tunnel is not None  # noqa: S101
            self._forward = Forward.open(
                self.config.tunnel,
                self.config.host,
                self.config.port,
                self.environment.egress,
                self.connect_deadline(deadline),
            )
        return self._forward

    @property
    def _host_field(self) -> str:
        return "/config/tunnel/host" if self.config.tunnel is not None else "/config/host"


def _peer_of(plain: socket.socket) -> str:
    try:
        return str(plain.getpeername()[0])
    except OSError:
        raise UnreachableError(
            "The server ended the connection at once.", field="/config/host", step="connect"
        ) from None
