"""What every request gets, an id and its caller's address, and what every answer carries."""

from __future__ import annotations

import ipaddress
import re
import time
import uuid
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from connections.api import problems
from connections.api.problems import request_id

__all__ = ["RequestMiddleware", "request_id"]

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")


class RequestMiddleware:
    """Names and times each request. It stands first, so that its time is the whole."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        sent = request.headers.get("X-Request-ID", "")
        request.request_id = sent if _REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex  # type: ignore[attr-defined]
        if settings.CATALOG_PROXIES:
            _believe_proxies(request, settings.CATALOG_PROXIES)
        response = problems.in_one_shape(request, self.get_response(request))
        response["X-Request-ID"] = request_id(request)
        response["X-Process-Time"] = f"{(time.perf_counter() - started) * 1000:.1f}"
        if not request.path.startswith("/static/"):
            response["Cache-Control"] = "no-store"
        return response


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
