"""The short way: a plain JSON preview by an API key, without what only other requests need.

It takes a request that is in order in every respect, and no other: None sends it the usual way, which tells precisely
what is wrong. Nothing has happened by then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse

from connections.adapters.errors import AdapterError
from connections.api import parsers, problems
from connections.models import Role
from connections.services import admission, queries
from connections.services.errors import CatalogueError, Invalid

log = logging.getLogger(__name__)
_BEARER: Final = "Bearer "
_ANY: Final = ("", "*/*", "application/json", "application/json, */*")


def preview(request: HttpRequest, org: str, slug: str) -> HttpResponse | None:
    """The answer to a preview, or None where the usual way must give it."""
    meta = request.META
    key = meta.get("HTTP_AUTHORIZATION", "")
    if (
        request.method != "POST"
        or not key.startswith(_BEARER)
        or meta.get("QUERY_STRING")
        or meta.get("CONTENT_TYPE") != "application/json"
        or meta.get("HTTP_ACCEPT", "") not in _ANY
        or not 0 < _length(meta.get("CONTENT_LENGTH")) <= parsers.MAX_BODY
    ):
        return None
    wanted = _wanted(request.body)
    if wanted is None:
        return None
    rid = problems.request_id(request)
    try:
        admitted = admission.admit(key[len(_BEARER) :], org, slug, rid, meta.get("REMOTE_ADDR"))
        if admitted is None or not admitted.actor.may(Role.ANALYST):
            return None
        answer, finish = queries.preview_on(admitted.actor, admitted.ground, wanted)
    except (AdapterError, CatalogueError, DatabaseError) as exc:
        return problems.respond(exc, request)
    response = HttpResponse(answer, content_type="application/json")
    after(response, finish)
    return response


def after(response: HttpResponse, work: Callable[[], None]) -> None:
    """Do ``work`` when the server has sent ``response`` and closes it. Nobody waits for it: a failure is logged."""

    def done() -> None:
        try:
            work()
        except DatabaseError as exc:
            log.warning("The end of a preview was not recorded: %s.", type(exc).__name__)

    response._resource_closers.append(done)  # type: ignore[attr-defined]  # as what it reads is closed


def _wanted(body: bytes) -> queries.Request | None:
    try:
        found = parsers.read(body)
    except Invalid:
        return None
    if not isinstance(found, dict) or "query" not in found or not found.keys() <= set(queries.MEMBERS):
        return None
    return queries.Request(**found)


def _length(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0
