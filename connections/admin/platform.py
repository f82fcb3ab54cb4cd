"""What superusers run: the organisations, and the people who may log in."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connections.adapters.egress import Opening
from connections.adapters.registry import registry
from connections.admin.labels import moment
from connections.admin.tenant import PlatformAdmin, is_superuser
from connections.models import Organisation
from connections.services import budgets, people, standing, tenancy, visits
from connections.services.errors import KeyAway, RingRefused
from connections.services.references import Pattern

TOLD = ("username", "first_name", "last_name", "email", "is_active", "is_staff", "is_superuser")
"""What the record tells of a person, before and after."""


def _asking(request: HttpRequest) -> tuple[str, str | None]:
    """The request's id and its caller's address, for the record."""
    return getattr(request, "request_id", ""), request.META.get("REMOTE_ADDR") or None


class LinesField(forms.CharField):
    """A list of texts, one on each line."""

    widget = forms.Textarea

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return [line.strip() for line in str(value or "").splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool((initial or []) != self.to_python(data))


class OrganisationForm(forms.ModelForm):  # type: ignore[type-arg]
    sources = LinesField(
        label=_("Allowed sources"),
        required=False,
        widget=forms.Textarea({"rows": 4, "class": "vLargeTextField"}),
        help_text=_("Source ids, one on each line; empty allows all that are installed."),
    )
    egress = LinesField(
        label=_("Opened networks"),
        required=False,
        widget=forms.Textarea({"rows": 4, "class": "vLargeTextField"}),
        help_text=_("Private networks that this organisation may reach, a line each: 10.1.0.0/16, 10.1.2.3/32:5432."),
    )
    references = LinesField(
        label=_("Allowed references"),
        required=False,
        widget=forms.Textarea({"rows": 4, "class": "vLargeTextField"}),
        help_text=_(
            "Where its secrets may be kept, a line each: env:ACME_*, file:acme/*, vault:secret/acme/*. "
            "The deployment must allow them too."
        ),
    )
    suspended = forms.BooleanField(
        label=_("Suspended"), required=False, help_text=_("Nobody can log in to it, and its keys are refused.")
    )

    class Meta:
        model = Organisation
        fields = ("name", "slug", "sources", "egress", "references", "allow_unsafe_roles")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["suspended"].initial = self.instance.suspended_at is not None
        for name in budgets.NAMES:
            self.fields[name].initial = self.instance.budgets.get(name)
            self.fields[name].widget.attrs["placeholder"] = getattr(settings, f"CATALOG_{name.upper()}")

    def clean(self) -> dict[str, Any] | None:
        """As stock. A new organisation gets its data key now: a vault that is away is told on the form."""
        super().clean()
        if self.instance._state.adding and not self.errors:
            named = Organisation(slug=self.cleaned_data["slug"], name=self.cleaned_data["name"])
            try:
                self.planned = tenancy.plan(named)
            except (KeyAway, RingRefused) as exc:
                raise ValidationError(f"{exc.message} {exc.hint}", code=exc.code) from None
        return self.cleaned_data

    def own_budgets(self) -> dict[str, Any]:
        """The limits that were entered; the deployment's hold for the others."""
        return {name: value for name in budgets.NAMES if (value := self.cleaned_data[name]) is not None}

    def clean_sources(self) -> list[str]:
        found: list[str] = self.cleaned_data["sources"]
        unknown = [source for source in found if source not in registry]
        if unknown:
            raise ValidationError(_("There is no source %(names)s."), params={"names": ", ".join(unknown)})
        return found

    def clean_egress(self) -> list[str]:
        found: list[str] = self.cleaned_data["egress"]
        for text in found:
            try:
                Opening.parse(text)
            except ValueError as exc:
                raise ValidationError(str(exc)) from None
        return found

    def clean_references(self) -> list[str]:
        found: list[str] = self.cleaned_data["references"]
        for text in found:
            try:
                Pattern.parse(text)
            except ValueError as exc:
                raise ValidationError(str(exc)) from None
        return found


