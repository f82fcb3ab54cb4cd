"""Streamed bodies that fail midway are broken off, for their client to see.

WSGI has one way to say that a body failed: its iterator raises. granian takes this for the end of the body, and ends
it properly: a short body looks whole. So behind granian, the client's connection is shut before the iterator raises.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from connections.api.hanging_up import PEER, Caller, hang_up

Environment = dict[str, Any]
Application = Callable[[Environment, Callable[..., Any]], Iterable[bytes]]

SPOILERS: Final = {
    "text/csv": b'"',  # opens a cell that never ends
    "application/vnd.apache.arrow.stream": b"\xff\xff\xff\xff\x00\x00\x10\x00",  # opens a message of 1 MiB
}
"""What a body of this type is spoilt with before its connection is shut: no reader takes what follows for rows.

Parquet without its end cannot be read anyway.
"""

_log = logging.getLogger(__name__)


class Aborting:
    """A WSGI application: ``usual``, whose streamed bodies are broken off when they fail, behind granian too."""

    def __init__(self, usual: Application) -> None:
        self._usual = usual

    def __call__(self, environ: Environment, start_response: Callable[..., Any]) -> Iterable[bytes]:
        answer: Any = self._usual(environ, start_response)
        streams = getattr(answer, "streaming", False) and not answer.has_header("Content-Length")
        return Body(answer, environ) if streams and environ.get("SERVER_SOFTWARE") == "Granian" else answer


class Body:
    """The body of ``answer``, a response of Django's. The server closes it once it is sent, or broken off."""

    def __init__(self, answer: Any, environ: Environment) -> None:
        self._answer = answer
        address = str(environ.get(PEER, environ["REMOTE_ADDR"]))
        self._caller = Caller(address, int(environ["SERVER_PORT"]), str(environ["SERVER_PROTOCOL"]))

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._answer
        except Exception:
            spoiler = SPOILERS.get(self._answer.headers.get("Content-Type", ""), b"")
            if not (yield from hang_up(self._caller, spoiler)):
                _log.error(
                    "The body of request %s failed midway, and its client's connection could not be told from others: "
                    "the client got a short body with a proper end. The web server's log has the failure.",
                    self._answer.headers.get("X-Request-ID", "without an id"),
                )
            raise

    def close(self) -> None:
        self._answer.close()
