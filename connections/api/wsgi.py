"""The short way from the web server: previews pass by Django's requests, middleware and responses.

Whatever is not known to be in order goes to Django, as it came. What Django would see to is seen to here: the host and
the scheme are checked, the answer carries the middleware's headers, and requests start and finish by signal.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, Final

from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.core.signals import request_finished, request_started, setting_changed
from django.http import Http404, HttpResponse
from django.http.request import split_domain_port, validate_host
from django.utils import translation

from connections.api import middleware, short
from connections.api.views.queries import PreviewView

Environment = dict[str, Any]
Application = Callable[[Environment, Callable[..., Any]], Iterable[bytes]]

STOCK: Final = (
    "connections.api.middleware.NoPage",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
)
"""What a program's request passes, as far as it is known here. With anything else, all requests go to Django."""


class ShortWay:
    """A WSGI application that answers plain previews by API key itself, and hands everything else to ``usual``."""

    def __init__(self, usual: Application) -> None:
        self._usual = usual
        stock = tuple(settings.CATALOG_PROGRAM_MIDDLEWARE) == STOCK and not settings.DISALLOWED_USER_AGENTS
        self._open = stock and settings.MIDDLEWARE[:1] == ["connections.api.middleware.RequestMiddleware"]

    def __call__(self, environ: Environment, start_response: Callable[..., Any]) -> Iterable[bytes]:
        started = time.perf_counter()
        key = short.key_of(environ) if self._open else None
        place = _place(environ["PATH_INFO"]) if key is not None and _is_in_order(environ) else None
        found = self._answer(environ, key, place) if key is not None and place is not None else None
        if found is None:
            environ[middleware.STARTED] = started
            return self._usual(environ, start_response)
        content, finish = found
        start_response(
            "200 OK",
            [
                *_headers(_is_secure(environ), environ["HTTP_HOST"]),
                ("Cache-Control", "no-store"),
                ("Content-Length", str(len(content))),
                *middleware.told(environ["HTTP_X_REQUEST_ID"], started),
            ],
        )
        return Sent(content, finish)

    def _answer(
        self, environ: Environment, key: str, place: tuple[str, str]
    ) -> tuple[bytes, Callable[[], None]] | None:
        """The answer, and what to do once it is sent; None, and a request as new, where Django must answer."""
        length = int(environ["CONTENT_LENGTH"])
        body = environ["wsgi.input"].read(length)
        environ["wsgi.input"] = io.BytesIO(body)
        if len(body) < length:
            return None
        environ["HTTP_X_REQUEST_ID"] = middleware.named(environ)
        if settings.CATALOG_PROXIES:
            middleware.believe_proxies(environ, settings.CATALOG_PROXIES)
        request_started.send(sender=type(self), environ=environ)
        translation.deactivate()  # this thread may have served a browser with a language of its own
        try:
            return short.answer(environ, key, body, *place, environ["HTTP_X_REQUEST_ID"])
        except Exception as exc:  # noqa: BLE001  answered, and logged where that is due, by the usual way
            environ[short.FAILED] = exc
            return None


class Sent:
    """An answer. The server closes it once it is sent."""

    def __init__(self, content: bytes, finish: Callable[[], None]) -> None:
        self._content = content
        self._finish = finish

    def __iter__(self) -> Iterator[bytes]:
        yield self._content

    def close(self) -> None:
        short.finished(self._finish)
        request_finished.send(sender=ShortWay)


def _is_in_order(environ: Environment) -> bool:
    """Whether Django would take this request as it is: for one of its hosts, at its root, by the right scheme."""
    return (
        not environ.get("SCRIPT_NAME")
        and _is_allowed(environ.get("HTTP_HOST", ""), tuple(settings.ALLOWED_HOSTS))
        and (not settings.SECURE_SSL_REDIRECT or _is_secure(environ))
    )


@lru_cache(256)
def _is_allowed(host: str, allowed: tuple[str, ...]) -> bool:
    domain, _ = split_domain_port(host)
    return bool(domain) and validate_host(domain, allowed)


def _is_secure(environ: Environment) -> bool:
    if settings.SECURE_PROXY_SSL_HEADER:
        name, secure = settings.SECURE_PROXY_SSL_HEADER
        told: str | None = environ.get(name)
        if told is not None:
            return told.split(",")[0].strip() == secure
    return bool(environ["wsgi.url_scheme"] == "https")


@lru_cache(1024)
def _place(path: str) -> tuple[str, str] | None:
    """The slugs of organisation and connection in the path of a preview; None for every other path."""
    try:
        match = middleware.resolve(path) if path.isascii() else None
    except Http404:
        return None
    if match is None or getattr(match.func, "view_class", None) is not PreviewView:
        return None
    return match.kwargs["org"], match.kwargs["slug"]


@lru_cache(256)
def _headers(secure: bool, host: str) -> tuple[tuple[str, str], ...]:
    """What the middleware adds to an answer in JSON by this scheme from this host."""
    scheme = "https" if secure else "http"
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": middleware.PREFIX, "wsgi.input": io.BytesIO(), "HTTP_HOST": host}
    request = WSGIRequest(environ | {"wsgi.url_scheme": scheme, "SERVER_NAME": "catalogue", "SERVER_PORT": "80"})
    if settings.SECURE_PROXY_SSL_HEADER:
        request.META[settings.SECURE_PROXY_SSL_HEADER[0]] = settings.SECURE_PROXY_SSL_HEADER[1] if secure else "http"
    response = middleware.chain(list(STOCK), lambda _: HttpResponse(content_type="application/json"))(request)
    return tuple((name, value) for name, value in response.items() if name != "Content-Length")


def _forget(**_: Any) -> None:
    _headers.cache_clear()


setting_changed.connect(_forget, dispatch_uid="connections.api.wsgi")
