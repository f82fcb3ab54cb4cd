"""Driving secrets through the doors, and looking at whatever answers: the REST API and the admin, route by route."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from connections.adapters.base import Adapter
from connections.adapters.schema import Nested
from connections.models import APIKey, Connection, Event, Membership
from connections.testing.leaks.canaries import Canaries
from connections.testing.leaks.samples import form_data
from connections.testing.leaks.tenant import Tenant

_ARGUMENT = re.compile(r"<(?:\w+:)?(\w+)>|\(\?P<(\w+)>[^)]*\)")
LEFT_OUT = ("logout", "password_change", "admin/login")
"""Routes that end the session."""
FORMATS = ("json", "csv", "ndjson", "arrow", "parquet")
ADMIN = "/admin/connections/connection/"
RECORD = "/admin/connections/event/export/"
RECORD_FORMATS = ("csv", "ndjson")


def routes(patterns: list[Any] | None = None, before: str = "") -> Iterator[str]:
    """The pattern of every route there is, whoever added it."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            yield route


def opened(asked: str, answer: Any) -> Any:
    """``answer``, if the door opened. Raises ``AssertionError``: of what is behind a shut one nothing is known."""
    assert 200 <= answer.status_code < 400, f"{asked} is to open, and answered {answer.status_code}."
    return answer


def unbroken(asked: str, answer: Any) -> Any:
    """``answer``, which may refuse. Raises ``AssertionError`` where it is a failure of the catalogue's own."""
    assert answer.status_code != 500, f"{asked} failed (500): what it shows else was not looked at."
    return answer


