"""Every page of the admin: which addresses there are, and how a request for one of them is made."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from django.contrib import admin
from django.urls import URLPattern, URLResolver, get_resolver

from connections.models import APIKey, Event, Membership
from tests.catalogue import Tenant

ROW_PAGES = re.compile(r"<(?:uuid:pk|path:object_id)>")


def patterns() -> list[tuple[str, str]]:
    """``(name, route)`` of all addresses under ``/admin/``."""
    root = next(found for found in get_resolver().url_patterns if getattr(found, "app_name", "") == "admin")
    assert isinstance(root, URLResolver)
    return sorted(_walk(root, ""))


def _walk(resolver: URLResolver, prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for child in resolver.url_patterns:
        route = prefix + str(child.pattern)
        if isinstance(child, URLResolver):
            found += _walk(child, route)
        else:
            assert isinstance(child, URLPattern)
            found.append((child.name or route, route))
    return found


def rows(tenant: Tenant, connection: Any) -> dict[str, Any]:
    """One row of each model that the tenant's pages are about."""
    actor = tenant.actor("admin")
    return {
        "connection": connection,
        "membership": Membership.objects.visible_to(actor).get(user=tenant.people["viewer"]),
        "apikey": APIKey.objects.visible_to(actor).first(),
        "event": Event.objects.visible_to(actor).first(),
    }


def address(name: str, route: str, found: dict[str, Any]) -> str:
    """The path of a page, about the rows ``found``."""
    model = name.split("_")[1] if name.startswith("connections_") else ""
    row = found.get(model)
    path = ROW_PAGES.sub(str(row.pk) if row is not None else "1", route)
    path = path.replace("<slug:source>", "sqlite").replace("<slug:job>", "some-request")
    path = path.replace("<int:version>", "1")
    return "/admin/" + re.sub(r"\^?\(\?P<.*", "nothing", path)


def registered() -> list[Any]:
    return list(admin.site._registry.values())


class Page(HTMLParser):
    """What a rendered page holds that a strict policy would block: inline script and style, foreign addresses."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.inline: list[str] = []
        self.text: list[str] = []
        self.inputs: list[dict[str, str | None]] = []
        self._script = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "style" or "style" in found:
            self.inline.append(f"<{tag} style>")
        if tag == "script":
            self._script = "src" not in found
        self.inline += [f"<{tag} {name}>" for name in found if name.startswith("on")]
        for name in ("src", "href", "action", "formaction"):
            value = found.get(name) or ""
            if value.startswith(("http:", "https:", "//", "javascript:")):
                self.inline.append(f"<{tag} {name}={value}>")
        if tag in ("input", "textarea"):
            self.inputs.append(found)

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._script = False

    def handle_data(self, data: str) -> None:
        if self._script and data.strip():
            self.inline.append("<script>")
        self.text.append(data)
