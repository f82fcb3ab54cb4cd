"""Members and API keys in the admin. Every change goes through a service, which may refuse it."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connections.admin import organisation
from connections.admin.acting import named
from connections.admin.labels import moment
from connections.admin.refusals import not_there
from connections.admin.tenant import TenantAdmin
from connections.models import APIKey, Membership, Role
from connections.services import api_keys, connections, tenancy
from connections.services.actor import Actor
from connections.services.errors import CatalogueError, Forbidden, NotFound

WIDE = {"class": "vTextField"}


class MemberForm(forms.Form):
    email = forms.EmailField(
        label=gettext_lazy("E-mail address"),
        widget=forms.EmailInput(WIDE),
        help_text=gettext_lazy("Of somebody who has an account in this catalogue."),
    )
    role = forms.ChoiceField(label=gettext_lazy("Role"), choices=Role.choices, initial=Role.VIEWER)


class RoleForm(forms.Form):
    role = forms.ChoiceField(label=gettext_lazy("Role"), choices=Role.choices)


class KeyForm(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=200,
        widget=forms.TextInput(WIDE),
        help_text=gettext_lazy("What will use it."),
    )
    role = forms.ChoiceField(label=gettext_lazy("Role"), choices=Role.choices, initial=Role.VIEWER)
    expires_at = forms.DateTimeField(
        label=gettext_lazy("Expires"),
        required=False,
        widget=forms.DateTimeInput({"type": "datetime-local"}),
        help_text=gettext_lazy("In UTC. Never, if left empty."),
    )

    connections = forms.MultipleChoiceField(
        label=gettext_lazy("Only these connections"),
        required=False,
        help_text=gettext_lazy("All that there are and will be, if none is chosen."),
    )

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = connections.visible(actor).order_by("name", "slug").values_list("slug", "name")
        self.fields["connections"].choices = [  # type: ignore[attr-defined]
            (slug, name if name == slug else f"{name} ({slug})") for slug, name in rows
        ]


class ServicePages(TenantAdmin):
    """Pages that ask with a plain form and hand the answer to a service."""

    view_role = add_role = change_role = delete_role = Role.ADMIN
    actions = None

    @admin.display(description=gettext_lazy("Since"), ordering="created_at")
    def shown_created(self, row: Any) -> str:
        return moment(row.created_at)

    def ask(self, request: HttpRequest, title: str, button: str, **context: Any) -> HttpResponse:
        shown = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "button": button,
            "list_url": self.list_url,
            **context,
        }
        return TemplateResponse(request, "admin/connections/ask.html", shown)

    def row(self, request: HttpRequest, object_id: str) -> Any:
        """The organisation's row. Raises ``NotFound``."""
        found = self.get_object(request, unquote(object_id))
        if found is None:
            raise not_there(self.opts, unquote(object_id))
        return found

    def done(self, request: HttpRequest, text: str) -> HttpResponseRedirect:
        messages.success(request, text)
        return HttpResponseRedirect(self.list_url)

    @property
    def list_url(self) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")


def refuse(form: forms.Form, exc: CatalogueError) -> None:
    """Put a refusal on the inputs it is about. What somebody may not do is raised again, and goes on record."""
    if isinstance(exc, Forbidden):
        raise exc
    for problem in exc.problems:
        name = problem.pointer.strip("/")
        form.add_error(name if name in form.fields else None, problem.detail)
    if not exc.problems:
        form.add_error(None, exc.message)


