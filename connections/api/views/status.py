"""Status checks over REST."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from connections.api.base import OrganisationView
from connections.api.pagination import NewestFirst
from connections.models import Role
from connections.services import connections, pasted, status
from connections.services.errors import Invalid, NotFound


class TestView(OrganisationView):
    """Check settings that are not saved: new ones, or edits of a saved connection."""

    rights = {"POST": Role.EDITOR}

    def post(self, request: Request, org: str) -> Response:
        body = self.json(("source", "connection", "config", "secrets", "url"))
        if "connection" not in body:
            config, secrets = pasted.settings(body)
            return Response(status.test(self.actor, body.get("source"), config, secrets))
        slug = body["connection"]
        if not isinstance(slug, str):
            raise Invalid.at("/connection", "The slug of a connection.")
        connection = connections.get(self.actor, slug)
        if body.get("source") not in (None, connection.source):
            raise Invalid.at("/source", "The source of a connection never changes.")
        if body.get("url") is not None:
            raise Invalid.at("/url", "A URL is for new settings; send config changes for a saved connection.")
        return Response(status.test_changed(self.actor, connection, body.get("config"), body.get("secrets")))


class StatusView(OrganisationView):
    rights = {"GET": Role.VIEWER, "POST": Role.ANALYST}

    def get(self, request: Request, org: str, slug: str) -> Response:
        last = status.last(self.actor, self.connection)
        if last is None:
            raise NotFound
        return Response(last)

    def post(self, request: Request, org: str, slug: str) -> Response:
        self.json_if_any(())
        return Response(status.check(self.actor, self.connection))


class StatusHistory(OrganisationView):
    rights = {"GET": Role.VIEWER}

    def get(self, request: Request, org: str, slug: str) -> Response:
        return NewestFirst("checked_at").answer(status.history(self.actor, self.connection), request, status.shown)
