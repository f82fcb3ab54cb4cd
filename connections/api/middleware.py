"""What every request gets, an id and its caller's address, and what every answer carries."""

from __future__ import annotations

import ipaddress
import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from functools import lru_cache
from typing import Any, Final

from django.conf import settings
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse
from django.template.response import SimpleTemplateResponse
from django.urls import ResolverMatch, get_resolver
from django.utils import translation
from django.utils.module_loading import import_string

from connections.api import problems
from connections.api.hanging_up import PEER
from connections.api.problems import PREFIX, request_id

__all__ = ["PREFIX", "NoPage", "RequestMiddleware", "request_id"]

STARTED: Final = "connections.started"
"""In a request's environment: when it came, on the performance counter, where that was before Django had it."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")


Handler = Callable[[HttpRequest], HttpResponse]


class RequestMiddleware:
    """Names and times each request. It stands first, so that its time is the whole.

    A program, which sends its key with each request, passes ``CATALOG_PROGRAM_MIDDLEWARE`` instead of what is left of
    ``MIDDLEWARE``: sessions, CSRF tokens, messages and logins are for browsers.
    """

    def __init__(self, get_response: Handler) -> None:
        self._for_browsers = get_response
        self._for_programs = chain(settings.CATALOG_PROGRAM_MIDDLEWARE, _answer)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = request.META.get(STARTED) or time.perf_counter()
        request.request_id = named(request.META)  # type: ignore[attr-defined]
        if settings.CATALOG_PROXIES:
            believe_proxies(request.META, settings.CATALOG_PROXIES)
        program = "HTTP_AUTHORIZATION" in request.META and request.path_info.startswith(PREFIX)
        answered = (self._for_programs if program else self._for_browsers)(request)
        response = problems.in_one_shape(request, answered)
        for name, value in told(request_id(request), started):
            response.headers[name] = value
        if not request.path.startswith("/static/"):
            response.headers["Cache-Control"] = "no-store"
        return response


class NoPage:
    """Says of each answer that it is no page: a browser that is made to open one runs nothing and frames nothing."""

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        response.headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        response.headers.setdefault("X-Frame-Options", "DENY")
        return response


def named(meta: Mapping[str, Any]) -> str:
    """The request's id: the caller's where it sent a proper one, else ours."""
    sent: str = meta.get("HTTP_X_REQUEST_ID", "")
    return sent if _REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex


def told(rid: str, started: float) -> list[tuple[str, str]]:
    """What every answer says of its request; ``started`` is on the performance counter."""
    return [("X-Request-ID", rid), ("X-Process-Time", f"{(time.perf_counter() - started) * 1000:.1f}")]


def chain(names: Iterable[str], answer: Handler) -> Handler:
    """``answer`` behind these middlewares, which have no hooks but for requests and responses."""
    handler: Any = convert_exception_to_response(answer)
    for name in reversed(list(names)):
        handler = convert_exception_to_response(import_string(name)(handler))
    found: Handler = handler
    return found


def _answer(request: HttpRequest) -> HttpResponse:
    translation.deactivate()  # this thread may have served a browser with a language of its own
    match = resolve(request.path_info)
    request.resolver_match = match
    response: HttpResponse = match.func(request, *match.args, **match.kwargs)
    return response.render() if isinstance(response, SimpleTemplateResponse) else response


@lru_cache(1024)
def resolve(path: str) -> ResolverMatch:
    """What answers ``path``: the same for as long as this process runs."""
    return get_resolver().resolve(path)


def believe_proxies(meta: MutableMapping[str, Any], count: int) -> None:
    """Put the caller's address, as the outermost of ``count`` proxies of ours saw it, where everybody looks for it.

    Each proxy adds its own caller at the end of X-Forwarded-For; whatever stands before that, anybody may have written.
    """
    seen = meta.get("HTTP_X_FORWARDED_FOR", "").split(",")
    if len(seen) < count:
        return
    meta.setdefault(PEER, meta.get("REMOTE_ADDR"))
    try:
        meta["REMOTE_ADDR"] = str(ipaddress.ip_address(seen[-count].strip()))
    except ValueError:
        return
