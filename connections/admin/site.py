"""The admin site: stock Django, in the active organisation."""

from __future__ import annotations

import functools
from typing import Any

from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path
from django.utils.translation import gettext_lazy

from connections.admin import crossing, entering, organisation, refusals
from connections.admin.overview import overview
from connections.services import people
from connections.services.errors import Forbidden, NotFound

# Stock views that no page here uses, and that would be one more way to ask for rows.
UNUSED = ("autocomplete", "view_on_site")
# The places of the header, in the order of how often they are wanted. Others come last.
PLACES = ("Connection", "Membership", "APIKey", "Event", "Organisation", "User")


class LoginForm(AdminAuthenticationForm):
    """As stock, in words that a member knows."""

    error_messages = {
        **AdminAuthenticationForm.error_messages,
        "invalid_login": gettext_lazy(
            "This username and password belong to no account that may come in. Capitals and small letters count."
        ),
    }


class CatalogueAdminSite(admin.AdminSite):
    site_title = gettext_lazy("Connection catalogue")
    site_header = gettext_lazy("Connection catalogue")
    index_title = gettext_lazy("Your connections")
    site_url = None
    enable_nav_sidebar = False  # the few places there are stand in the header
    login_form = LoginForm
    index_template = "admin/connections/index.html"

    def has_permission(self, request: HttpRequest) -> bool:
        """Members of an organisation may come in, and superusers."""
        person = request.user
        if not (person.is_active and person.is_staff):
            return False
        found = organisation.actor(request)  # asked of everybody: from here on it is known whose rows there are
        return bool(person.is_superuser) or found is not None

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """As stock. For every page: a refusal goes on record, and a service's is told in HTTP's words.

        What was sent from a page of another organisation than the active one is not looked at.
        """

        @functools.wraps(view)
        def translated(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if (of_another := crossing.refused(self, request)) is not None:
                return of_another
            try:
                return view(request, *args, **kwargs)
            except (Forbidden, PermissionDenied) as exc:
                refusals.forbidden(request, exc)
                if (way_in := entering.outside(self, request)) is not None:
                    return way_in
                raise PermissionDenied(*exc.args) from None
            except NotFound as exc:
                refusals.not_theirs(request, exc)
                raise Http404 from None

        inside = super().admin_view(translated, cacheable)

        @functools.wraps(inside)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if request.user.is_authenticated and not self.has_permission(request) and not _leaves(request):
                refusals.forbidden(request, PermissionDenied())
            return inside(request, *args, **kwargs)

        return guarded

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        found = organisation.visitor(request) if request.user.is_authenticated else organisation.Visitor(None, ())
        context = super().each_context(request)
        places = _places(context["available_apps"])
        return {**context, "places": places, "actor": found.actor, "organisations": found.choices}

    def get_urls(self) -> list[Any]:
        stock: list[URLPattern | URLResolver] = [
            pattern for pattern in super().get_urls() if getattr(pattern, "name", None) not in UNUSED
        ]
        return [
            path("organisation/", self.admin_view(self.switch_view), name="switch"),
            path("settings/", self.admin_view(self.settings_view), name="settings"),
            *stock,
        ]

    @transaction.atomic
    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """As stock, on the platform's record."""
        page = super().password_change(request, extra_context)
        if page.status_code == 302:  # to the page that says it is done; a form with errors is a page
            people.record_own(request.user, "person.password", *organisation.trail(request))
        return page

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """What the organisation has, and what is wrong with it."""
        actor = organisation.actor(request)
        shown = {"overview": overview(actor) if actor else None}
        return super().index(request, {**shown, **(extra_context or {})})

    def switch_view(self, request: HttpRequest) -> HttpResponse:
        """Make another organisation the active one."""
        return entering.switch(self, request)

    def settings_view(self, request: HttpRequest) -> HttpResponse:
        """What the active organisation's administrators decide of it."""
        return entering.settings(self, request)


def _leaves(request: HttpRequest) -> bool:
    """Whether somebody only wants to log out."""
    return request.resolver_match is not None and request.resolver_match.url_name == "logout"


def _places(apps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the header links to: the models of all ``apps`` that may be seen, in the order of ``PLACES``."""
    found = [model for app in apps for model in app["models"] if model["admin_url"]]
    return sorted(found, key=lambda model: (*PLACES, model["object_name"]).index(model["object_name"]))
