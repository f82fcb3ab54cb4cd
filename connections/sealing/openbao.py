"""Speaking to the deployment's Vault or OpenBao, for references to secrets and for keys of its transit engine.

The address, the token and the certificate authority are the operator's settings: no proxy is used, no redirect is
followed, no ``VAULT_ADDR`` is read. An exchange ends at its moment, whatever the other end does.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings

MAX_BYTES: Final = 1024 * 1024
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


class OpenBaoError(Exception):
    """The server could not be asked, or not as the deployment is set up. Holds no token and no answer's text.

    ``transient`` says whether the same question may be answered later.
    """

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.message = message
        self.transient = transient


@dataclass(frozen=True, slots=True)
class Answer:
    """A status under 500 and, where there is one, the JSON object that came with it."""

    status: int
    content: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class OpenBao:
    """One server. ``namespace`` and ``authority`` (a file of PEM certificates) may be empty."""

    url: str
    namespace: str = ""
    authority: str = ""
    timeout: float = 3.0

    @classmethod
    def from_settings(cls) -> OpenBao | None:
        """The deployment's server, or None when it has none."""
        if not settings.CATALOG_VAULT_URL:
            return None
        return cls(
            settings.CATALOG_VAULT_URL,
            settings.CATALOG_VAULT_NAMESPACE,
            settings.CATALOG_VAULT_CA,
            settings.CATALOG_VAULT_TIMEOUT,
        )

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None, *, until: float | None = None) -> Answer:
        """The answer to one request; ``path`` follows ``/v1/`` and is made of plain characters.

        ``until`` is a moment in monotonic seconds; without one, and at the latest, the wait ends after ``timeout``
        seconds. Raises ``OpenBaoError``.
        """
        latest = time.monotonic() + self.timeout
        exchange = _Exchange(self, method, f"/v1/{path}", body, min(latest, until or latest))
        exchange.start()
        return exchange.answer()


def require_address(url: str, *, production: bool) -> None:
    """Raise ValueError unless ``url`` is https, or in development http on this machine, with nothing but a port."""
    parts = urlsplit(url)
    plain = not production and parts.scheme == "http" and parts.hostname in _LOOPBACK
    bare = parts.hostname and parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username)
    if not bare or not (plain or parts.scheme == "https"):
        raise ValueError("CATALOG_VAULT_URL must be like https://vault.example.com:8200, with no path and no user.")
    parts.port  # noqa: B018  raises ValueError itself


class _Exchange(threading.Thread):
    """One request and its answer, in a thread of its own: name lookup and handshake have no deadline by themselves."""

    def __init__(self, place: OpenBao, method: str, path: str, body: dict[str, Any] | None, until: float) -> None:
        super().__init__(name="catalog-openbao", daemon=True)
        self._place, self._method, self._path, self._until = place, method, path, until
        self._body = json.dumps(body).encode() if body is not None else None
        self._socket: socket.socket | None = None
        self._outcome: Answer | OpenBaoError | None = None

    def answer(self) -> Answer:
        self.join(max(self._until - time.monotonic(), 0.0))
        outcome = self._outcome
        if outcome is None:
            self._hang_up()
            outcome = OpenBaoError(f"{self._place.url} did not answer in time", transient=True)
        if isinstance(outcome, OpenBaoError):
            raise outcome
        return outcome

    def run(self) -> None:
        try:
            self._outcome = self._ask()
        except OpenBaoError as error:
            self._outcome = error
        except TimeoutError:  # it gives up at the very moment that whoever waits for it does
            self._outcome = OpenBaoError(f"{self._place.url} did not answer in time", transient=True)
        except ssl.SSLError:
            self._outcome = OpenBaoError(f"{self._place.url} has no certificate that is trusted here", transient=False)
        except (OSError, http.client.HTTPException, ValueError):
            self._outcome = OpenBaoError(f"{self._place.url} could not be reached", transient=True)

    def _ask(self) -> Answer:
        parts = urlsplit(self._place.url)
        left = max(self._until - time.monotonic(), 0.001)
        address = (parts.hostname or "", parts.port)
        if parts.scheme == "https":
            context = _context(self._place.authority)
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                *address, timeout=left, context=context
            )
        else:
            connection = http.client.HTTPConnection(*address, timeout=left)
        try:
            connection.connect()
            self._socket = connection.sock
            connection.request(self._method, self._path, self._body, _headers(self._place))
            return self._read(connection.getresponse())
        finally:
            connection.close()

    def _read(self, response: http.client.HTTPResponse) -> Answer:
        url = self._place.url
        content = response.read(MAX_BYTES + 1)
        if response.status >= 500 or response.status in (412, 429, 472, 473):
            raise OpenBaoError(f"{url} is not ready: it answered {response.status}", transient=True)
        if 300 <= response.status < 400:
            raise OpenBaoError(f"{url} answered with a redirect, which is not followed", transient=False)
        if len(content) > MAX_BYTES:
            raise OpenBaoError(f"{url} answered with over {MAX_BYTES // 1024} KB", transient=False)
        parsed = _parsed(content)
        if parsed is None:
            raise OpenBaoError(f"{url} does not speak Vault's language", transient=False)
        return Answer(response.status, parsed)

    def _hang_up(self) -> None:
        """Let the thread end: its wait for bytes fails."""
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it has just ended by itself


def _parsed(content: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(content) if content else {}
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _headers(place: OpenBao) -> dict[str, str]:
    namespace = {"X-Vault-Namespace": place.namespace} if place.namespace else {}
    return {"X-Vault-Token": _token(), "X-Vault-Request": "true", "Content-Type": "application/json", **namespace}


def _token() -> str:
    """The deployment's token, read anew each time: agents renew the file. It is in no setting, so none shows it."""
    try:
        path = settings.CATALOG_VAULT_TOKEN_FILE
        token = Path(path).read_text().strip() if path else os.environ.get("CATALOG_VAULT_TOKEN", "").strip()
    except (OSError, UnicodeDecodeError):
        raise OpenBaoError("CATALOG_VAULT_TOKEN_FILE cannot be read", transient=False) from None
    if not token or not token.isascii() or not token.isprintable():
        raise OpenBaoError("there is no token: set CATALOG_VAULT_TOKEN_FILE or CATALOG_VAULT_TOKEN", transient=False)
    return token


@lru_cache(maxsize=4)
def _context(authority: str) -> ssl.SSLContext:
    """What verifies the server: the system's authorities, or the deployment's own file alone."""
    try:
        return ssl.create_default_context(cafile=authority or None)
    except OSError:
        raise OpenBaoError("CATALOG_VAULT_CA cannot be read", transient=False) from None
