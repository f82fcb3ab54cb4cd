"""What an answer's status, or a failure to get one, means. Bodies and URLs are in no message."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from connections.adapters.errors import (
    AdapterError,
    AuthenticationError,
    AuthorizationError,
    ProtocolError,
    QueryError,
    RateLimitedError,
    UnreachableError,
)

BASE_URL = "/config/base_url"
LOGIN_FIELDS = {
    "none": "/config/auth",
    "basic": "/secrets/auth/password",
    "bearer": "/secrets/auth/token",
    "header": "/secrets/auth/value",
}
LONGEST_WAIT = 24 * 3600

_REJECTED = {
    400: ("The source does not accept the request", "/query"),
    404: ("The source has nothing at this path", "/query/path"),
    405: ("The source does not take this method at this path", "/query/method"),
    410: ("The source has nothing at this path any more", "/query/path"),
    413: ("The request is too long for the source", "/query"),
    414: ("The request is too long for the source", "/query"),
    422: ("The source does not accept the request", "/query"),
}


def status_error(status: int, headers: Mapping[str, str], auth: str) -> AdapterError | None:
    """The error that a status means, or None for success. ``auth`` is the kind of login that was sent."""
    told = f"(status {status})"
    if 200 <= status < 300:
        return None
    if status == 401:
        return _login_rejected(auth, told)
    if status == 403:
        return AuthorizationError(
            f"The source refuses access {told}.",
            step="authenticate",
            hint="Give this login the right to read here, or check that it is the right one.",
        )
    if status == 429:
        return RateLimitedError(
            f"The source asks for fewer requests {told}.", retry_after=retry_after(headers.get("retry-after"))
        )
    if status == 408 or status >= 500:
        return UnreachableError(
            f"The source failed to answer {told}.",
            hint="Try again later; if it stays, ask who runs the source.",
            retry_after=retry_after(headers.get("retry-after")),
        )
    if 300 <= status < 400:
        return redirect_error(f"The source redirects elsewhere {told}.")
    words, field = _REJECTED.get(status, ("The source does not accept the request", "/query"))
    return QueryError(f"{words} {told}.", field=field)


def _login_rejected(auth: str, told: str) -> AuthenticationError:
    if auth == "none":
        return AuthenticationError(
            f"The source asks for a login {told}.",
            field=LOGIN_FIELDS[auth],
            step="authenticate",
            hint="Choose how to sign in.",
        )
    return AuthenticationError(
        f"The source rejects the login {told}.",
        field=LOGIN_FIELDS[auth],
        step="authenticate",
        hint="Check that it is entered whole, and that it has not expired or been revoked.",
    )


def redirect_error(message: str) -> ProtocolError:
    return ProtocolError(
        message,
        field=BASE_URL,
        hint="Enter the final address as the base URL, or let the connection follow redirects.",
    )


def not_http() -> ProtocolError:
    return ProtocolError(
        "The source does not answer in HTTP.",
        field=BASE_URL,
        hint="Check the port, and whether it wants https.",
    )


def retry_after(text: str | None) -> float | None:
    """Seconds to wait, from either spelling of the header; None when it says nothing that can be read."""
    if text is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return float(min(int(text), LONGEST_WAIT))
    try:
        wait = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None
    return float(min(max(0, math.ceil(wait)), LONGEST_WAIT))


def failure(exc: Exception) -> AdapterError | None:
    """An exception of httpx as one of ours, or None when it is not httpx's.

    httpx has one class for broken HTTP and for a connection that ended early; only the words differ.
    """
    import httpx

    if isinstance(exc, httpx.RemoteProtocolError):
        words = str(exc)
        if "disconnected" in words:
            return UnreachableError("The source closed the connection without an answer.", field=BASE_URL)
        if "peer closed" in words:
            return UnreachableError("The source closed the connection in the middle of its answer.")
        return not_http()
    if isinstance(exc, httpx.NetworkError):
        return UnreachableError("The connection to the source broke.", field=BASE_URL)
    if isinstance(exc, httpx.InvalidURL):
        return QueryError("The request does not make a URL that can be sent.", field="/query")
    return None
