"""Answers in formats of their own: which one is asked for, and how its body ends when it fails midway."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

import orjson
from rest_framework import exceptions
from rest_framework.request import Request

from connections.adapters.errors import AdapterError
from connections.api.problems import of_exception
from connections.services.errors import CatalogueError

MEDIA_TYPES = {
    "json": "application/json",
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
_WEIGHT = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


class BrokenOff(Exception):
    """A body failed after its answer had begun."""


def wanted(request: Request, offered: Collection[str]) -> str:
    """The format asked for: ``?format=`` first, then the first of ``Accept`` that is ``offered``."""
    named = request.query_params.get("format")
    if named is not None:
        if named not in offered:
            raise exceptions.NotAcceptable
        return named
    for media_type in _accepted(request.headers.get("Accept", "*/*")):
        if media_type in ("*/*", "application/*", ""):
            return "json"
        if media_type == "text/*":
            return "csv"
        for name in offered:
            if media_type == MEDIA_TYPES[name]:
                return name
    raise exceptions.NotAcceptable


def ended_visibly(parts: Iterable[bytes], format_: str, rid: str) -> Iterator[bytes]:
    """``parts`` of a body. A failure midway ends it visibly: NDJSON with a last line, others with ``BrokenOff``.

    One before the first part is raised as it is: then the status can still tell.
    The web server writes into its log what that says, so it repeats none of the source's words, which may hold values.
    """
    begun = False
    try:
        for part in parts:
            begun = True
            yield part
    except (AdapterError, CatalogueError) as exc:
        if not begun:
            raise
        if format_ != "ndjson":
            raise BrokenOff(f"The answer to request {rid} failed midway: {exc.code}.") from None
        yield orjson.dumps({"error": of_exception(exc, rid)}) + b"\n"


def _accepted(header: str) -> list[str]:
    """The media types of an ``Accept`` header, those liked best first; those at ``q=0`` are left out."""
    liked = []
    for part in header.split(","):
        media_type, *parameters = (text.strip().lower() for text in part.split(";"))
        weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        liked.append((float(weight) if _WEIGHT.fullmatch(weight) else 0.0, media_type))
    return [media_type for weight, media_type in sorted(liked, key=lambda each: -each[0]) if weight > 0]
