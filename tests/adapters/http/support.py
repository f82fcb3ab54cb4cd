"""How the tests of this family make adapters and read with them."""

from __future__ import annotations

import socket
from typing import Any

from connections.adapters.contract import Column, Environment, Notice, Step
from connections.adapters.egress import EgressPolicy
from connections.adapters.errors import AdapterError
from connections.adapters.limits import Deadline
from connections.sources.http_api import HTTPAPIAdapter
from tests.servers.http import read_request

LOCAL = EgressPolicy(loopback=True)


def connect(base_url: str, *, egress: EgressPolicy = LOCAL, **settings: Any) -> HTTPAPIAdapter:
    config = HTTPAPIAdapter.config_class.model_validate({"base_url": base_url, **settings})
    return HTTPAPIAdapter(config, Environment(egress=egress))


def once(base_url: str, **settings: Any) -> HTTPAPIAdapter:
    """An adapter that does not try again."""
    return connect(base_url, retry={"attempts": 1}, **settings)


class Preview:
    """What a read gave: ``columns``, all ``rows``, ``notices``, ``total``."""

    def __init__(
        self,
        adapter: HTTPAPIAdapter,
        query: dict[str, Any],
        parameters: dict[str, Any] | None = None,
        *,
        limit: int = 100,
        offset: int = 0,
        count: bool = False,
        seconds: float = 10,
    ) -> None:
        result = adapter.read(
            adapter.query_class.model_validate(query),
            parameters or {},
            limit=limit,
            offset=offset,
            count=count,
            deadline=Deadline.after(seconds),
        )
        self.columns: tuple[Column, ...] = result.columns
        self.rows: list[Any] = [row for batch in result.batches for row in batch]
        self.notices: list[Notice] = result.notices
        self.total = result.total

    @property
    def types(self) -> dict[str, str]:
        return {column.name: str(column.type) for column in self.columns}


def check(adapter: HTTPAPIAdapter, seconds: float = 10) -> tuple[list[Step], AdapterError | None]:
    """The steps of a status check, and the error of the failed one."""
    found = list(adapter.check(Deadline.after(seconds)))
    errors = [part for part in found if isinstance(part, AdapterError)]
    return [part for part in found if isinstance(part, Step)], errors[0] if errors else None


def closed_port() -> int:
    """A port of 127.0.0.1 that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def answering(text: bytes):
    def script(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(text)

    return script
