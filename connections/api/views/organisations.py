"""Organisations, members, keys and events over REST."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response

from connections.api import formats, representations
from connections.api.base import OrganisationView, View
from connections.api.middleware import request_id
from connections.api.pagination import NewestFirst
from connections.models import APIKey, Organisation, Role
from connections.services import api_keys, events, exporting, tenancy, walls
from connections.services.errors import Invalid, NotFound


class OrganisationList(View):
    def get(self, request: Request) -> Response:
        if isinstance(request.auth, APIKey):
            found: Any = [request.auth.organisation]
        else:
            with walls.platform():
                found = list(tenancy.organisations(request.user))
        return Response({"results": [representations.organisation(row) for row in found]})


class OrganisationDetail(OrganisationView):
    rights = {"GET": Role.VIEWER, "PATCH": Role.ADMIN}

    def get(self, request: Request, org: str) -> Response:
        return self._shown(self.actor.organisation)

    def patch(self, request: Request, org: str) -> Response:
        return self._shown(tenancy.decide(self.actor, self.json(("accepts_unsafe_roles",))))

    def _shown(self, row: Organisation) -> Response:
        own = {"role": self.actor.role, "accepts_unsafe_roles": row.accepts_unsafe_roles}
        return Response({**representations.organisation(row), **own})


class MemberList(OrganisationView):
    rights = {"GET": Role.ADMIN, "POST": Role.ADMIN}

    def get(self, request: Request, org: str) -> Response:
        return NewestFirst().answer(tenancy.members(self.actor), request, representations.member)

    def post(self, request: Request, org: str) -> Response:
        body = self.json(("email", "role"))
        tenancy.add_member(self.actor, body.get("email"), body.get("role"))
        answer = Response({"email": body["email"], "role": body["role"]}, status=201)
        answer["Location"] = reverse("api:members", args=[org])
        return answer


class MemberDetail(OrganisationView):
    rights = {"PATCH": Role.ADMIN, "DELETE": Role.ADMIN}

    def find(self, request: Request, **named: Any) -> None:
        super().find(request, **named)
        tenancy.member(self.actor, named["member"])

    def patch(self, request: Request, org: str, member: uuid.UUID) -> Response:
        role = self.json(("role",)).get("role")
        return Response(representations.member(tenancy.change_member(self.actor, member, role)))

    def delete(self, request: Request, org: str, member: uuid.UUID) -> Response:
        tenancy.remove_member(self.actor, member)
        return Response(status=204)


class KeyList(OrganisationView):
    rights = {"GET": Role.ADMIN, "POST": Role.ADMIN}

    def get(self, request: Request, org: str) -> Response:
        return NewestFirst().answer(api_keys.visible(self.actor), request, representations.api_key)

    def post(self, request: Request, org: str) -> Response:
        body = self.json(("name", "role", "expires_at", "connections"))
        key, text = api_keys.create(
            self.actor, body.get("name"), body.get("role"), body.get("expires_at"), body.get("connections")
        )
        answer = Response({**representations.api_key(key), "key": text}, status=201)
        answer["Location"] = reverse("api:api-key", args=[org, key.pk])
        return answer


class KeyDetail(OrganisationView):
    rights = {"DELETE": Role.ADMIN}

    def find(self, request: Request, **named: Any) -> None:
        super().find(request, **named)
        api_keys.get(self.actor, named["key"])

    def delete(self, request: Request, org: str, key: uuid.UUID) -> Response:
        api_keys.revoke(self.actor, str(key))
        return Response(status=204)


class EventList(OrganisationView):
    """The record, page by page; or, in another format, all of it as a file that streams."""

    rights = {"GET": Role.ADMIN}
    own_formats = True

    def get(self, request: Request, org: str) -> HttpResponseBase:
        format_ = formats.wanted(request, ("json", *exporting.FORMATS))
        if format_ == "json":
            return NewestFirst("at").answer(events.visible_events(self.actor), request, exporting.shown)
        for name in ("cursor", "page_size"):
            if name in request.query_params:
                raise Invalid.at(f"/{name}", "A file has no pages.")
        parts = exporting.export(self.actor, format_)
        response = StreamingHttpResponse(
            formats.ended_visibly(parts, format_, request_id(request._request)),
            content_type=formats.MEDIA_TYPES[format_],
        )
        response["Content-Disposition"] = f'attachment; filename="{org}-events.{format_}"'
        return response


class NothingHere(View):
    """Any other path: 404 for whoever asks, by whatever method."""

    authentication_classes = ()
    permission_classes = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotFound
