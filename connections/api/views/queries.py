"""Previews, exports and browsing over REST."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response

from connections.api import formats, short
from connections.api.base import OrganisationView
from connections.api.middleware import request_id
from connections.api.pagination import page_size
from connections.models import Role
from connections.services import jobs, orders, queries
from connections.services.errors import Invalid
from connections.services.orders import FORMATS, MEMBERS


class PreviewView(OrganisationView):
    """The first rows of a query; or, in another format, an export that streams."""

    rights = {"POST": Role.ANALYST}
    own_formats = True

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The short way for a plain preview by an API key; the usual one for the rest, and for all that is refused."""
        return short.preview(request, **kwargs) or super().dispatch(request, *args, **kwargs)

    def post(self, request: Request, org: str, slug: str) -> HttpResponseBase:
        format_ = formats.wanted(request, FORMATS)
        options: dict[str, Any] = {
            "integers": self._choice("integers", ("number", "string")),
            "formulas": self._choice("formulas", ("escape", "keep")),
        }
        body = self.json(MEMBERS)
        wanted = orders.Request(
            query=body.get("query"),
            **{name: body[name] for name in MEMBERS[1:] if name in body},
            format=format_,
            **options,
        )
        if format_ == "json":
            return HttpResponse(queries.preview(self.actor, self.connection, wanted), content_type="application/json")
        stream = queries.read(self.actor, self.connection, wanted)
        response = StreamingHttpResponse(
            _first_now(formats.ended_visibly(stream.chunks(), format_, request_id(request._request))),
            content_type=formats.MEDIA_TYPES[format_],
        )
        response["Content-Disposition"] = f'attachment; filename="{self.connection.slug}.{format_}"'
        return response

    def _choice(self, name: str, allowed: tuple[str, ...]) -> str:
        value = self.query_text(name) or allowed[0]
        if value not in allowed:
            raise Invalid.at(f"/{name}", f"One of {', '.join(allowed)}.")
        return value


class CancelView(OrganisationView):
    rights = {"DELETE": Role.ANALYST}

    def delete(self, request: Request, org: str, request_id: str) -> Response:
        jobs.cancel(self.actor, request_id)
        return Response(status=204)


class DescribeView(OrganisationView):
    rights = {"POST": Role.ANALYST}

    def post(self, request: Request, org: str, slug: str) -> Response:
        body = self.json(("query", "parameters"))
        return Response(queries.describe(self.actor, self.connection, body.get("query"), body.get("parameters", {})))


class TablesView(OrganisationView):
    rights = {"GET": Role.ANALYST}

    def get(self, request: Request, org: str, slug: str) -> Response:
        size = page_size(request)
        after = _after(request.query_params.get("cursor"))
        found = queries.tables(self.actor, self.connection, search=self.query_text("q"), limit=size, after=after)
        link = None
        if found["has_more"]:
            params = request.query_params.copy()
            path = json.dumps(found["tables"][-1]["path"]).encode()
            params["cursor"] = base64.urlsafe_b64encode(path).decode()
            url = reverse("api:tables", args=[org, slug])
            link = request.build_absolute_uri(f"{url}?{params.urlencode()}")
        return Response({"results": found["tables"], "next": link, "previous": None})


class ColumnsView(OrganisationView):
    rights = {"GET": Role.ANALYST}

    def get(self, request: Request, org: str, slug: str) -> Response:
        path = request.query_params.getlist("path")
        if len(path) > 8 or any(len(part) > 1024 or "\0" in part for part in path):
            raise Invalid.at("/path", "At most 8 names of at most 1024 characters.")
        return Response(queries.columns(self.actor, self.connection, path))


def _first_now(parts: Iterator[bytes]) -> Iterator[bytes]:
    """The same parts, the first of them fetched now, so that an early failure is an error and no empty 200."""
    first = next(parts, None)

    def rest() -> Iterator[bytes]:
        if first is not None:
            yield bytes(first)
        for part in parts:
            yield bytes(part)

    return rest()


def _after(cursor: str | None) -> list[str] | None:
    if cursor is None:
        return None
    try:
        path: Any = json.loads(base64.urlsafe_b64decode(cursor.encode()))
    except (ValueError, RecursionError, binascii.Error):
        path = None
    if not isinstance(path, list) or not all(isinstance(part, str) for part in path):
        raise Invalid.at("/cursor", "This is not a cursor of this list.")
    return path
