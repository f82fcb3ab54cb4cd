"""The page that says that the catalogue's own database is held by somebody else, or gone. It asks that nothing."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from connections.services import waiting

RETRY_SECONDS = 5


def page(request: HttpRequest, exc: Exception) -> HttpResponse:
    """What is shown in place of a page that failed with ``exc``, one of ``waiting.AWAY``."""
    waiting.log(exc, getattr(request, "request_id", ""))
    told = waiting.away(exc)
    shown = {
        "title": _("The catalogue is busy"),
        "site_header": _("Connection catalogue"),
        "site_title": _("Connection catalogue"),
        "text": told.message,
        "hint": told.hint,
        "was_sent": request.method == "POST",
    }
    # Without the request: who asks, and where they belong, would have to be looked up.
    text = render_to_string("admin/connections/unavailable.html", shown)
    response = HttpResponse(text, status=503, headers={"Retry-After": str(RETRY_SECONDS)})
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response
