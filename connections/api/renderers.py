"""Writing answers: JSON by orjson."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson
from rest_framework import negotiation, renderers
from rest_framework.request import Request


class JSONRenderer(renderers.BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        if data is None:
            return b""
        try:
            return orjson.dumps(data, default=str)
        except TypeError:  # an integer of more than 64 bits
            return json.dumps(data, default=str, ensure_ascii=False).encode()


class Negotiation(negotiation.DefaultContentNegotiation):
    """By ``Accept`` alone. A view that offers formats of its own reads ``?format=`` itself."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        if getattr(request.parser_context.get("view"), "own_formats", False):
            return renderers[0], renderers[0].media_type
        return super().select_renderer(request, renderers, format_suffix)
