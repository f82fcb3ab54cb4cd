"""The base of the API's views: who asks, in which organisation, about which connection, with which right."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.views import APIView

from connections.adapters.schema import Problem, pointer
from connections.api.middleware import request_id
from connections.models import APIKey, Connection, Role
from connections.services import api_keys, connections, tenancy
from connections.services.actor import Actor
from connections.services.errors import Invalid, NotFound


class View(APIView):
    """A view for whoever is authenticated."""

    def json(self, known: Collection[str]) -> dict[str, Any]:
        """The body: a JSON object with no members but ``known``. Raises ``Invalid``."""
        body = self.request.data
        if not isinstance(body, dict):
            raise Invalid.at("", "Send a JSON object.")
        unknown = [
            Problem(pointer("", (name,)), "unknown", "This member is not known.") for name in body if name not in known
        ]
        if unknown:
            raise Invalid.of(unknown)
        return body

    def query_text(self, name: str, *, most: int = 200) -> str:
        """A query parameter as text, empty when it is absent."""
        value = self.request.query_params.get(name, "")
        if len(value) > most or "\0" in value:
            raise Invalid.at(f"/{name}", f"At most {most} characters.")
        return value


class OrganisationView(View):
    """A view under ``/orgs/{org}/``, and with ``{slug}`` under one of its connections.

    The order of refusals is part of the contract: 401, then 404 for what is not the caller's, then 403, and only
    then format and body.
    """

    rights: ClassVar[Mapping[str, Role]] = {}
    """The role that each method needs."""

    actor: Actor
    connection: Connection

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self.format_kwarg = None
        self.perform_authentication(request)
        self.check_permissions(request)
        self.actor = _actor(request, kwargs["org"])
        if "slug" in kwargs:
            self.connection = connections.get(self.actor, kwargs["slug"])
        needed = self.rights.get(request.method or "")
        if needed is not None:
            self.actor.require(needed)
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(request)


def _actor(request: Request, slug: str) -> Actor:
    rid, ip = request_id(request._request), request.META.get("REMOTE_ADDR")
    if not isinstance(request.auth, APIKey):
        return tenancy.actor_of(request.user, slug, rid, ip)
    if request.auth.organisation.slug != slug:
        raise NotFound
    return api_keys.actor_of(request.auth, rid, ip)
