"""Going into an organisation, and what its administrators decide of it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connections.admin import organisation
from connections.models import Organisation, Role
from connections.services import tenancy, visits, walls
from connections.services.errors import Invalid, NotFound


class ReasonForm(forms.Form):
    """Why a superuser wants to look into an organisation that is not theirs."""

    organisation = forms.CharField(widget=forms.HiddenInput)
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        min_length=visits.REASON_LENGTH[0],
        max_length=visits.REASON_LENGTH[1],
        widget=forms.TextInput({"class": "vLargeTextField", "autofocus": True, "autocomplete": "off"}),
        help_text=gettext_lazy("The organisation reads it, together with all that you do there."),
    )


class HouseForm(forms.Form):
    """What an organisation's own administrators decide."""

    accepts_unsafe_roles = forms.BooleanField(
        label=gettext_lazy("Accept privileged logins"),
        required=False,
        help_text=gettext_lazy(
            "Preview with database roles that cannot be contained, such as superusers: whoever may preview can then "
            "do on that server whatever the login may. The platform must allow it too."
        ),
    )


def switch(site: admin.AdminSite, request: HttpRequest) -> HttpResponse:
    """Make another organisation the active one. A superuser who is no member is asked for a reason first."""
    if request.method == "GET":  # whoever had to log in again comes back by this way
        return HttpResponseRedirect(reverse("admin:index", current_app=site.name))
    if request.method != "POST":
        return HttpResponseNotAllowed(["GET", "POST"])
    slug = request.POST.get("organisation", "").replace("\0", "")[:200]
    try:
        return _into(request, slug, None)
    except NotFound:
        with walls.platform():
            wanted = tenancy.organisations(request.user).filter(slug=slug).first()
        if wanted is None or not (request.user.is_active and getattr(request.user, "is_superuser", False)):
            raise
    form = ReasonForm(request.POST if "reason" in request.POST else None, initial={"organisation": slug})
    if form.is_bound and form.is_valid():
        try:
            return _into(request, slug, form.cleaned_data["reason"])
        except Invalid as exc:
            form.add_error("reason", exc.problems[0].detail)
    title = _("Why do you look into %(name)s?") % {"name": wanted.name}
    text = _("You are no member of this organisation. Its administrators are told that you came, and why.")
    return _page(site, request, title, _("Look in"), form=form, text=text)


def outside(site: admin.AdminSite, request: HttpRequest) -> HttpResponse | None:
    """What a superuser who is in no organisation sees in place of a page of one: the way in. None for others."""
    if not getattr(request.user, "is_superuser", False) or organisation.actor(request) is not None:
        return None
    shown = {
        **site.each_context(request),
        "opts": Organisation._meta,
        "title": _("Choose an organisation"),
        "list_url": reverse("admin:index", current_app=site.name),
    }
    return TemplateResponse(request, "admin/connections/outside.html", shown, status=403)


def settings(site: admin.AdminSite, request: HttpRequest) -> HttpResponse:
    """The settings that an organisation's own administrators decide."""
    actor = organisation.require_actor(request)
    if not actor.may(Role.ADMIN):
        raise PermissionDenied
    if request.method not in ("GET", "HEAD", "POST"):
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    accepted = actor.organisation.accepts_unsafe_roles
    form = HouseForm(request.POST if request.method == "POST" else None, initial={"accepts_unsafe_roles": accepted})
    if form.is_bound and form.is_valid():
        tenancy.decide(actor, form.cleaned_data)
        messages.success(request, _("The settings were saved."))
        return HttpResponseRedirect(reverse("admin:settings", current_app=site.name))
    return _page(site, request, _("Settings of %(name)s") % {"name": actor.organisation.name}, _("Save"), form=form)


def _into(request: HttpRequest, slug: str, reason: str | None) -> HttpResponse:
    actor = organisation.enter(request, slug, reason)
    messages.info(request, _("You are now in %(name)s.") % {"name": actor.organisation.name})
    return HttpResponseRedirect(reverse("admin:index"))


def _page(site: admin.AdminSite, request: HttpRequest, title: str, button: str, **context: Any) -> HttpResponse:
    shown = {
        **site.each_context(request),
        "opts": Organisation._meta,
        "title": title,
        "button": button,
        "list_url": reverse("admin:index", current_app=site.name),
        "is_alone": True,
        **context,
    }
    return TemplateResponse(request, "admin/connections/ask.html", shown)
