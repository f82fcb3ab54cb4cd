"""The events of an organisation in the admin: read, filtered, searched, taken away as a file, never changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ORDER_VAR, PAGE_VAR
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connections.adapters.errors import AdapterError
from connections.admin import organisation
from connections.admin.changes import changed, detail
from connections.admin.filters import OwnFilter
from connections.admin.labels import badge
from connections.admin.refusals import not_there
from connections.admin.tenant import TenantAdmin, UnlistableError
from connections.admin.visible import clipped, visible
from connections.models import Event, Role
from connections.services import connections, ends, exporting
from connections.services.actor import Actor
from connections.services.exporting import Export

LABELS = {"csv": gettext_lazy("Export as CSV"), "ndjson": gettext_lazy("Export as NDJSON")}
MOST_FILTER = 500  # characters of a filter that the record keeps
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


class TimeFilter(admin.DateFieldListFilter):
    """Stock's filter by a date, under a name that is one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = gettext_lazy("time")


class EventAdmin(TenantAdmin):
    view_role = Role.ADMIN
    list_display = ("shown_at", "action", "shown_object", "shown_result", "shown_actor", "request_id")
    list_filter = (ActionFilter, ResultFilter, ("at", TimeFilter))
    lookups = ("at__gte", "at__lt")
    search_fields = ("=request_id", "object_label", "actor_label", "=object_id")
    search_help_text = gettext_lazy("Request id, object or actor.")
    show_full_result_count = False
    actions = None
    change_list_template = "admin/connections/events.html"

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.export_view)
        return [path("export/", view, name="connections_event_export"), *super().get_urls()]

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """As stock. A list of all events does not offer to show all."""
        listed = super().get_changelist_instance(request)
        if not listed.query and not listed.has_active_filters:
            listed.full_result_count = listed.result_count
        return listed

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        ends.write()
        shown = {"exports": LABELS, "export_url": _export_url(request), **(extra_context or {})}
        page: HttpResponse = super().changelist_view(request, shown)
        return page

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """The events that the list shows under the same query, all pages of it, as a file."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        back = reverse("admin:connections_event_changelist")
        form = request.POST.get("format", "")
        if form not in exporting.FORMATS:
            return HttpResponseRedirect(back)
        actor = organisation.require_actor(request)
        try:
            listed = self.get_changelist_instance(request)
            chosen = listed.get_query_string(remove=[PAGE_VAR, ORDER_VAR]).removeprefix("?")
            parts = exporting.export(actor, form, listed.queryset, chosen[:MOST_FILTER])
        except UnlistableError:
            return HttpResponseRedirect(back)
        except AdapterError as exc:
            messages.error(request, f"{exc.message} {exc.hint or ''}".strip())
            return HttpResponseRedirect(back)
        response = StreamingHttpResponse(_ended_visibly(parts, form), content_type=exporting.FORMATS[form])
        response["Content-Disposition"] = f'attachment; filename="{actor.organisation.slug}-events.{form}"'
        return response

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
            "about": _page_of(organisation.require_actor(request), row),
        }
        return TemplateResponse(request, "admin/connections/event.html", shown)


def _export_url(request: HttpRequest) -> str:
    """Where the list under this query is had as a file."""
    query = request.GET.copy()
    for name in (PAGE_VAR, ORDER_VAR):
        query.pop(name, None)
    return f"{reverse('admin:connections_event_export')}{'?' if query else ''}{query.urlencode()}"


def _page_of(actor: Actor, row: Event) -> str:
    """The page of the connection that an event is about; empty for another thing, and for one that is gone."""
    if row.object_kind != "connection" or not row.object_id:
        return ""
    try:
        found = connections.visible(actor).filter(pk=row.object_id).exists()
    except ValidationError:
        return ""
    return reverse("admin:connections_connection_history", args=[row.object_id]) if found else ""


def _ended_visibly(parts: Export, form: str) -> Iterator[bytes]:
    """``parts``. A failure midway ends NDJSON with a line that says so, and aborts CSV."""
    try:
        yield from parts
    except AdapterError as exc:
        if form != "ndjson":
            raise
        yield json.dumps({"error": {"code": exc.code, "title": exc.title, "detail": exc.message}}).encode() + b"\n"


def _facts(row: Event) -> list[tuple[str, Any]]:
    facts = [
        (_("At"), f"{row.at:%Y-%m-%d %H:%M:%S.%f} UTC"),
        (_("Actor"), f"{visible(row.actor_label)} ({row.actor_kind})"),
        (_("Address"), row.ip),
        (_("Action"), row.action),
        (_("Object"), f"{visible(row.object_label)} {row.object_id}".strip()),
        (_("Version"), row.object_version),
        (_("Result"), f"{row.result} {row.code}".strip()),
        (_("Request id"), row.request_id),
    ]
    return [(label, value) for label, value in facts if value not in (None, "")]
