"""What the admin refuses goes on record, as what the API refuses does."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest

from connections.admin import organisation
from connections.models import Connection
from connections.services import events, tenancy
from connections.services.errors import NotFound


class NotAllowed(PermissionDenied):
    """This role may not do this to ``thing``."""

    def __init__(self, thing: Connection | None = None) -> None:
        super().__init__()
        self.thing = thing


def not_there(opts: Any, object_id: Any) -> NotFound | Http404:
    """What to raise for a row that is not the organisation's: an id of somebody's goes on record, nonsense does not."""
    try:
        opts.pk.to_python(object_id)
    except ValidationError:
        return Http404()
    return NotFound(**{opts.model_name: str(object_id)})


def forbidden(request: HttpRequest, exc: Exception) -> None:
    """Record that somebody may not do what was asked: with the organisation they are in, else with the platform."""
    actor = organisation.actor(request)
    if actor is not None:
        events.refused(actor, _asked(request), getattr(exc, "thing", None))
    elif request.user.is_authenticated:
        events.refused_outside(tenancy.stranger(request.user, *organisation.trail(request)), _asked(request))


def not_theirs(request: HttpRequest, exc: NotFound) -> None:
    """Record that somebody asked for what is not their organisation's."""
    if exc.sought:
        who = organisation.trail(request)
        actors = tenancy.actors_of(request.user, *who)
        events.not_theirs(actors, _asked(request), exc.sought, tenancy.stranger(request.user, *who))


def _asked(request: HttpRequest) -> str:
    match = request.resolver_match
    return f"{request.method} {match.view_name if match else ''}"