class MembershipAdmin(ServicePages):
    list_display = ("shown_user", "role", "email", "shown_created")
    list_filter = ("role",)
    lookups: ClassVar[tuple[str, ...]] = ("role__exact",)
    search_fields = ("user__username", "user__email")
    ordering = ("user__username",)
    list_select_related = ("user",)

    @admin.display(description=gettext_lazy("User"), ordering="user__username")
    def shown_user(self, row: Membership) -> str:
        return row.user.get_username()

    @admin.display(description=gettext_lazy("E-mail address"), ordering="user__email")
    def email(self, row: Membership) -> str:
        return row.user.email

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        actor = organisation.require_actor(request)
        actor.require(Role.ADMIN)
        form = MemberForm(request.POST if request.method == "POST" else None)
        if form.is_bound and form.is_valid():
            email = form.cleaned_data["email"]
            try:
                tenancy.add_member(actor, email, form.cleaned_data["role"])
            except CatalogueError as exc:
                refuse(form, exc)
            else:
                told = _("If %(email)s has an account, it is a member now. Whoever was one before keeps their role.")
                return self.done(request, told % {"email": email})
        return self.ask(request, _("Add a member"), _("Add"), form=form)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        actor = organisation.require_actor(request)
        actor.require(Role.ADMIN)
        member = self.row(request, object_id)
        form = RoleForm(request.POST if request.method == "POST" else None, initial={"role": member.role})
        if form.is_bound and form.is_valid():
            try:
                tenancy.change_member(actor, member.pk, form.cleaned_data["role"])
            except CatalogueError as exc:
                refuse(form, exc)
            else:
                return self.done(request, _("The role of %(name)s was changed.") % {"name": member.user.get_username()})
        delete_url = reverse("admin:connections_membership_delete", args=[member.pk])
        title = _("Role of %(name)s") % {"name": member.user.get_username()}
        return self.ask(request, title, _("Save"), form=form, remove_url=delete_url, remove=_("Remove this member"))

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        actor = organisation.require_actor(request)
        actor.require(Role.ADMIN)
        member = self.row(request, object_id)
        error = ""
        if request.method == "POST":
            try:
                tenancy.remove_member(actor, member.pk)
            except NotFound:
                raise Http404 from None
            except CatalogueError as exc:
                error = exc.message
            else:
                return self.done(request, _("%(name)s is no member any more.") % {"name": member.user.get_username()})
        title = _("Remove %(name)s?") % {"name": member.user.get_username()}
        text = _("The keys that this member made stop working. The account itself stays.")
        return self.ask(request, title, _("Remove"), text=text, danger=True, error=error)


class APIKeyAdmin(ServicePages):
    list_display = ("name", "role", "shown_prefix", "shown_reach", "maker", "shown_end", "shown_use", "shown_created")
    list_filter = ("role",)
    lookups: ClassVar[tuple[str, ...]] = ("role__exact",)
    search_fields = ("name", "prefix")
    list_select_related = ("membership__user",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[APIKey]:
        actor = organisation.require_actor(request)
        actor.require(Role.ADMIN)
        return api_keys.visible(actor)

    @admin.display(description=gettext_lazy("Begins with"))
    def shown_prefix(self, row: APIKey) -> str:
        return f"ck_{row.prefix}_…"

    @admin.display(description=gettext_lazy("Connections"))
    def shown_reach(self, row: APIKey) -> str:
        slugs = api_keys.reached(row)
        return _("All") if slugs is None else named(slugs) or _("None any more")

    @admin.display(description=gettext_lazy("Expires"), ordering="expires_at")
    def shown_end(self, row: APIKey) -> str:
        return moment(row.expires_at)

    @admin.display(description=gettext_lazy("Last used"), ordering="last_used_at")
    def shown_use(self, row: APIKey) -> str:
        return moment(row.last_used_at)

    @admin.display(description=gettext_lazy("Made by"))
    def maker(self, row: APIKey) -> str:
        return row.membership.user.get_username()

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Make a key. The answer shows it; nothing can show it again."""
        actor = organisation.require_actor(request)
        actor.require(Role.ADMIN)
        form = KeyForm(request.POST if request.method == "POST" else None, actor=actor)
        if form.is_bound and form.is_valid():
            values = form.cleaned_data
            try:
                key, text = api_keys.create(
                    actor, values["name"], values["role"], values["expires_at"], values["connections"] or None
                )
            except CatalogueError as exc:
                refuse(form, exc)
            else:
                return self.ask(request, _("Key %(name)s") % {"name": key.name}, "", key=text)
        return self.ask(request, _("Add an API key"), _("Make the key"), form=form)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """A key never changes: its page is the one that offers to revoke it."""
        organisation.require_actor(request).require(Role.ADMIN)
        key = self.row(request, object_id)
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        return HttpResponseRedirect(reverse("admin:connections_apikey_delete", args=[key.pk]))

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        actor = organisation.require_actor(request)
        actor.require(Role.ADMIN)
        key = self.row(request, object_id)
        if request.method == "POST":
            try:
                api_keys.revoke(actor, str(key.pk))
            except NotFound:
                raise Http404 from None
            return self.done(request, _("The key %(name)s was revoked.") % {"name": key.name})
        text = _("Programs that use this key are refused at once. A revoked key does not come back.")
        return self.ask(
            request, _("Revoke the key %(name)s?") % {"name": key.name}, _("Revoke"), text=text, danger=True
        )
