"""Every route that the URL resolver knows, and each of them asked as everybody."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any

from django.db import transaction
from django.http.response import HttpResponseBase
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from connections.models import APIKey, Connection, Event, Membership, Slot
from connections.services import connections, drafts, slots, sources, status
from connections.services.connections import Change
from tests.catalogue import Tenant

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
CALLERS = ("nobody", "viewer", "analyst", "editor", "admin", "foreign", "superuser")
"""``foreign`` is an administrator of another organisation."""

_ARGUMENT = re.compile(r"<(?:\w+:)?(\w+)>|\(\?P<(\w+)>[^)]*\)")


def routes() -> list[str]:
    """The pattern of every route, in the resolver's order."""
    return list(_walk(get_resolver().url_patterns, ""))


def _walk(patterns: list[URLPattern | URLResolver], before: str) -> Iterator[str]:
    for pattern in patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, route)
        else:
            yield route


@dataclass
class Things:
    """What stands for each argument of a route, and what is sent to it."""

    values: dict[str, str]
    models: dict[str, str] = field(default_factory=dict)

    def path(self, route: str) -> str:
        """``route`` with its arguments filled in. Raises ``KeyError`` for one that nothing stands for."""
        model = next((name for name in self.models if f"/{name}/" in route), "")
        values = self.on(route)

        def value(found: re.Match[str]) -> str:
            name = found[1] or found[2]
            return self.models[model] if name in ("object_id", "id") else values[name]

        return "/" + _ARGUMENT.sub(value, route).replace("^", "").replace("$", "")

    def on(self, route: str) -> dict[str, str]:
        """What stands for the arguments of ``route``: where secrets rotate, the connection that has some."""
        return {**self.values, "slug": self.values["rotating"]} if "/secrets/" in route else self.values


def things_of(tenant: Tenant) -> Things:
    """The organisation's own things."""
    membership = Membership.objects.get(organisation=tenant.organisation, user=tenant.people["viewer"])
    connection = tenant.sqlite("Shop")
    status.check(tenant.actor("analyst"), connection)
    rotating = with_secrets_in_every_slot(tenant)
    key = APIKey.objects.get(organisation=tenant.organisation, name="viewer key")
    event = Event.objects.filter(organisation=tenant.organisation).latest("at")
    return Things(
        {
            "org": tenant.slug,
            "slug": connection.slug,
            "rotating": rotating.slug,
            "source": "postgresql",
            "pk": str(connection.pk),
            "request_id": "some-request",
            "job": "some-request",
            "member": str(membership.pk),
            "key": str(key.pk),
            "version": "1",
            "app_label": "connections",
            "url": "nonsense",
        },
        {
            "connections/connection": str(connection.pk),
            "connections/apikey": str(key.pk),
            "connections/membership": str(membership.pk),
            "connections/event": str(event.pk),
            "connections/organisation": str(tenant.organisation.pk),
            "auth/user": str(tenant.people["viewer"].pk),
        },
    )


def with_secrets_in_every_slot(tenant: Tenant) -> Connection:
    """A connection to where nobody answers. Its pending secrets look as if their test had gone well."""
    config = {"host": "127.0.0.1", "port": 1, "database": "sales", "user": "reader", "tls": {"mode": "disable"}}
    change = Change(name="Rotating", config=config, secrets={"password": "first"})
    made = connections.create(tenant.actor(), "postgresql", change)
    adapter = sources.chosen(made.source, tenant.organisation)
    for password in ("second", "third"):
        row = connections.get(tenant.actor(), made.slug)
        slots.stage(row, drafts.changed(adapter, row, {}, {"password": password}))
        if password == "second":
            slots.make_current(row, Slot.PENDING, kept_until=timezone.now() + timedelta(hours=1))
    row.secrets_rows.filter(slot=Slot.PENDING).update(tested_ok=True, tested_at=timezone.now())
    return connections.get(tenant.actor(), made.slug)


def random_things() -> Things:
    """Things of nobody."""
    pk = str(uuid.uuid4())
    names = ("pk", "member", "key")
    values = {
        "org": "nowhere",
        "slug": "nothing",
        "rotating": "nothing",
        "source": "postgresql",
        "request_id": "some-request",
        "job": "some-job",
        "version": "1",
    }
    return Things({**values, **dict.fromkeys(names, pk), "app_label": "connections", "url": "nonsense"})


QUERY = {"query": {"sql": "select 1 as one"}}
BODIES: dict[str, Any] = {
    "PATCH api/v1/orgs/<slug:org>/": {"accepts_unsafe_roles": True},
    "POST api/v1/sources/<str:source>/parse-url/": {"url": "postgresql://reader@db.example.com/sales"},
    "POST api/v1/orgs/<slug:org>/connections/": {"name": "New", "source": "sqlite", "config": {"path": "x.sqlite3"}},
    "POST api/v1/orgs/<slug:org>/connections/test/": {"source": "sqlite", "config": {"path": "shop.sqlite3"}},
    "PATCH api/v1/orgs/<slug:org>/connections/<slug:slug>/": {"description": "Changed"},
    "POST api/v1/orgs/<slug:org>/connections/<slug:slug>/preview/": QUERY,
    "POST api/v1/orgs/<slug:org>/connections/<slug:slug>/describe/": QUERY,
    "POST api/v1/orgs/<slug:org>/connections/<slug:slug>/pause/": {"reason": "Maintenance"},
    "POST api/v1/orgs/<slug:org>/connections/<slug:slug>/secrets/stage/": {"secrets": {"password": "fourth"}},
    "POST api/v1/orgs/<slug:org>/members/": {"email": "new@example.com", "role": "viewer"},
    "PATCH api/v1/orgs/<slug:org>/members/<uuid:member>/": {"role": "analyst"},
    "POST api/v1/orgs/<slug:org>/api-keys/": {"name": "New", "role": "viewer"},
}
"""What is sent, by method and route; nothing to the others."""
QUERIES = {"api/v1/orgs/<slug:org>/connections/<slug:slug>/columns/": "?path=orders"}


@dataclass
class Asker:
    """Asks as one caller. What a request changes is undone, so that the next one finds all as it was."""

    client: Client
    key: str | None = None

    def __post_init__(self) -> None:
        self._cookies = self.client.cookies.output(header="", sep=";")

    def ask(self, method: str, route: str, things: Things) -> HttpResponseBase:
        self.client.cookies = SimpleCookie(self._cookies)
        body = BODIES.get(f"{method} {route}")
        sent: dict[str, Any] = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        with transaction.atomic():
            answer = self.client.generic(method, things.path(route) + QUERIES.get(route, ""), **sent, headers=headers)
            if answer.streaming:
                answer.getvalue()
            transaction.set_rollback(True)
        return answer


def with_sessions(acme: Tenant, globex: Tenant, superuser: Any) -> dict[str, Asker]:
    """Everybody with a browser. The superuser has entered ``acme``."""
    platform = Client()
    platform.force_login(superuser, backend="connections.admin.backend.MembershipBackend")
    platform.post("/admin/organisation/", {"organisation": acme.slug, "reason": "To see what every route answers"})
    found = {"nobody": Asker(Client()), "foreign": Asker(globex.browser("admin")), "superuser": Asker(platform)}
    return found | {role: Asker(acme.browser(role)) for role in acme.keys}


def with_keys(acme: Tenant, globex: Tenant) -> dict[str, Asker]:
    """Everybody with a key; a superuser has none."""
    found = {"nobody": Asker(Client()), "foreign": Asker(Client(), globex.keys["admin"])}
    return found | {role: Asker(Client(), key) for role, key in acme.keys.items()}
