"""The events of an organisation in the admin: read, filtered, searched, never changed."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connections.admin import organisation
from connections.admin.changes import changed, detail
from connections.admin.filters import OwnFilter
from connections.admin.labels import badge
from connections.admin.refusals import not_there
from connections.admin.tenant import TenantAdmin
from connections.admin.visible import clipped, visible
from connections.models import Event, Role
from connections.services import ends

MARKS = {"ok": ("ok", "✓"), "failed": ("failed", "✕"), "denied": ("failed", "✕"), "started": ("unknown", "…")}


class EventFilter(OwnFilter):
    """A filter by a column of the events, whose values are those that the organisation has."""

    column: ClassVar[str]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        rows = Event.objects.all().visible_to(organisation.require_actor(request)).order_by()
        return [(value, value) for value in sorted(rows.values_list(self.column, flat=True).distinct())]

    def chosen(self, rows: Any, value: str) -> Any:
        return rows.filter(**{self.column: value})


class ActionFilter(EventFilter):
    title = gettext_lazy("action")
    parameter_name = column = "action"


class ResultFilter(EventFilter):
    title = gettext_lazy("result")
    parameter_name = column = "result"


class EventAdmin(TenantAdmin):
    view_role = Role.ADMIN
    list_display = ("shown_at", "shown_actor", "action", "shown_object", "shown_result", "request_id")
    list_filter = (ActionFilter, ResultFilter, "at")
    lookups = ("at__gte", "at__lt")
    search_fields = ("=request_id", "object_label", "actor_label", "=object_id")
    search_help_text = gettext_lazy("Request id, object or actor.")
    show_full_result_count = False
    actions = None

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        ends.write()
        page: HttpResponse = super().changelist_view(request, extra_context)
        return page

    @admin.display(description=gettext_lazy("At"), ordering="at")
    def shown_at(self, row: Event) -> str:
        return row.at.strftime("%Y-%m-%d %H:%M:%S")

    @admin.display(description=gettext_lazy("Actor"), ordering="actor_label")
    def shown_actor(self, row: Event) -> str:
        return clipped(visible(row.actor_label), 80)

    @admin.display(description=gettext_lazy("Object"), ordering="object_label")
    def shown_object(self, row: Event) -> str:
        return clipped(visible(row.object_label), 80)

    @admin.display(description=gettext_lazy("Result"), ordering="result")
    def shown_result(self, row: Event) -> SafeString:
        mark, icon = MARKS.get(row.result, ("unknown", "–"))
        return badge(mark, icon, f"{row.result} {row.code}".strip())

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """One event, with all that it says."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise not_there(self.opts, unquote(object_id))
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        shown = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Event %(action)s") % {"action": row.action},
            "list_url": reverse("admin:connections_event_changelist"),
            "facts": _facts(row),
            "changes": changed(row),
            "details": detail(row),
        }
        return TemplateResponse(request, "admin/connections/event.html", shown)


def _facts(row: Event) -> list[tuple[str, Any]]:
    facts = [
        (_("At"), row.at.isoformat()),
        (_("Actor"), f"{visible(row.actor_label)} ({row.actor_kind})"),
        (_("Address"), row.ip),
        (_("Action"), row.action),
        (_("Object"), f"{visible(row.object_label)} {row.object_id}".strip()),
        (_("Version"), row.object_version),
        (_("Result"), f"{row.result} {row.code}".strip()),
        (_("Request id"), row.request_id),
    ]
    return [(label, value) for label, value in facts if value not in (None, "")]
