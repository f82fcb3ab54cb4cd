"""The short way: a plain JSON preview by an API key, without what only other requests need.

It takes a request that is in order in every respect, and no other: None sends it the usual way, which tells precisely
what is wrong. Nothing has happened by then.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse

from connections.adapters.errors import AdapterError
from connections.api import parsers, problems
from connections.models import Role
from connections.services import admission, orders, queries
from connections.services.errors import CatalogueError, Invalid
from connections.services.grounds import Allowance
from connections.services.orders import Order
from connections.services.rows import NotInserted

FAILED: Final = "connections.failed"
"""In a request's environment: what came of it the short way, for the usual one to answer."""
REFUSED: Final = (AdapterError, CatalogueError, DatabaseError)

log = logging.getLogger(__name__)
KEPT_BODY: Final = 4096
"""Bytes of a request's body that is kept, with what it asks for, for the next one that asks the same."""
NOTICED_SECONDS: Final = 0.1
"""A wait that counts against what a preview may take."""
_BEARER: Final = "Bearer "
_ANY: Final = ("", "*/*", "application/json", "application/json, */*")


def preview(request: HttpRequest, org: str, slug: str) -> HttpResponse | None:
    """The answer to a preview, or None where the usual way must give it."""
    if (failed := request.META.get(FAILED)) is not None:
        if not isinstance(failed, REFUSED):
            raise failed
        return problems.respond(failed, request)
    key = key_of(request.META)
    if key is None:
        return None
    try:
        found = answer(request.META, key, request.body, org, slug, problems.request_id(request))
    except REFUSED as exc:
        return problems.respond(exc, request)
    if found is None:
        return None
    content, finish = found
    response = HttpResponse(content, content_type="application/json")
    response._resource_closers.append(lambda: finished(finish))  # type: ignore[attr-defined]  # as what it reads is
    return response


def key_of(meta: Mapping[str, Any]) -> str | None:
    """The key that a preview came with; None where its headers want something else than the short way gives."""
    key: str = meta.get("HTTP_AUTHORIZATION", "")
    if (
        meta.get("REQUEST_METHOD") != "POST"
        or not key.startswith(_BEARER)
        or meta.get("QUERY_STRING")
        or meta.get("CONTENT_TYPE") != "application/json"
        or meta.get("HTTP_ACCEPT", "") not in _ANY
        or not 0 < _length(meta.get("CONTENT_LENGTH")) <= parsers.MAX_BODY
    ):
        return None
    return key[len(_BEARER) :]


def answer(
    meta: Mapping[str, Any], key: str, body: bytes, org: str, slug: str, rid: str
) -> tuple[bytes, Callable[[], None]] | None:
    """The answer, and what to do with ``finished``; None where the usual way must answer. Raises ``REFUSED``."""
    began = time.monotonic()
    ip = meta.get("REMOTE_ADDR")
    recalled = admission.recall(key, org, slug, rid, ip)
    if recalled is not None:
        try:
            return _preview(recalled, body)
        except NotInserted:
            admission.forget(key, org, slug)
    admitted = admission.admit(key, org, slug, rid, ip)
    return None if admitted is None else _preview(admitted, body, waited=time.monotonic() - began)


def _preview(
    admitted: admission.Admission, body: bytes, *, waited: float = 0.0
) -> tuple[bytes, Callable[[], None]] | None:
    """The answer to an admitted caller, who has ``waited`` so many seconds already. None as in ``answer``."""
    order = _order(admitted.ground.allowance("json"), body) if admitted.actor.may(Role.ANALYST) else None
    if order is None:
        return None
    if waited > NOTICED_SECONDS:
        order = replace(order, timeout=max(order.timeout - waited, NOTICED_SECONDS))
    return queries.preview_on(admitted.actor, admitted.ground, order, admitted.still)


def finished(finish: Callable[[], None]) -> None:
    """Record that a preview finished. It was answered: a failure is logged."""
    try:
        finish()
    except DatabaseError as exc:
        log.warning("The end of a preview was not recorded: %s.", type(exc).__name__)


def _order(allowance: Allowance, body: bytes) -> Order | None:
    """What a request's body asks for; None where something is wrong with it."""
    return _kept_order(allowance, body) if len(body) <= KEPT_BODY else _read_order(allowance, body)


def _read_order(allowance: Allowance, body: bytes) -> Order | None:
    try:
        found = parsers.read(body)
        if not isinstance(found, dict) or "query" not in found or not found.keys() <= set(orders.MEMBERS):
            return None
        return orders.order(allowance, orders.Request(**found))
    except Invalid:
        return None


_kept_order = lru_cache(256)(_read_order)  # previews come again


def _length(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0
