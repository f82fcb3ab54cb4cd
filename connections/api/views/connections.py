"""Connections over REST."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response

from connections.api import representations
from connections.api.base import OrganisationView
from connections.api.pagination import NewestFirst
from connections.api.parsers import JSONParser, MergePatchParser
from connections.models import Connection, Role
from connections.services import connections, pasted, state, status, uses
from connections.services.actor import Actor
from connections.services.connections import Change
from connections.services.errors import Invalid

MOST_DAYS = 3650
PLAIN = ("name", "description", "tags", "environment")


class ConnectionList(OrganisationView):
    rights = {"GET": Role.VIEWER, "POST": Role.EDITOR}

    def get(self, request: Request, org: str) -> Response:
        status_ = self.query_text("status")
        if status_ and status_ not in connections.STATUS_FILTERS:
            raise Invalid.at("/status", "One of ok, failed, unknown.")
        found = connections.search(
            self.actor,
            source=self.query_text("source"),
            tag=self.query_text("tag"),
            environment=self.query_text("environment"),
            status=status_,
            q=self.query_text("q"),
            expiring=_days(self.query_text("expiring")),
        )
        wanted = self.query_text("state")
        if wanted:
            if wanted not in state.STATES:
                raise Invalid.at("/state", f"One of {', '.join(state.STATES)}.")
            found = found.filter(pk__in=[row.pk for row in found if state.state(row) == wanted])
        return NewestFirst().answer(found, request, representations.connection)

    def post(self, request: Request, org: str) -> Response:
        body = self.json((*PLAIN, "source", "slug", "config", "secrets", "expiries", "probe", "url"))
        config, secrets = pasted.settings(body)
        connection = connections.create(
            self.actor,
            body.get("source"),
            _change(body, config, secrets),
            slug=body.get("slug"),
            verify=status.require_passing(self.actor) if _wants_check(self) else None,
        )
        return shown(self.actor, connection, status=201)


class ConnectionDetail(OrganisationView):
    rights = {"GET": Role.VIEWER, "PATCH": Role.EDITOR, "DELETE": Role.EDITOR}
    parser_classes = [JSONParser, MergePatchParser]

    def get(self, request: Request, org: str, slug: str) -> Response:
        return shown(self.actor, self.connection)

    def patch(self, request: Request, org: str, slug: str) -> Response:
        body = self.json((*PLAIN, "config", "secrets", "expiries", "probe", "version"))
        verify = status.require_passing(self.actor, self.connection) if _wants_check(self) else None
        connection = connections.update(
            self.actor,
            self.connection,
            _change(body, body.get("config"), body.get("secrets")),
            if_match=if_match(request),
            version=version_sent(body.get("version")),
            verify=verify,
        )
        return shown(self.actor, connection)

    def delete(self, request: Request, org: str, slug: str) -> Response:
        version = version_sent(self.json_if_any(("version",)).get("version"))
        connections.delete(self.actor, self.connection, if_match=if_match(request), version=version)
        return Response(status=204)


class PauseView(OrganisationView):
    rights = {"POST": Role.EDITOR}

    def post(self, request: Request, org: str, slug: str) -> Response:
        reason = self.json(("reason",)).get("reason", "")
        return shown(self.actor, connections.pause(self.actor, self.connection, reason))


class ResumeView(OrganisationView):
    rights = {"POST": Role.EDITOR}

    def post(self, request: Request, org: str, slug: str) -> Response:
        self.json_if_any(())
        return shown(self.actor, connections.resume(self.actor, self.connection))


class CloneView(OrganisationView):
    rights = {"POST": Role.EDITOR}

    def post(self, request: Request, org: str, slug: str) -> Response:
        name = self.json_if_any(("name",)).get("name")
        return shown(self.actor, connections.clone(self.actor, self.connection, name), status=201)


def shown(actor: Actor, connection: Connection, status: int = 200) -> Response:
    """One connection with its use and its ETag, and where it is when it is new."""
    use = representations.use(uses.of(actor, connection))
    response = Response({**representations.connection(connection), "use": use}, status=status)
    response["ETag"] = f'"{connection.version}"'
    if status == 201:
        response["Location"] = reverse("api:connection", args=[connection.organisation.slug, connection.slug])
    return response


def _change(body: dict[str, Any], config: Any, secrets: Any) -> Change:
    for name in PLAIN:
        if name in body and body[name] is None:
            raise Invalid.at(f"/{name}", "This cannot be null.")
    expiries = body.get("expiries")
    for name, value in (("config", config), ("secrets", secrets), ("expiries", expiries)):
        if value is not None and not isinstance(value, dict):
            raise Invalid.at(f"/{name}", "Send a JSON object.")
    probe = (body["probe"] or {}) if "probe" in body else None
    plain = {name: body.get(name) for name in PLAIN}
    return Change(**plain, config=config, secrets=secrets, expiries=expiries, probe=probe)


def _days(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 4 and int(text) <= MOST_DAYS):
        raise Invalid.at("/expiring", f"A whole number of days from 0 to {MOST_DAYS}.")
    return int(text)


def _wants_check(view: OrganisationView) -> bool:
    text = view.query_text("check")
    if text not in ("", "true", "false"):
        raise Invalid.at("/check", "true or false.")
    return text == "true"


def if_match(request: Request) -> list[int] | None:
    """The versions that ``If-Match`` names; None when any will do."""
    header = request.headers.get("If-Match")
    if header is None or header.strip() == "*":
        return None
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")]
    return [int(tag) for tag in tags if tag.isascii() and tag.isdecimal() and len(tag) < 10]


def version_sent(value: Any) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise Invalid.at("/version", "A whole number.")
    return value
