"""What every request gets, an id and its caller's address, and what every answer carries."""

from __future__ import annotations

import ipaddress
import re
import time
import uuid
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse
from django.template.response import SimpleTemplateResponse
from django.urls import ResolverMatch, get_resolver
from django.utils import translation
from django.utils.module_loading import import_string

from connections.api import problems
from connections.api.problems import PREFIX, request_id

__all__ = ["NoPage", "RequestMiddleware", "request_id"]

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")


Handler = Callable[[HttpRequest], HttpResponse]


class RequestMiddleware:
    """Names and times each request. It stands first, so that its time is the whole.

    A program, which sends its key with each request, passes ``CATALOG_PROGRAM_MIDDLEWARE`` instead of what is left of
    ``MIDDLEWARE``: sessions, CSRF tokens, messages and logins are for browsers.
    """

    def __init__(self, get_response: Handler) -> None:
        self._for_browsers = get_response
        self._for_programs = _chain(settings.CATALOG_PROGRAM_MIDDLEWARE)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        sent = request.META.get("HTTP_X_REQUEST_ID", "")
        request.request_id = sent if _REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex  # type: ignore[attr-defined]
        if settings.CATALOG_PROXIES:
            _believe_proxies(request, settings.CATALOG_PROXIES)
        program = "HTTP_AUTHORIZATION" in request.META and request.path_info.startswith(PREFIX)
        answered = (self._for_programs if program else self._for_browsers)(request)
        response = problems.in_one_shape(request, answered)
        response.headers["X-Request-ID"] = request_id(request)
        response.headers["X-Process-Time"] = f"{(time.perf_counter() - started) * 1000:.1f}"
        if not request.path.startswith("/static/"):
            response["Cache-Control"] = "no-store"
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


def _chain(names: list[str]) -> Handler:
    """A handler that passes these middlewares, which have no hooks but for requests and responses."""
    handler: Any = convert_exception_to_response(_answer)
    for name in reversed(names):
        handler = convert_exception_to_response(import_string(name)(handler))
    chain: Handler = handler
    return chain


def _answer(request: HttpRequest) -> HttpResponse:
    translation.deactivate()  # this thread may have served a browser with a language of its own
    match = _resolve(request.path_info)
    request.resolver_match = match
    response: HttpResponse = match.func(request, *match.args, **match.kwargs)
    return response.render() if isinstance(response, SimpleTemplateResponse) else response


@lru_cache(1024)
def _resolve(path: str) -> ResolverMatch:
    """What answers ``path``: the same for as long as this process runs."""
    return get_resolver().resolve(path)


def _believe_proxies(request: HttpRequest, count: int) -> None:
    """Put the caller's address, as the outermost of ``count`` proxies of ours saw it, where everybody looks for it.

    Each proxy adds its own caller at the end of X-Forwarded-For; whatever stands before that, anybody may have written.
    """
    chain = request.headers.get("X-Forwarded-For", "").split(",")
    if len(chain) < count:
        return
    try:
        request.META["REMOTE_ADDR"] = str(ipaddress.ip_address(chain[-count].strip()))
    except ValueError:
        return
