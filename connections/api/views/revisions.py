"""Earlier settings of a connection over REST."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from connections.api import representations
from connections.api.base import OrganisationView
from connections.api.pagination import NewestFirst, page_size
from connections.api.views.connections import if_match, shown, version_sent
from connections.models import Role
from connections.services import restoring, revisions
from connections.services.errors import Invalid


class RevisionList(OrganisationView):
    rights = {"GET": Role.VIEWER}

    def get(self, request: Request, org: str, slug: str) -> Response:
        only = revisions.only(self.actor, self.connection)
        if only is not None:
            page_size(request)
            return Response({"results": [representations.revision(only)], "next": None, "previous": None})
        found = revisions.history(self.actor, self.connection)
        return NewestFirst("made_at").answer(found, request, representations.revision)


class RestoreView(OrganisationView):
    rights = {"POST": Role.EDITOR}

    def find(self, request: Request, **named: Any) -> None:
        super().find(request, **named)
        revisions.get(self.actor, self.connection, named["version"])

    def post(self, request: Request, org: str, slug: str, version: int) -> Response:
        body = self.json_if_any(("secrets", "version"))
        secrets = body.get("secrets")
        if secrets is not None and not isinstance(secrets, dict):
            raise Invalid.at("/secrets", "Send a JSON object.")
        restored = restoring.restore(
            self.actor,
            self.connection,
            version,
            secrets=secrets,
            if_match=if_match(request),
            expected=version_sent(body.get("version")),
        )
        return shown(self.actor, restored)
