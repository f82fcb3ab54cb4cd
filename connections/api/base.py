"""The base of the API's views: who asks, in which organisation, about which connection, with which right."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from django.db import DatabaseError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from connections.adapters.schema import Problem, pointer_told
from connections.api.asking import asked, trail
from connections.models import APIKey, Connection, Role
from connections.services import api_keys, connections, events, tenancy, visits, walls
from connections.services.actor import Actor
from connections.services.errors import Forbidden, Invalid, NotFound, OutOfReach


class View(APIView):
    """A view for whoever is authenticated.

    The order of refusals is part of the contract: 401, then 404 for what is not the caller's, then 403, and only
    then format and body.
    """

    http_method_names = ["get", "head", "post", "patch", "delete"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self.format_kwarg = None
        self.perform_authentication(request)
        self.check_permissions(request)
        self.find(request, **kwargs)
        self.allow("GET" if request.method == "HEAD" else request.method or "")
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(request)

    def find(self, request: Request, **named: Any) -> None:
        """Find what the path names. Raises ``NotFound``."""

    def allow(self, method: str) -> None:
        """Raise ``Forbidden`` when the caller has no right to ``method``."""

    def json(self, known: Collection[str]) -> dict[str, Any]:
        """The body: a JSON object with no members but ``known``. Raises ``Invalid``."""
        body = self.request.data
        if not isinstance(body, dict):
            raise Invalid.at("", "Send a JSON object.")
        unknown = [
            Problem(pointer_told("", (name,)), "unknown", "This member is not known.")
            for name in body
            if name not in known
        ]
        if unknown:
            raise Invalid.of(unknown)
        return body

    def json_if_any(self, known: Collection[str]) -> dict[str, Any]:
        """The body where there is one, else an empty object."""
        return {} if self.request.META.get("CONTENT_LENGTH") in (None, "", "0") else self.json(known)

    def query_text(self, name: str, *, most: int = 200) -> str:
        """A query parameter as text, empty when it is absent."""
        value = self.request.query_params.get(name, "")
        if len(value) > most or "\0" in value:
            raise Invalid.at(f"/{name}", f"At most {most} characters.")
        return value


class OrganisationView(View):
    """A view under ``/orgs/{org}/``, and with ``{slug}`` under one of its connections. Refusals go on record."""

    rights: ClassVar[Mapping[str, Role]] = {}
    """The role that each method needs."""

    actor: Actor
    connection: Connection

    def find(self, request: Request, **named: Any) -> None:
        self.actor = self._actor(request, named["org"])
        if "slug" in named:
            self.connection = connections.get(self.actor, named["slug"])

    def allow(self, method: str) -> None:
        if method in self.rights:
            self.actor.require(self.rights[method])

    def handle_exception(self, exc: Exception) -> Response:
        try:
            if isinstance(exc, Forbidden):
                events.refused(self.actor, asked(self.request), getattr(self, "connection", None))
            elif isinstance(exc, OutOfReach):
                events.out_of_reach(self.actor, asked(self.request), exc.connection)
            elif isinstance(exc, NotFound) and exc.sought:
                self._not_theirs(exc)
        except DatabaseError as failed:
            return super().handle_exception(failed)
        return super().handle_exception(exc)

    def _actor(self, request: Request, slug: str) -> Actor:
        if not isinstance(request.auth, APIKey):
            with walls.platform():
                visit = visits.of_session(request._request.session)
                found = tenancy.actor_of(request.user, slug, *trail(request), visit=visit)
                walls.enter(found.organisation_id)
            return found
        if request.auth.organisation.slug != slug:
            raise NotFound(organisation=slug)
        return api_keys.actor_of(request.auth, *trail(request))

    def _not_theirs(self, exc: NotFound) -> None:
        who = trail(self.request)
        if isinstance(self.request.auth, APIKey):
            events.not_theirs([api_keys.actor_of(self.request.auth, *who)], asked(self.request), exc.sought)
            return
        person = tenancy.stranger(self.request.user, *who)
        events.not_theirs(tenancy.actors_of(self.request.user, *who), asked(self.request), exc.sought, person)
