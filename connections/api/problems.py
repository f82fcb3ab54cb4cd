"""Errors on the wire: ``application/problem+json`` (RFC 9457), one shape for all."""

from __future__ import annotations

import json
import logging
from typing import Any

import orjson
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions
from rest_framework.views import set_rollback

from connections.adapters.errors import AdapterError, BusyError, ThrottledError
from connections.services import waiting
from connections.services.errors import CatalogueError, CheckFailed
from connections.services.logs import Seldom

PREFIX = "/api/v1/"
logger = logging.getLogger(__name__)
refusals = Seldom(logger)

MEDIA_TYPE = "application/problem+json"
STATUS = {
    "invalid": 400,
    "reentry_required": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "version_conflict": 409,
    "conflict": 409,
    "paused": 409,
    "locked": 409,
    "config_outdated": 409,
    "driver_missing": 409,
    "source_not_allowed": 409,
    "unsafe_role": 409,
    "cancelled": 409,
    "precondition_failed": 412,
    "body_too_large": 413,
    "unsupported_media_type": 415,
    "query": 422,
    "query_forbidden": 422,
    "not_a_query": 422,
    "check_failed": 422,
    "authentication": 424,
    "authorization": 424,
    "tls": 424,
    "protocol": 424,
    "egress_denied": 424,
    "too_large": 424,
    "throttled": 429,
    "internal": 500,
    "unreachable": 502,
    "rate_limited": 502,
    "worker_crashed": 502,
    "busy": 503,
    "deadline": 504,
}
_TRANSIENT = {"throttled", "unreachable", "rate_limited", "worker_crashed", "busy", "deadline"}
_RETRY_AFTER = {"throttled", "busy", "rate_limited"}


def request_id(request: HttpRequest) -> str:
    """The request's id: the caller's where it sent a proper one, else ours."""
    found: str = getattr(request, "request_id", "")
    return found


def problem(
    code: str, title: str, detail: str, rid: str, *, errors: Any = (), hint: str | None = None, **more: Any
) -> dict[str, Any]:
    """The members of one problem."""
    return {
        "type": "about:blank",
        "title": title,
        "status": STATUS[code],
        "code": code,
        "detail": detail,
        "errors": list(errors),
        "transient": code in _TRANSIENT,
        "hint": hint,
        "request_id": rid,
        **more,
    }


def of_exception(exc: Exception, rid: str) -> dict[str, Any]:
    """What went wrong, as a problem. What is not known is ``internal``, and is logged by type and place alone."""
    if isinstance(exc, AdapterError):
        errors = [{"pointer": exc.field, "code": exc.code, "detail": exc.message}] if exc.field else []
        return problem(exc.code, exc.title, exc.message, rid, errors=errors, hint=exc.hint)
    if isinstance(exc, CatalogueError):
        errors = [found.as_dict() for found in exc.problems]
        more = {"check": exc.report} if isinstance(exc, CheckFailed) else {}
        return problem(exc.code, exc.title, exc.message, rid, errors=errors, hint=exc.hint, **more)
    for kinds, code, title, detail in _KNOWN:
        if isinstance(exc, kinds):
            return problem(code, title, detail, rid)
    if isinstance(exc, waiting.AWAY):
        waiting.log(exc, rid)
        return of_exception(waiting.away(exc), rid)
    logger.error("Unexpected error", exc_info=exc, extra={"request_id": rid})
    return problem("internal", "Internal error", "Something went wrong on our side. It was logged.", rid)


_KNOWN: tuple[tuple[Any, str, str, str], ...] = (
    ((Http404, exceptions.NotFound), "not_found", "Not found", "Not found."),
    (
        (exceptions.NotAuthenticated, exceptions.AuthenticationFailed),
        "unauthenticated",
        "Not authenticated",
        "Send a valid API key as a bearer token, or log in.",
    ),
    (
        (exceptions.PermissionDenied, PermissionDenied),
        "forbidden",
        "Not allowed",
        "A session's request needs its CSRF token and a right to what it asks.",
    ),
    (exceptions.MethodNotAllowed, "method_not_allowed", "Method not allowed", "This path does not take this method."),
    (exceptions.NotAcceptable, "not_acceptable", "Not acceptable", "None of the formats asked for can be given."),
    (exceptions.UnsupportedMediaType, "unsupported_media_type", "Unsupported media type", "Send application/json."),
    (RequestDataTooBig, "body_too_large", "Body too large", "The body is over 1 MB."),
    ((exceptions.ParseError, SuspiciousOperation), "invalid", "Invalid request", "The request cannot be read."),
    (exceptions.Throttled, "throttled", "Too many requests", "Try again later."),
)


def handler(exc: Exception, context: dict[str, Any]) -> HttpResponse:
    """DRF's exception handler: every exception becomes a problem, 500 included."""
    set_rollback()
    view = context.get("view")
    response = respond(exc, context["request"]._request)
    if isinstance(exc, exceptions.MethodNotAllowed) and view is not None:
        response["Allow"] = ", ".join(view.allowed_methods)
    if response.status_code == 401:
        response["WWW-Authenticate"] = 'Bearer realm="catalogue"'
    return response


def respond(exc: Exception, request: HttpRequest) -> HttpResponse:
    """The answer to a request that failed with ``exc``."""
    body = of_exception(exc, request_id(request))
    response = HttpResponse(_written(body), status=body["status"], content_type=MEDIA_TYPE)
    if body["code"] in _RETRY_AFTER:
        response["Retry-After"] = str(max(1, round(getattr(exc, "retry_after", None) or 1)))
    if isinstance(exc, _EXPECTED):
        _count(request, body, response)
    if isinstance(exc, waiting.AWAY):
        response._has_been_logged = True  # type: ignore[attr-defined]  # by ``waiting``
    return response


_EXPECTED = (ThrottledError, BusyError, exceptions.Throttled)
"""Refusals by design: whoever asks too much gets thousands of them."""


def _count(request: HttpRequest, body: dict[str, Any], response: HttpResponse) -> None:
    """Let the log count this refusal, in place of Django's line for each."""
    match = request.resolver_match
    org = match.kwargs.get("org", "") if match is not None else ""
    refusals.tell(f"Refused with {body['status']} {body['code']} for the organisation {org}")
    response._has_been_logged = True  # type: ignore[attr-defined]


def in_one_shape(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """``response``, or a problem in its place when it is a refusal of the API that Django wrote by itself."""
    refused = response.status_code >= 400 and not response.headers.get("Content-Type", "").startswith(MEDIA_TYPE)
    if not refused or not request.path.startswith(PREFIX):
        return response
    return respond(_AS_EXCEPTION.get(response.status_code, SuspiciousOperation)(), request)


_AS_EXCEPTION: dict[int, type[Exception]] = {
    403: PermissionDenied,
    404: Http404,
    413: RequestDataTooBig,
    500: RuntimeError,
}


def _written(body: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:  # half of a surrogate pair, out of a source's words
        return json.dumps(body).encode()
