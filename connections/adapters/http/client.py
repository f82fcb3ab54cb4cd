"""One request to one answer, through httpx.

httpx's transport is used without its client: no redirects, cookies, proxies, ``.netrc`` or environment, and no log
line with a URL in it.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from pathlib import Path

import httpcore
import httpx

from connections.adapters.egress import EgressPolicy
from connections.adapters.http.addresses import DEFAULT_PORTS
from connections.adapters.http.answer import Answer
from connections.adapters.http.binding import Request
from connections.adapters.http.failures import redirect_error
from connections.adapters.http.wire import Network
from connections.adapters.limits import Deadline
from connections.adapters.network import TLS
from connections.adapters.tls import context

MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
IDLE_SECONDS = 30

for _name in ("httpx", "httpcore"):
    # Both log URLs and headers; whatever the deployment's logging does, those stay here.
    _logger = logging.getLogger(_name)
    _logger.setLevel(logging.WARNING)
    _logger.propagate = False
    _logger.addHandler(logging.NullHandler())


class Client:
    """Sends requests as one connection is configured to. ``contexts`` are TLS with and without a client certificate."""

    def __init__(
        self,
        policy: EgressPolicy,
        *,
        headers: Mapping[str, str],
        login: Mapping[str, str],
        contexts: tuple[ssl.SSLContext, ssl.SSLContext],
        connect_timeout: float,
        follow_redirects: bool,
        most: int,
    ) -> None:
        self.network = Network(policy, connect_timeout)
        self._headers = httpx.Headers(dict(headers))
        self._headers.update(dict(login))
        self._follow = follow_redirects
        self._most = most
        self.context = contexts[0]
        self._last: Answer | None = None
        self._home, self._elsewhere = (Transport(self.network, context) for context in contexts)

    def send(self, request: Request, deadline: Deadline) -> Answer:
        """The answer to ``request``, whatever its status; redirects of GET are followed where that is set."""
        self.let_go()
        self.network.deadline = deadline
        url = httpx.URL(request.target)
        home = origin(url)
        for _hop in range(MAX_REDIRECTS + 1):
            answer = self._once(request, url, at_home=origin(url) == home)
            if answer.status not in REDIRECTS or not self._follow:
                return answer
            answer.close()
            url = _next_hop(answer, request.method)
        raise redirect_error("The source redirects more than five times.")

    def let_go(self) -> None:
        """End the exchange in progress, if there is one: a preview that has its rows leaves the rest unread."""
        if self._last is not None:
            self._last.close()
            self._last = None

    def close(self) -> None:
        self.let_go()
        self._home.close()
        self._elsewhere.close()

    def _once(self, request: Request, url: httpx.URL, *, at_home: bool) -> Answer:
        """One exchange. Away from home no header of the connection is sent, and no client certificate."""
        headers = httpx.Headers(_PLAIN_HEADERS)
        if at_home:
            headers.update(self._headers)
        content = request.content
        if content is not None:
            headers["Content-Type"] = "application/json"
        transport = self._home if at_home else self._elsewhere
        sent = httpx.Request(request.method, url, headers=headers, content=content)
        self._last = Answer(transport.handle_request(sent), url, self._most)
        return self._last


_PLAIN_HEADERS = {
    "Accept": "application/json, application/x-ndjson;q=0.9, */*;q=0.1",
    "Accept-Encoding": "gzip",
    "User-Agent": "connection-catalogue",
}


class Transport(httpx.HTTPTransport):
    """httpx's transport over our own network. httpx has no parameter for that, so its pool is replaced."""

    def __init__(self, network: Network, context: ssl.SSLContext) -> None:
        super().__init__(verify=context, trust_env=False)
        self._pool.close()
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=4,
            max_keepalive_connections=1,
            keepalive_expiry=IDLE_SECONDS,
            http1=True,
            http2=False,
            network_backend=network,
        )


def contexts(tls: TLS | None, scratch: Path | None) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS as it is set, and the same without the client certificate, for other hosts. None trusts nobody."""
    if tls is None:
        nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return nobody, nobody
    anonymous = context(tls.model_copy(update={"certificate": None, "key": None}), scratch)
    return (anonymous if tls.certificate is None and tls.key is None else context(tls, scratch)), anonymous


def origin(url: httpx.URL) -> tuple[str, bytes, int | None]:
    """Scheme, host and port, as httpx itself reads them: what is compared is what is connected to."""
    return url.scheme, url.raw_host, url.port or DEFAULT_PORTS.get(url.scheme)


def _next_hop(answer: Answer, method: str) -> httpx.URL:
    """Where a redirect leads. Raises ``ProtocolError`` for one that is not followed."""
    if method != "GET":
        raise redirect_error("The source redirects a POST.")
    try:
        there = answer.url.join(answer.headers.get("location", ""))
    except (ValueError, httpx.InvalidURL):
        raise redirect_error("The source redirects to what is no URL.") from None
    if there.scheme not in DEFAULT_PORTS or not there.raw_host or there.userinfo:
        raise redirect_error("The source redirects to what is no plain http or https URL.")
    if answer.url.scheme == "https" and there.scheme != "https":
        raise redirect_error("The source redirects to an address without TLS.")
    return there
