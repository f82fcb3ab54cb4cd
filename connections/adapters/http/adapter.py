"""The adapter of sources that answer JSON over HTTP."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from connections.adapters.base import Adapter, Check
from connections.adapters.contract import Driver, Notice, Result, Server
from connections.adapters.errors import AdapterError, NotAQueryError, RateLimitedError, TransientError
from connections.adapters.http.binding import Request, bind
from connections.adapters.http.config import BasicAuth, BearerAuth, HeaderAuth, HTTPConfig
from connections.adapters.http.failures import failure, status_error
from connections.adapters.http.pages import Page
from connections.adapters.http.probe import Probe
from connections.adapters.http.query import HTTPQuery
from connections.adapters.http.reading import Reading
from connections.adapters.limits import Deadline
from connections.adapters.network import TLS, TLSMode
from connections.adapters.tls import notices as tls_notices

if TYPE_CHECKING:
    from connections.adapters.http.answer import Answer
    from connections.adapters.http.client import Client

ConfigT = TypeVar("ConfigT", bound=HTTPConfig)


NOT_SENT = frozenset({"resolve", "connect", "tls"})


class HTTPAdapter(Adapter[ConfigT, HTTPQuery]):
    """JSON over HTTP/1.1. Columns are told by the records: by all of a preview's, by the first 10 000 of an export."""

    query_class = HTTPQuery
    driver = Driver("httpx", pip="httpx>=0.28")
    takes_parameters = True

    _client: Client | None = None
    _server: str = ""

    # Hooks of the contract -------------------------------------------------------------------------------------

    def connect(self, deadline: Deadline) -> None:
        """Make the client. HTTP logs in with every request, so the network is not touched yet."""
        if self._client is None:
            self._client = self._make_client()

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def reset(self) -> bool:
        """Nothing of a request stays: no cookies, no session."""
        if self._client is not None:
            self._client.let_go()
        return self._client is not None

    def translate(self, exc: Exception) -> AdapterError | None:
        return failure(exc)

    def checks(self) -> list[Check]:
        return Probe(self).checks()

    def server(self) -> Server | None:
        """What the ``Server`` header says, where it has a product and a version."""
        found = re.match(r"([\w.-]{1,40})/([\w.-]{1,40})(?: |$)", self._server)
        return Server(found[1], found[2]) if found else None

    def notices(self) -> list[Notice]:
        if self.config.base_url.startswith("http:"):
            return [Notice("tls_off", "The connection is not encrypted: login and data can be read on the way.")]
        return tls_notices(self.config.tls)

    def rows(
        self,
        query: HTTPQuery,
        parameters: dict[str, Any],
        *,
        limit: int,
        offset: int,
        count: bool,
        deadline: Deadline,
    ) -> Result:
        if query.method == "POST" and not self.config.allow_post:
            raise NotAQueryError(
                "This connection reads with GET only.",
                field="/query/method",
                hint="Its editors can let queries use POST.",
            )
        base = self.config.base_url
        request = bind(query, parameters, base)
        reading = Reading(self.fetch, query, request, base, limit=limit, offset=offset, deadline=deadline)
        columns = reading.columns()
        if not columns and offset:  # past the end: the first records tell the columns
            columns = Reading(self.fetch, query, request, base, limit=0, offset=0, deadline=deadline).columns()
        return Result(
            columns=columns,
            batches=reading.batches(),
            total=reading.total() if count else None,
            notices=reading.notices,
        )

    # What the parts of this package use ------------------------------------------------------------------------

    @property
    def client(self) -> Client:
        if self._client is None:
            self._client = self._make_client()
        return self._client

    def send(self, request: Request, deadline: Deadline) -> Answer:
        """One exchange, any status."""
        answer = self.client.send(request, deadline)
        self._server = answer.headers.get("server", "")
        return answer

    def fetch(self, request: Request, deadline: Deadline, read: Callable[[Answer], Page]) -> Page:
        """``read`` of a successful answer, with the connection's retries of transient failures.

        What the source asks us to wait is waited, where the deadline allows. A POST is repeated only when it was
        not sent, or was turned away for its frequency.
        """
        policy = self.config.retry

        def wait(state: RetryCallState) -> float:
            error = _error(state)
            backoff = (wait_exponential(policy.delay, max=10) + wait_random(0, policy.delay))(state)
            return max(backoff, error.retry_after or 0) if error is not None else backoff

        def worth_it(exc: BaseException) -> bool:
            if not isinstance(exc, TransientError):
                return False
            safe = request.method == "GET" or isinstance(exc, RateLimitedError) or exc.step in NOT_SENT
            return safe and deadline.remaining() > max(exc.retry_after or 0, policy.delay)

        for attempt in Retrying(
            stop=stop_after_attempt(policy.attempts), wait=wait, retry=retry_if_exception(worth_it), reraise=True
        ):
            with attempt, self.translating():
                return read(self._successful(request, deadline))
        raise AssertionError("tenacity ends with a result or raises")

    def _successful(self, request: Request, deadline: Deadline) -> Answer:
        answer = self.send(request, deadline)
        error = status_error(answer.status, answer.headers, self.config.auth.kind)
        if error is None:
            return answer
        answer.close()
        raise error

    def _make_client(self) -> Client:
        from connections.adapters.http.client import Client, contexts

        config = self.config
        tls = TLS(ca=config.tls.ca) if config.tls.mode is TLSMode.DISABLE else config.tls
        needed = config.base_url.startswith("https:") or config.follow_redirects  # loading authorities takes 20 ms
        return Client(
            self.environment.egress,
            headers=config.headers,
            login=_login(config),
            contexts=contexts(tls if needed else None, self.environment.scratch),
            connect_timeout=config.connect_timeout,
            follow_redirects=config.follow_redirects,
            most=config.max_answer_mb * 2**20,
        )


def _login(config: HTTPConfig) -> dict[str, str]:
    """The header that signs in."""
    auth = config.auth
    if isinstance(auth, BasicAuth):
        password = auth.password.get_secret_value() if auth.password is not None else ""
        return {"Authorization": f"Basic {base64.b64encode(f'{auth.user}:{password}'.encode()).decode()}"}
    if isinstance(auth, BearerAuth):
        return {"Authorization": f"{auth.scheme} {auth.token.get_secret_value()}"}
    if isinstance(auth, HeaderAuth):
        return {auth.name: auth.value.get_secret_value()}
    return {}


def _error(state: RetryCallState) -> AdapterError | None:
    raised = state.outcome.exception() if state.outcome is not None else None
    return raised if isinstance(raised, AdapterError) else None
