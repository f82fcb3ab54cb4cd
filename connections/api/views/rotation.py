"""Staged rotation of a connection's secrets over REST."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from connections.api.base import OrganisationView
from connections.api.views.connections import if_match, shown, version_sent
from connections.models import Role
from connections.services import rotation
from connections.services.errors import Invalid


class StageView(OrganisationView):
    """Enter new secrets beside the current ones, and test them; forget them."""

    rights = {"POST": Role.EDITOR, "DELETE": Role.EDITOR}

    def post(self, request: Request, org: str, slug: str) -> Response:
        body = self.json(("secrets", "version"))
        if not isinstance(body.get("secrets"), dict):
            raise Invalid.at("/secrets", "Send a JSON object.", "invalid" if "secrets" in body else "required")
        staged = rotation.stage(
            self.actor,
            self.connection,
            body["secrets"],
            if_match=if_match(request),
            version=version_sent(body.get("version")),
        )
        response = shown(self.actor, staged.connection)
        response.data = {**response.data, "check": staged.report}
        return response

    def delete(self, request: Request, org: str, slug: str) -> Response:
        version = version_sent(self.json_if_any(("version",)).get("version"))
        rotation.discard(self.actor, self.connection, if_match=if_match(request), version=version)
        return Response(status=204)


class PromoteView(OrganisationView):
    """Make the pending secrets the current ones."""

    rights = {"POST": Role.EDITOR}

    def post(self, request: Request, org: str, slug: str) -> Response:
        version = version_sent(self.json_if_any(("version",)).get("version"))
        found = rotation.promote(self.actor, self.connection, if_match=if_match(request), version=version)
        return shown(self.actor, found)


class RollbackView(OrganisationView):
    """Take the previous secrets back."""

    rights = {"POST": Role.EDITOR}

    def post(self, request: Request, org: str, slug: str) -> Response:
        version = version_sent(self.json_if_any(("version",)).get("version"))
        found = rotation.rollback(self.actor, self.connection, if_match=if_match(request), version=version)
        return shown(self.actor, found)
