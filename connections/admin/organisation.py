"""The active organisation: whose rows a page of the admin is about, and as whom it acts.

It is kept in the session as a slug from the first page on, and judged again at each request: a membership that ended is
gone, one that comes later changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from connections.models import Organisation
from connections.services import tenancy, visits, walls
from connections.services.actor import Actor
from connections.services.errors import NotFound

SESSION_KEY = "organisation"
_CACHE = "_catalogue_visitor"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at a page. ``actor`` is None for whoever has no organisation, ``choices`` are where they may go."""

    actor: Actor | None
    choices: tuple[Organisation, ...]


def visitor(request: HttpRequest) -> Visitor:
    """Who looks, found once for each request."""
    found: Visitor | None = getattr(request, _CACHE, None)
    if found is None:
        found = _find(request)
        setattr(request, _CACHE, found)
    return found


def is_known(request: HttpRequest) -> bool:
    """Whether this request asked before who looks, as each page of the admin does. Looks nothing up."""
    return getattr(request, _CACHE, None) is not None


def actor(request: HttpRequest) -> Actor | None:
    """The user as an actor in the active organisation, or None."""
    return visitor(request).actor


def require_actor(request: HttpRequest) -> Actor:
    """As ``actor``. Raises ``PermissionDenied`` for whoever has no active organisation."""
    found = actor(request)
    if found is None:
        raise PermissionDenied("Choose an organisation first.")
    return found


def enter(request: HttpRequest, slug: str, reason: str | None = None) -> Actor:
    """Make ``slug`` the active organisation. Raises ``NotFound`` where the user does not belong.

    A superuser who is no member gives a ``reason``: then a visit begins. Raises ``Invalid`` where that is none.
    """
    if reason is not None:
        visit = visits.begin(request.user, slug, reason, *trail(request))
        request.session[visits.SESSION_KEY] = visits.kept(visit)
    found = _actor_of(request, slug)
    request.session[SESSION_KEY] = found.organisation.slug
    setattr(request, _CACHE, None)
    return found


def _find(request: HttpRequest) -> Visitor:
    person: Any = request.user
    if not (person.is_authenticated and person.is_active and person.is_staff):
        return Visitor(None, ())
    with walls.platform():
        choices = tuple(tenancy.organisations(person).order_by("name", "slug"))
        for slug in _wanted(request):
            try:
                found = _actor_of(request, slug)
            except NotFound:
                continue
            walls.enter(found.organisation_id)
            if request.session.get(SESSION_KEY) != slug:
                request.session[SESSION_KEY] = slug
            return Visitor(found, choices)
    return Visitor(None, choices)


def _wanted(request: HttpRequest) -> Iterator[str]:
    """Slugs to try in turn: what was chosen, then the person's organisations, the longest standing first.

    Not by their names: whoever is made a member by others, unasked, would begin with whoever is named for it.
    A superuser enters another's organisation by the switch only, never by accident.
    """
    chosen = request.session.get(SESSION_KEY)
    if isinstance(chosen, str):
        yield chosen
    person: Any = request.user
    yield from person.memberships.order_by("created_at", "pk").values_list("organisation__slug", flat=True)


def _actor_of(request: HttpRequest, slug: str) -> Actor:
    return tenancy.actor_of(request.user, slug, *trail(request), visit=visits.of_session(request.session))


def trail(request: HttpRequest) -> tuple[str, str | None]:
    """What the record keeps of a request: its id, and where it came from."""
    return getattr(request, "request_id", ""), request.META.get("REMOTE_ADDR") or None
