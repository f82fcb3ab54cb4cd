"""What the record keeps of a request: what it asked for, its id, and where it came from."""

from __future__ import annotations

from rest_framework.request import Request


def asked(request: Request) -> str:
    """The method, and the name of the path."""
    match = request.resolver_match
    return f"{request.method} {match.url_name if match else ''}"


def trail(request: Request) -> tuple[str, str | None]:
    """The request's id, and its caller's address."""
    return getattr(request._request, "request_id", ""), request.META.get("REMOTE_ADDR")