@dataclass
class Doors:
    """The doors, for one set of settings of one source.

    ``query`` is what previews ask for; ``table`` the path of what is asked for its columns where no table is listed.
    """

    tenant: Tenant
    canaries: Canaries
    adapter: type[Adapter[Any, Any]]
    config: Nested
    secrets: Nested
    query: Nested
    table: tuple[str, ...] = ("hunted",)

    def api(self) -> str | None:
        """Through the REST API; the slug of the connection that was made, None when the source does not take it."""
        made = self.ask("POST", "connections/", self.whole)
        for wrong in self._wrong():
            self.ask("POST", "connections/", wrong)
            self.ask("POST", "connections/test/", wrong)
        self.ask("POST", f"/sources/{self.adapter.id}/parse-url/", {"url": self._url()})
        if made.status_code != 201:
            return None
        slug = str(made.json()["slug"])
        path = f"connections/{slug}/"
        for body in (
            {"secrets": self.secrets},
            {"config": {"host": "other.example", "base_url": "https://other.example/"}},
            {"secrets": {"nonsense": self.one}},
            {"description": "changed"},
        ):
            self.ask("PATCH", path, body)
            self.ask("PATCH", f"{path}?check=true", body)
        self.ask("POST", f"{path}secrets/stage/", {"secrets": self.secrets})
        for name in ("status", "secrets/promote", "secrets/rollback", "clone"):
            self.ask("POST", f"{path}{name}/", {})
        return slug

    def every_route(self, slug: str) -> None:
        """Every route there is, so that a new one is walked through too: looked at, and sent secrets."""
        for route in routes():
            if any(word in route for word in LEFT_OUT):
                continue
            path = self._path(route, slug)
            if route.startswith("api/"):
                for method in ("GET", "OPTIONS", "POST", "PUT", "PATCH"):
                    body = None if method in ("GET", "OPTIONS") else self.whole | {"query": self.query}
                    self.ask(method, path.removeprefix("/api/v1"), body)
            else:
                self.get(path)
        for format_ in RECORD_FORMATS:
            opened(f"events/?format={format_}", self.ask("GET", f"events/?format={format_}"))
            opened(RECORD, self.post(RECORD, {"format": format_}))

    def admin(self) -> Connection | None:
        """Through the pages of the admin; the connection that was made by its form, None when it was not saved."""
        data = {"name": "Typed", **form_data(self.adapter.config_class, self.config, self.secrets)}
        add = f"{ADMIN}add/{self.adapter.id}/"
        first = dict.fromkeys([name for name in data if name.startswith("config__")][:1], "")
        saved = self.post(add, data)
        for wrong in ({"name": ""}, {"slug": "No Slug"}, first, {"_test": "1"}, {"url": self._url(), "fill": "1"}):
            self.post(add, {**data, **wrong})
        self.post(f"{add}test/", data)
        self.post(f"{add}parse-url/", {"url": self._url()})
        row = Connection.objects.filter(organisation=self.tenant.organisation).first()  # the newest
        if row is None:
            return None
        page = f"{ADMIN}{row.pk}/"
        for sent in ({}, {"name": ""}, {"_test": "1"}, {"_saveasnew": "1"}, {"config__host": "other.example"}):
            self.post(f"{page}change/", {**data, "version": str(row.version), **sent})
        for name in ("test", "check", "preview", "tables", "export", "clone"):
            self.post(f"{page}{name}/", data)
        for name in ("change", "delete", "history", "preview"):
            for query in ("", "?_popup=1", "?_to_field=id&_popup=1"):
                self.get(f"{page}{name}/{query}")
        for query in ("", "?q=typed", "?_popup=1", "?source=x", "?config__password__startswith=C"):
            self.get(f"{ADMIN}{query}")
        return row if saved.status_code == 302 else None

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the API, and look at the answer."""
        answer = self.tenant.ask(method, path, body)
        self.look(f"{method} {path}", answer)
        return unbroken(f"{method} {path}", answer)

    def get(self, path: str, browser: Client | None = None) -> Any:
        """Go to a page of the admin, and look at it. The tenant's own browser goes, if no other does."""
        answer = (browser or self.tenant.browser).get(path, follow=True)
        self.look(f"GET {path}", answer)
        return unbroken(f"GET {path}", answer)

    def post(self, path: str, data: dict[str, str], browser: Client | None = None) -> Any:
        """Send a form of the admin, and look at the answer."""
        answer = (browser or self.tenant.browser).post(path, data)
        self.look(f"POST {path}", answer)
        return unbroken(f"POST {path}", answer)

    def look(self, asked: str, answer: Any) -> None:
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        self.canaries.look(f"the answer to {asked}", content)
        self.canaries.look(f"the headers of the answer to {asked}", str(answer.headers) + str(answer.cookies))

    @property
    def one(self) -> str:
        """One of the secrets."""
        return self.canaries.made[-1]

    @property
    def whole(self) -> dict[str, Any]:
        """The request for a new connection with these settings."""
        return {"name": "Driven", "source": self.adapter.id, "config": self.config, "secrets": self.secrets}

    def _url(self) -> str:
        return f"{self.adapter.id}://user:{self.one}@127.0.0.1:1/x?option={self.one}"

    def _wrong(self) -> Iterator[dict[str, Any]]:
        """Requests that are wrong in the ways that a secret may be repeated for."""
        for part in (
            {"config": {**self.config, **self.secrets}},
            {"config": {**self.config, "host": self.one, "port": self.one, "base_url": self.one}},
            {"config": {}, "url": self._url()},
            {"secrets": {"nonsense": self.one, **self.secrets}},
            {"secrets": {name: [self.one] for name in self.secrets}},
            {"secrets": {name: {self.one: self.one} for name in self.secrets}},
            {"secrets": self.one},
            {"source": self.one},
            {"slug": self.one},
        ):
            yield {**self.whole, **part}

    def _path(self, route: str, slug: str) -> str:
        """A route's path, about the connection or another of the organisation's things."""
        organisation = self.tenant.organisation
        row = Connection.objects.get(organisation=organisation, slug=slug)
        things = {
            "apikey": APIKey.objects.filter(organisation=organisation).first(),
            "membership": Membership.objects.filter(organisation=organisation).first(),
            "event": Event.objects.filter(organisation=organisation).first(),
        }
        thing = next((found for name, found in things.items() if f"/{name}/" in route), row)
        values = {
            "org": organisation.slug,
            "slug": slug,
            "source": self.adapter.id,
            "pk": str(row.pk),
            "member": str(getattr(things["membership"], "pk", "")),
            "key": str(getattr(things["apikey"], "pk", "")),
            "object_id": str(getattr(thing, "pk", "")),
            "id": str(self.tenant.person.pk),
        }
        path = _ARGUMENT.sub(lambda found: values.get(found[1] or found[2], "1"), route)
        return "/" + path.replace("^", "").replace("$", "")