def _budget_field(name: str) -> forms.Field:
    label = _(name.replace("_", " ").capitalize())
    if budgets.is_whole(name):
        return forms.IntegerField(label=label, required=False, min_value=1)
    return forms.FloatField(label=label, required=False, min_value=0.1, help_text=_("Seconds."))


OrganisationForm.declared_fields.update({name: _budget_field(name) for name in budgets.NAMES})


class OrganisationAdmin(PlatformAdmin):
    form = OrganisationForm
    fieldsets = (
        (None, {"fields": ("name", "slug", "sources", "egress", "references", "allow_unsafe_roles", "suspended")}),
        (_("Budgets"), {"fields": budgets.NAMES, "description": _("Left empty, the deployment's own limit holds.")}),
    )
    list_display = ("name", "slug", "is_suspended", "shown_created")
    search_fields = ("name", "slug")

    def is_suspended(self, row: Organisation) -> bool:
        return row.suspended_at is not None

    is_suspended.boolean = True  # type: ignore[attr-defined]
    is_suspended.short_description = _("Suspended")  # type: ignore[attr-defined]

    @admin.display(description=_("Since"), ordering="created_at")
    def shown_created(self, row: Organisation) -> str:
        return moment(row.created_at)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Nothing here: the organisation's own events have it."""
        if not is_superuser(request):
            raise PermissionDenied
        raise Http404

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("slug",) if obj is not None else ()  # keys, files and programs know it by its slug

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody: an organisation is suspended, and keeps its record."""
        return False

    def save_model(self, request: HttpRequest, obj: Organisation, form: Any, change: bool) -> None:
        values = form.cleaned_data
        wanted = {name: values[name] for name in ("name", "sources", "egress", "references", "allow_unsafe_roles")}
        wanted["budgets"] = form.own_budgets()
        suspended = values["suspended"]
        wanted["suspended_at"] = (obj.suspended_at or timezone.now()) if suspended else None
        asking = _asking(request)
        if not change:
            made = tenancy.found(request.user, form.planned, *asking)
            obj.pk, obj.slug = made.pk, made.slug
            obj._state.adding = False
        tenancy.configure(visits.as_platform(request.user, obj, *asking), wanted)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The organisation's own events have it."""

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """As ``log_change``."""


class PersonAdmin(PlatformAdmin, UserAdmin):  # type: ignore[type-arg]
    """Users. Groups and permissions are not shown, as they grant nothing here."""

    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (_("Personal info"), {"fields": ("first_name", "last_name", "email")}),
        (_("Access"), {"fields": ("is_active", "is_staff", "is_superuser")}),
        (_("Important dates"), {"fields": ("shown_login", "shown_joined")}),
    )
    add_fieldsets = (
        (None, {"classes": ("wide",), "fields": ("username", "email", "usable_password", "password1", "password2")}),
    )
    list_display = ("username", "email", "is_active", "is_staff", "is_superuser", "shown_login")
    list_filter = ("is_active", "is_staff", "is_superuser")
    lookups = ("is_active__exact", "is_staff__exact", "is_superuser__exact")
    filter_horizontal = ()
    readonly_fields = ("shown_login", "shown_joined")

    @admin.display(description=_("Last login"), ordering="last_login")
    def shown_login(self, row: Any) -> str:
        return moment(row.last_login)

    @admin.display(description=_("Since"), ordering="date_joined")
    def shown_joined(self, row: Any) -> str:
        return moment(row.date_joined)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """As stock, on record. Whoever is made inactive, or no superuser any more, loses what runs for them."""
        super().save_model(request, obj, form, change)
        told = [name for name in form.changed_data if name in TOLD]
        changes = {name: [form.initial.get(name), form.cleaned_data[name]] for name in told}
        people.record(request.user, obj, "person.change" if change else "person.add", changes, *_asking(request))
        standing.watch.doubt()

    @transaction.atomic
    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        page: HttpResponse = super().user_change_password(request, id, form_url)
        return page

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """As stock. The page for a new password saves without ``save_model``, and then comes here."""
        if request.resolver_match is not None and request.resolver_match.url_name == "auth_user_password_change":
            people.record(request.user, obj, "person.password", {}, *_asking(request))
        return super().log_change(request, obj, message)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody: a person is made inactive, and the record still names them."""
        return False
