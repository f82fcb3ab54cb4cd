"""What is answered when nobody else did: a catalogue whose database is held or gone says so, at either door."""

from __future__ import annotations

import sys

from django.http import HttpRequest, HttpResponse
from django.views import defaults

from connections.admin import unavailable
from connections.api import problems
from connections.services import waiting


def server_error(request: HttpRequest) -> HttpResponse:
    """The answer to a request whose exception reached Django, while that is handled."""
    failed = _away(sys.exc_info()[1])
    return defaults.server_error(request) if failed is None else _answer(request, failed)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The answer to a request that is said to be bad: a session that could not be saved is said to be gone."""
    failed = _away(exception)
    return defaults.bad_request(request, exception) if failed is None else _answer(request, failed)


def _answer(request: HttpRequest, failed: Exception) -> HttpResponse:
    is_program = request.path.startswith(problems.PREFIX)
    return problems.respond(failed, request) if is_program else unavailable.page(request, failed)


def _away(exc: BaseException | None) -> Exception | None:
    """The failure of the database that ``exc`` is, or was raised while handling."""
    while exc is not None and not isinstance(exc, waiting.AWAY):
        exc = exc.__context__
    return exc
