"""Lists by cursor: ``{"results", "next", "previous"}``, newest first, 50 to a page, at most 200."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from rest_framework import exceptions, pagination
from rest_framework.request import Request
from rest_framework.response import Response

from connections.services.errors import Invalid

DEFAULT_SIZE = 50
MAX_SIZE = 200


def page_size(request: Request) -> int:
    """The size that was asked for. Raises ``Invalid`` for one that is no number from 1 to 200."""
    text = request.query_params.get("page_size", str(DEFAULT_SIZE))
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= MAX_SIZE):
        raise Invalid.at("/page_size", f"A whole number from 1 to {MAX_SIZE}.")
    return int(text)


class NewestFirst(pagination.CursorPagination):
    """Pages of a queryset by its moment column, ties by id."""

    def __init__(self, moment: str = "created_at") -> None:
        self.ordering = (f"-{moment}", "-id")

    def get_page_size(self, request: Request) -> int:
        return page_size(request)

    def decode_cursor(self, request: Request) -> Any:
        try:
            cursor = super().decode_cursor(request)
        except exceptions.NotFound:
            cursor = None
        if (cursor is not None and cursor.position is not None) or "cursor" not in request.query_params:
            return cursor
        raise Invalid.at("/cursor", "This is not a cursor of this list.")

    def answer(self, queryset: Any, request: Request, shown: Any) -> Response:
        """One page of ``queryset``, each row through ``shown``."""
        try:
            rows: list[Any] = self.paginate_queryset(queryset, request) or []
        except (ValueError, OverflowError, ValidationError):
            raise Invalid.at("/cursor", "This is not a cursor of this list.") from None
        results = [shown(row) for row in rows]
        return Response({"results": results, "next": self.get_next_link(), "previous": self.get_previous_link()})
