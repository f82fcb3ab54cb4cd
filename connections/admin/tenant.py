"""The bases of every page over rows: one for rows of an organisation, one for the platform's own.

Stock Django scopes nothing by itself: pickers, filters, lookups and prefilled forms all read whole tables. Here they
read what the active organisation has, and what is another's is as if it did not exist. Rights come from the role.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin import SimpleListFilter, helpers
from django.contrib.admin.filters import RelatedFieldListFilter
from django.contrib.admin.options import IS_FACETS_VAR, IS_POPUP_VAR, TO_FIELD_VAR, IncorrectLookupParameters
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ERROR_FLAG
from django.core.exceptions import PermissionDenied, SuspiciousOperation, ValidationError
from django.db import models
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect

from connections.admin import organisation
from connections.admin.refusals import not_there
from connections.models import Organisation, Role
from connections.services import walls
from connections.services.actor import Actor

UNUSED = {IS_POPUP_VAR, TO_FIELD_VAR, IS_FACETS_VAR, ERROR_FLAG}
"""Words of stock pages that no page here uses: pickers in windows of their own, counts of filters, an error's mark."""


class UnlistableError(Exception):
    """A listed lookup has a value that it cannot have, or there is no such page."""


def _refuse_unused(request: HttpRequest) -> None:
    """Raise ``SuspiciousOperation``, a bad request, for what only a probe asks for."""
    if UNUSED & {*request.GET, *request.POST}:
        raise SuspiciousOperation("This page is not asked so.")


class ExactLookups(admin.ModelAdmin):  # type: ignore[type-arg]
    """Only the lookups that are listed can be asked for; everything else is a bad request."""

    lookups: ClassVar[Collection[str]] = ()
    """Lookups of the list's URL besides those of its ``SimpleListFilter``: ``role__exact``."""
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    list_max_show_all = 200

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        simple = {
            item.parameter_name
            for item in self.get_list_filter(request)
            if isinstance(item, type) and issubclass(item, SimpleListFilter)
        }
        return lookup in simple or lookup in self.lookups

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Nothing: a link does not fill a form in somebody's name."""
        return {}

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *args: Any) -> HttpResponse | None:
        for value in request.POST.getlist(helpers.ACTION_CHECKBOX_NAME):
            try:
                self.opts.pk.to_python(value)
            except ValidationError:
                raise SuspiciousOperation("A selected row is no row's id.") from None
        return super().response_action(request, queryset, *args)

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        raise not_there(opts, unquote(object_id))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """As stock, under the name of what is listed. What cannot be listed leads to the list without it."""
        title = str(self.opts.verbose_name_plural)
        try:
            return super().changelist_view(request, {"title": title[:1].upper() + title[1:], **(extra_context or {})})
        except UnlistableError:
            return HttpResponseRedirect(request.path)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        _refuse_unused(request)
        try:
            return super().get_changelist_instance(request)
        except IncorrectLookupParameters as exc:
            if not request.GET:
                raise
            raise UnlistableError from exc

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        _refuse_unused(request)
        return super().changeform_view(request, object_id, form_url, extra_context)


class OwnRelatedListFilter(RelatedFieldListFilter):
    """A filter by a related row, of the active organisation's only."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        rows = own_rows(field.remote_field.model, organisation.require_actor(request))
        return [(str(row.pk), str(row)) for row in rows]


def own_rows(model: type[Model], actor: Actor) -> QuerySet[Any]:
    """The rows of ``model`` that the actor's organisation has; none where the model does not say whose a row is."""
    rows = model._default_manager.all()
    if model is Organisation:
        return rows.filter(pk=actor.organisation_id)
    if hasattr(rows, "visible_to"):
        return rows.visible_to(actor)  # type: ignore[no-any-return]
    return rows.none()


class TenantAdmin(ExactLookups):
    """The base of pages over rows of an organisation. Roles of None mean nobody."""

    view_role: ClassVar[Role | None] = Role.VIEWER
    add_role: ClassVar[Role | None] = None
    change_role: ClassVar[Role | None] = None
    delete_role: ClassVar[Role | None] = None

    # Rows ------------------------------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return own_rows(self.model, organisation.require_actor(request))

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        actor = organisation.require_actor(request)
        found, duplicates = super().get_search_results(request, queryset, search_term.replace("\0", ""))
        return found.filter(organisation_id=actor.organisation_id), duplicates

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["queryset"] = own_rows(db_field.remote_field.model, organisation.require_actor(request))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["queryset"] = own_rows(db_field.remote_field.model, organisation.require_actor(request))
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        return [self._own_filter(item) for item in super().get_list_filter(request)]

    def _own_filter(self, item: Any) -> Any:
        if not isinstance(item, str):
            return item
        field = self.opts.get_field(item)
        return (item, OwnRelatedListFilter) if isinstance(field, models.ForeignKey | models.ManyToManyField) else item

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """No bulk action but our own: the stock one deletes rows behind the services' back."""
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *args: Any) -> HttpResponse | None:
        """As stock. One selected row that is not the organisation's refuses the whole, and nothing is done."""
        ids = request.POST.getlist(helpers.ACTION_CHECKBOX_NAME)
        try:
            asked = {self.opts.pk.to_python(value): value for value in ids}
        except ValidationError:
            raise SuspiciousOperation("A selected row is no row's id.") from None
        own = set(self.get_queryset(request).filter(pk__in=asked).values_list("pk", flat=True))
        for pk, value in asked.items():
            if pk not in own:
                raise not_there(self.opts, value)
        return super().response_action(request, queryset, *args)

    # Rights ----------------------------------------------------------------------------------------------------

    def _may(self, request: HttpRequest, role: Role | None, row: Any = None) -> bool:
        actor = organisation.actor(request)
        if actor is None or role is None or not actor.may(role):
            return False
        return row is None or row.organisation_id == actor.organisation_id

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, self.view_role, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._may(request, self.add_role)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, self.change_role, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, self.delete_role, obj)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._may(request, self.view_role)

    # The record ------------------------------------------------------------------------------------------------

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Django's own log stays empty: the events are the record, written by the services."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """As ``log_addition``."""

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """As ``log_addition``."""

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Nothing here: rows have no history besides the events."""
        raise Http404

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """As stock; where nobody deletes, there is no such page, for whatever id."""
        if self.delete_role is None:
            raise Http404
        return super().delete_view(request, object_id, extra_context)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Services save. A page that came here forgot to call one."""
        raise PermissionDenied

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """As ``save_model``."""
        raise PermissionDenied

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """As ``save_model``."""
        raise PermissionDenied


class PlatformAdmin(ExactLookups):
    """The base of pages over the platform's own rows: for superusers, and for nobody else."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_superuser(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_superuser(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_superuser(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return is_superuser(request)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """All rows, for a superuser, who from here on works for the platform until the page is done."""
        if is_superuser(request):
            walls.enter_platform()
        return super().get_queryset(request)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """As stock, which would tell anybody whether there is such a row before it asks who wants to know."""
        if not is_superuser(request):
            raise PermissionDenied
        return super().history_view(request, object_id, extra_context)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """As the rows: a form looks for others of the same name."""
        if is_superuser(request):
            walls.enter_platform()
        return super().changeform_view(request, *args, **kwargs)


def is_superuser(request: HttpRequest) -> bool:
    person = request.user
    return bool(person.is_active and person.is_staff and person.is_superuser)
