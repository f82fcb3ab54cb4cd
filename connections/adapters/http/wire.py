"""The network beneath the client: judged addresses, and one deadline over everything that is awaited."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import httpcore

from connections.adapters.addresses import Address
from connections.adapters.egress import EgressPolicy, dial
from connections.adapters.errors import DeadlineError, UnreachableError
from connections.adapters.http.failures import BASE_URL, not_http
from connections.adapters.limits import Deadline
from connections.adapters.tls import refused

_VERSION = b"HTTP/"


class Network(httpcore.NetworkBackend):
    """Connects to judged addresses only. ``deadline`` is the running job's; its owner sets it before each request.

    TLS still speaks to the name: the address is pinned, the name in SNI, Host and certificate is the original.
    """

    def __init__(self, policy: EgressPolicy, connect_timeout: float) -> None:
        self.deadline = Deadline.after(0)
        self._policy = policy
        self._connect_timeout = connect_timeout

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        return self.dial(self._policy.reach(host, port, self.deadline, field=BASE_URL), host, port)

    def dial(self, addresses: Sequence[Address], host: str, port: int) -> Stream:
        """A connection to one of the judged ``addresses`` of ``host``."""
        within = self.connecting()
        try:
            sock = dial(addresses, host, port, within, field=BASE_URL)
        except DeadlineError:
            raise self.too_slow(host, "connect") from None
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Stream(self, sock, host, within)

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> NoReturn:
        raise UnreachableError("A source is reached by host and port, not by a socket file.", field=BASE_URL)

    def connecting(self) -> Deadline:
        """The deadline for opening one connection: the job's, or the connect timeout where that is sooner."""
        return Deadline(min(self.deadline.at, Deadline.after(self._connect_timeout).at))

    def too_slow(self, host: str, step: str) -> DeadlineError | UnreachableError:
        """What it is when opening a connection took too long: the job's end, or a server that does not answer."""
        if self.deadline.remaining() <= 0:
            return DeadlineError("Time ran out before the source answered.", step=step)
        return UnreachableError(
            f"{host} did not answer in {self._connect_timeout:g} seconds.",
            field=BASE_URL,
            step=step,
            hint="Check host and port, that the server is running, and that a firewall lets the catalogue through.",
        )


class Stream(httpcore.NetworkStream):
    """One connection. Every wait ends at the job's deadline, however few bytes keep arriving.

    The timeouts that httpcore passes are for single reads, and are not used.
    """

    def __init__(self, network: Network, sock: socket.socket, host: str, connecting: Deadline) -> None:
        self._network = network
        self._sock = sock
        self._host = host
        self._connecting = connecting
        self._begun = b""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._sock.settimeout(self._network.deadline.require())
        try:
            received = self._sock.recv(max_bytes)
        except TimeoutError:
            raise DeadlineError("Time ran out before the source answered.") from None
        except ssl.SSLError as exc:
            # With TLS 1.3 a server refuses the client's certificate after the handshake.
            raise refused(exc) from None
        except OSError as exc:
            raise httpcore.ReadError(exc.strerror or "reading failed") from None
        self._require_http(received)
        return received

    def _require_http(self, received: bytes) -> None:
        """Look at how the first answer begins: h11 would wait for a whole head, which other protocols never send."""
        if len(self._begun) < len(_VERSION):
            self._begun += received[: len(_VERSION) - len(self._begun)]
            if not _VERSION.startswith(self._begun):
                raise not_http()

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._sock.settimeout(self._network.deadline.require())
        try:
            self._sock.sendall(buffer)  # its timeout is for the whole buffer
        except TimeoutError:
            raise DeadlineError("Time ran out before the source took the request.") from None
        except OSError as exc:
            raise httpcore.WriteError(exc.strerror or "writing failed") from None

    def close(self) -> None:
        self._sock.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        name = server_hostname or self._host
        try:
            self._sock.settimeout(self._connecting.require())  # the handshake's timeout is for all of it
            self._sock = ssl_context.wrap_socket(self._sock, server_hostname=name.removesuffix("."))
        except (TimeoutError, DeadlineError):
            self.close()
            raise self._network.too_slow(self._host, "tls") from None
        except ssl.SSLError as exc:
            self.close()
            raise refused(exc) from None
        except OSError:
            self.close()
            raise UnreachableError(
                f"{self._host} closed the connection during the TLS handshake.", field=BASE_URL, step="tls"
            ) from None
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # asked of an idle connection: data, or its end, means that it cannot be used
            poll = select.poll()
            poll.register(self._sock, select.POLLIN)
            return bool(poll.poll(0))
        if info == "ssl_object":
            return self._sock if isinstance(self._sock, ssl.SSLSocket) else None
        return None
