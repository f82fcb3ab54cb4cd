"""The OpenAPI schema."""

from __future__ import annotations

from drf_spectacular.openapi import AutoSchema as StockAutoSchema


class AutoSchema(StockAutoSchema):
    """drf-spectacular's, with the problems that every operation may answer."""
