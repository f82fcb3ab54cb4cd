"""The steps of a status check: name, policy, connection, TLS, login, sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from connections.adapters.addresses import Address
from connections.adapters.base import Check
from connections.adapters.contract import StepName
from connections.adapters.errors import ProtocolError, QueryError
from connections.adapters.http.addresses import DEFAULT_PORTS, relative_path
from connections.adapters.http.binding import Request
from connections.adapters.http.documents import decode, parse
from connections.adapters.http.failures import BASE_URL, status_error
from connections.adapters.limits import Deadline
from connections.adapters.tls import described

if TYPE_CHECKING:
    from connections.adapters.http.adapter import HTTPAdapter
    from connections.adapters.http.wire import Stream

STATUS_PATH = "/config/status_path"


class Probe:
    """One status check. Its steps are in order; each leaves what the next one needs."""

    def __init__(self, adapter: HTTPAdapter[Any]) -> None:
        parts = urlsplit(adapter.config.base_url)
        self._adapter = adapter
        self._config = adapter.config
        self._secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or DEFAULT_PORTS[parts.scheme]
        self._addresses: list[Address] = []
        self._stream: Stream | None = None
        self._body: bytes | None = None

    def checks(self) -> list[Check]:
        config = self._config
        login = config.auth.kind != "none"
        return [
            Check(StepName.RESOLVE, self._resolve),
            Check(StepName.POLICY, self._judge),
            Check(StepName.CONNECT, self._connect),
            *([Check(StepName.TLS, self._handshake)] if self._secure else []),
            *([Check(StepName.AUTHENTICATE, self._ask)] if login else []),
            *([Check(StepName.SAMPLE, self._sample)] if config.status_path is not None or not login else []),
        ]

    def _resolve(self, deadline: Deadline) -> str:
        policy = self._adapter.environment.egress
        self._addresses = policy.resolve(self._host, self._port, deadline, field=BASE_URL)
        return f"{self._host} -> {', '.join(map(str, self._addresses))}"

    def _judge(self, deadline: Deadline) -> None:
        for address in self._addresses:
            self._adapter.environment.egress.judge(address, self._port, field=BASE_URL)

    def _connect(self, deadline: Deadline) -> None:
        client = self._adapter.client
        client.network.deadline = deadline
        self._stream = client.network.dial(self._addresses, self._host, self._port)
        if not self._secure:
            self._stream.close()

    def _handshake(self, deadline: Deadline) -> str:
        assert self._stream is not None  # noqa: S101  the step before made it
        secured = self._stream.start_tls(self._adapter.client.context, self._host)
        try:
            return described(secured.get_extra_info("ssl_object"))
        finally:
            secured.close()

    def _ask(self, deadline: Deadline) -> str:
        """Request the status path. Without one any answer will do that is not about the login or a failure."""
        config = self._config
        path = config.status_path
        suffix = f"/{relative_path(path)}" if path is not None else ""
        with self._adapter.send(Request("GET", config.base_url + suffix), deadline) as answer:
            error = status_error(answer.status, answer.headers, config.auth.kind)
            if error is not None and (path is not None or not isinstance(error, QueryError | ProtocolError)):
                if isinstance(error, QueryError):
                    error.field = STATUS_PATH
                raise error
            self._body = answer.body() if path is not None else b""
            return f"status {answer.status}"

    def _sample(self, deadline: Deadline) -> str:
        detail = self._ask(deadline) if self._body is None else None
        if self._config.status_path is None:
            return detail or ""
        assert self._body is not None  # noqa: S101  asked, now or in the step before
        try:
            parse(decode(self._body))
        except ProtocolError as error:
            error.field = STATUS_PATH
            raise
        return f"{len(self._body)} bytes of JSON"
