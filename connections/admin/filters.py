"""Filters of the list of connections. Their choices come from the active organisation's rows alone."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from connections.admin import labels, organisation
from connections.models import Connection
from connections.services import connections, state


class OwnFilter(SimpleListFilter):
    """A filter whose value must be one of its choices; another value finds nothing, and raises nothing."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        rows = Connection.objects.all().visible_to(organisation.require_actor(request)).order_by()
        return [(value, self.words(value)) for value in self.values(rows)]

    def has_output(self) -> bool:
        """Also with no choices, when a value is asked for: it finds nothing then, and is not ignored."""
        return bool(self.lookup_choices) or self.value() is not None

    def values(self, rows: QuerySet[Connection]) -> list[str]:
        raise NotImplementedError

    def words(self, value: str) -> Any:
        return value

    def queryset(self, request: HttpRequest, queryset: QuerySet[Connection]) -> QuerySet[Connection]:
        value = self.value()
        if value is None:
            return queryset
        if value not in {str(choice) for choice, _words in self.lookup_choices}:
            return queryset.none()
        return self.chosen(queryset, value)

    def chosen(self, rows: QuerySet[Connection], value: str) -> QuerySet[Connection]:
        raise NotImplementedError


class SourceFilter(OwnFilter):
    title = _("source")
    parameter_name = "source"

    def values(self, rows: QuerySet[Connection]) -> list[str]:
        return sorted(rows.values_list("source", flat=True).distinct())

    def words(self, value: str) -> str:
        return labels.source_label(value)

    def chosen(self, rows: QuerySet[Connection], value: str) -> QuerySet[Connection]:
        return rows.filter(source=value)


class StatusFilter(OwnFilter):
    title = _("status")
    parameter_name = "status"
    _WORDS = {"ok": labels.STATUSES[True][2], "failed": labels.STATUSES[False][2], "unknown": labels.STATUSES[None][2]}

    def values(self, rows: QuerySet[Connection]) -> list[str]:
        return list(connections.STATUS_FILTERS)

    def words(self, value: str) -> Any:
        return self._WORDS[value]

    def chosen(self, rows: QuerySet[Connection], value: str) -> QuerySet[Connection]:
        return rows.filter(connections.STATUS_FILTERS[value])


class StateFilter(OwnFilter):
    title = _("state")
    parameter_name = "state"

    def values(self, rows: QuerySet[Connection]) -> list[str]:
        return list(state.STATES)

    def words(self, value: str) -> Any:
        return labels.STATES[value]

    def chosen(self, rows: QuerySet[Connection], value: str) -> QuerySet[Connection]:
        return rows.filter(pk__in=[row.pk for row in rows if state.state(row) == value])


class ExpiryFilter(OwnFilter):
    """By when the first secret or certificate ends, as far as that is known."""

    title = _("expiry")
    parameter_name = "expiring"
    _WORDS = {
        "0": _("Expired"),
        "1": _("Expired or within a day"),
        "7": _("Expired or within 7 days"),
        "30": _("Expired or within 30 days"),
    }

    def values(self, rows: QuerySet[Connection]) -> list[str]:
        return list(self._WORDS)

    def words(self, value: str) -> Any:
        return self._WORDS[value]

    def chosen(self, rows: QuerySet[Connection], value: str) -> QuerySet[Connection]:
        return rows.filter(connections.expiring_within(int(value)))


class EnvironmentFilter(OwnFilter):
    title = _("environment")
    parameter_name = "environment"

    def values(self, rows: QuerySet[Connection]) -> list[str]:
        return sorted(filter(None, rows.values_list("environment", flat=True).distinct()))

    def chosen(self, rows: QuerySet[Connection], value: str) -> QuerySet[Connection]:
        return rows.filter(environment=value)


class TagFilter(OwnFilter):
    title = _("tag")
    parameter_name = "tag"

    def values(self, rows: QuerySet[Connection]) -> list[str]:
        return sorted({tag for tags in rows.values_list("tags", flat=True) for tag in tags})

    def chosen(self, rows: QuerySet[Connection], value: str) -> QuerySet[Connection]:
        return rows.filter(pk__in=[pk for pk, tags in rows.values_list("pk", "tags") if value in tags])
