"""What every answer carries: a request id, how long it took, and that nobody may store it."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable

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
        response = problems.in_one_shape(request, self.get_response(request))
        response["X-Request-ID"] = request_id(request)
        response["X-Process-Time"] = f"{(time.perf_counter() - started) * 1000:.1f}"
        if not request.path.startswith("/static/"):
            response["Cache-Control"] = "no-store"
        return response
