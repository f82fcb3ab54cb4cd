"""How the pages of one connection are reached: who looks, at what, with which right. Decided here, once for all."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.admin import ModelAdmin
from django.http import HttpRequest, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from connections.admin import organisation
from connections.admin.refusals import NotAllowed
from connections.models import Connection, Role
from connections.services import connections
from connections.services.actor import Actor
from connections.services.errors import NotFound

GET_POST = ("GET", "HEAD", "POST")
GET = ("GET", "HEAD")
POST = ("POST",)


@dataclass(frozen=True, slots=True)
class Visit:
    """One request for a page. ``admin`` gives it the site's look."""

    request: HttpRequest
    actor: Actor
    admin: ModelAdmin[Connection]

    @property
    def wants_fragment(self) -> bool:
        """Whether our script asks for the part of the page that changes."""
        return self.request.headers.get("X-Fragment") == "1"

    def page(self, template: str, title: str, *, status: int = 200, **context: Any) -> TemplateResponse:
        """A page of the admin."""
        shown = {
            **self.admin.admin_site.each_context(self.request),
            "opts": self.admin.opts,
            "title": title,
            "may_preview": self.actor.may(Role.ANALYST),
            "may_edit": self.actor.may(Role.EDITOR),
            "list_url": url("changelist"),
            **context,
        }
        return TemplateResponse(self.request, f"admin/connections/{template}", shown, status=status)


View = Callable[..., HttpResponseBase]


def url(name: str, *args: Any) -> str:
    """The path of a page of connections."""
    return reverse(f"admin:connections_connection_{name}", args=args)


def connection_of(actor: Actor, pk: UUID | str) -> Connection:
    """The actor's connection with this id. Raises ``NotFound``, also for another organisation's."""
    try:
        found = connections.visible(actor).filter(pk=UUID(str(pk))).first()
    except ValueError:
        found = None
    if found is None:
        raise NotFound(connection=str(pk))
    return found


def route(
    admin: ModelAdmin[Connection], where: str, view: View, name: str, role: Role, methods: Sequence[str]
) -> URLPattern:
    """A path for ``view``. It gets a ``Visit``, and the connection where ``where`` has a ``<uuid:pk>``.

    The order of refusals: not found, then not allowed, then the method.
    """

    @functools.wraps(view)
    def wrapped(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        actor = organisation.require_actor(request)
        if "pk" in kwargs:
            kwargs["connection"] = connection_of(actor, kwargs.pop("pk"))
        if not actor.may(role):
            raise NotAllowed(kwargs.get("connection"))
        if request.method not in methods:
            return HttpResponseNotAllowed(methods)
        return view(Visit(request, actor, admin), **kwargs)

    return path(where, admin.admin_site.admin_view(wrapped), name=f"connections_connection_{name}")
