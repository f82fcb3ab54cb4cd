"""Connections in the admin: the list, its bulk actions, and the addresses of the pages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from connections.admin import acting, choosing, editing, expiring, labels, organisation, previewing, restoring, timeline
from connections.admin.filters import (
    EnvironmentFilter,
    ExpiryFilter,
    SourceFilter,
    StateFilter,
    StatusFilter,
    TagFilter,
)
from connections.admin.tenant import TenantAdmin
from connections.admin.visible import clipped, visible
from connections.admin.visits import GET, GET_POST, POST, View, Visit, route
from connections.models import Connection, Role
from connections.services import connections


class ConnectionAdmin(TenantAdmin):
    add_role = change_role = delete_role = Role.EDITOR
    list_display = (
        "shown_name",
        "shown_source",
        "shown_state",
        "shown_status",
        "environment",
        "shown_tags",
        "shown_expiry",
        "shown_use",
        "shown_updated",
    )
    list_filter = (SourceFilter, StateFilter, StatusFilter, ExpiryFilter, EnvironmentFilter, TagFilter)
    search_fields = ("name", "slug", "description", "source")
    actions = ("check_now", "pause", "resume", "delete")
    ordering = ("name",)
    change_list_template = "admin/connections/list.html"

    # The list --------------------------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Connection]:
        return connections.visible(organisation.require_actor(request)).select_related("organisation", "use")

    @admin.display(description=_("Name"), ordering="name")
    def shown_name(self, row: Connection) -> SafeString:
        return format_html('{}<span class="slug">{}</span>', row.name, row.slug if row.slug != row.name else "")

    @admin.display(description=_("Source"), ordering="source")
    def shown_source(self, row: Connection) -> str:
        return labels.source_label(row.source)

    @admin.display(description=_("Tags"))
    def shown_tags(self, row: Connection) -> SafeString:
        return format_html_join(" ", '<span class="tag">{}</span>', ((tag,) for tag in row.tags))

    @admin.display(description=_("State"))
    def shown_state(self, row: Connection) -> SafeString:
        return labels.state_badge(row)

    @admin.display(description=_("Status"), ordering="status_at")
    def shown_status(self, row: Connection) -> SafeString:
        if row.status_at is None:
            return labels.status_badge(row)
        day, moment = row.status_at.strftime("%Y-%m-%d"), row.status_at.strftime("%Y-%m-%d %H:%M")
        return format_html('{} <span class="when" title="{}">{}</span>', labels.status_badge(row), moment, day)

    @admin.display(description=_("Expires"), ordering="secrets_expire_at")
    def shown_expiry(self, row: Connection) -> SafeString | str:
        return labels.expiry_badge(row)

    @admin.display(description=_("Last used"), ordering="use__last_used_at")
    def shown_use(self, row: Connection) -> SafeString | str:
        use = getattr(row, "use", None)
        if use is None:
            return ""
        who = visible(use.last_used_by)
        day, moment = use.last_used_at.strftime("%Y-%m-%d"), use.last_used_at.strftime("%Y-%m-%d %H:%M")
        return format_html('{} <span class="slug" title="{} {}">{}</span>', day, moment, who, clipped(who, 14))

    @admin.display(description=_("Updated"), ordering="updated_at")
    def shown_updated(self, row: Connection) -> str:
        return row.updated_at.strftime("%Y-%m-%d")

    # Bulk actions ----------------------------------------------------------------------------------------------

    @admin.action(description=_("Check now"), permissions=["check"])
    def check_now(self, request: HttpRequest, queryset: QuerySet[Connection]) -> None:
        acting.check_many(self._visit(request), queryset)

    @admin.action(description=_("Pause"), permissions=["change"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Connection]) -> HttpResponse | None:
        return acting.pause_many(self._visit(request), list(queryset))

    @admin.action(description=_("Resume"), permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Connection]) -> None:
        acting.resume_many(self._visit(request), queryset)

    @admin.action(description=_("Delete"), permissions=["delete"])
    def delete(self, request: HttpRequest, queryset: QuerySet[Connection]) -> HttpResponse | None:
        return acting.delete_many(self._visit(request), list(queryset))

    def has_check_permission(self, request: HttpRequest) -> bool:
        return self._may(request, Role.ANALYST)

    # Pages -----------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[Any]:
        own: list[tuple[str, View, str, Role, tuple[str, ...]]] = [
            ("add/", choosing.choose, "add", Role.EDITOR, GET),
            ("add/<slug:source>/", editing.add, "add_source", Role.EDITOR, GET_POST),
            ("add/<slug:source>/test/", editing.test_new, "test_new", Role.EDITOR, POST),
            ("add/<slug:source>/parse-url/", editing.parse_url, "parse_url", Role.EDITOR, POST),
            ("<uuid:pk>/change/", editing.change, "change", Role.VIEWER, GET_POST),
            ("<uuid:pk>/test/", editing.test, "test", Role.EDITOR, POST),
            ("<uuid:pk>/check/", editing.check_now, "check", Role.ANALYST, POST),
            ("<uuid:pk>/preview/", previewing.preview, "preview", Role.ANALYST, GET_POST),
            ("<uuid:pk>/tables/", previewing.tables, "tables", Role.ANALYST, POST),
            ("<uuid:pk>/export/", previewing.export, "export", Role.ANALYST, POST),
            ("cancel/<slug:job>/", previewing.cancel, "cancel", Role.ANALYST, POST),
            ("<uuid:pk>/history/", timeline.history, "history", Role.VIEWER, GET),
            ("<uuid:pk>/history/<int:version>/restore/", restoring.restore, "restore", Role.EDITOR, GET_POST),
            ("<uuid:pk>/expiry/", expiring.dates, "expiry", Role.EDITOR, GET_POST),
            ("<uuid:pk>/pause/", acting.pause, "pause", Role.EDITOR, GET_POST),
            ("<uuid:pk>/resume/", acting.resume, "resume", Role.EDITOR, POST),
            ("<uuid:pk>/clone/", acting.clone, "clone", Role.EDITOR, GET_POST),
            ("<uuid:pk>/delete/", acting.delete, "delete", Role.EDITOR, GET_POST),
        ]
        # Of the stock pages only the list stays: the others know nothing of sources, secrets or services.
        stock = [pattern for pattern in super().get_urls() if (pattern.name or "").endswith("_changelist")]
        return [*(route(self, *page) for page in own), *stock]

    def _visit(self, request: HttpRequest) -> Visit:
        return Visit(request, organisation.require_actor(request), self)
