"""Source types over REST."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from connections.adapters import schema
from connections.api.base import View
from connections.services import pasted, sources
from connections.services.errors import NotFound


class SourceList(View):
    def get(self, request: Request) -> Response:
        return Response({"results": sources.summaries()})


class SourceDetail(View):
    def get(self, request: Request, source: str) -> Response:
        return Response(sources.detail(source))


class ParseURL(View):
    def post(self, request: Request, source: str) -> Response:
        adapter = sources.find(source)
        if adapter is None or not sources.is_allowed(source):
            raise NotFound
        config, secrets = pasted.parse(adapter, self.json(("url",)).get("url"))
        return Response({"config": config, "secrets": [".".join(path) for path in schema.paths(secrets)]})
