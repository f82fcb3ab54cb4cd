"""A page of one organisation changes nothing in another: each form says whose page it is on, each POST is held to it.

Somebody in two organisations has one session. A form that was opened in one and is sent when the other is active would
be saved there, secrets and all.
"""

from __future__ import annotations

from typing import Any

from django import template
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.base import Node, Parser, Token
from django.template.defaulttags import CsrfTokenNode
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.translation import gettext as _

from connections.admin import organisation
from connections.admin.reports import Outcome

FIELD = "page_organisation"
HEADER = "X-Page-Organisation"
FREE = ("switch", "logout")
"""Pages whose forms do the same wherever one is."""

register = template.Library()


class _TokenAndOrganisation(CsrfTokenNode):
    """Stock Django's token, and beside it the id of the organisation that the page is about; empty for none."""

    def render(self, context: Any) -> str:
        token = super().render(context)
        request = context.get("request")
        if not token or request is None or not organisation.is_known(request):
            return token
        active = organisation.actor(request)
        of_page = active.organisation_id if active is not None else ""
        return token + format_html('<input type="hidden" name="{}" value="{}">', FIELD, of_page)


@register.tag
def csrf_token(parser: Parser, token: Token) -> Node:
    """In place of the stock tag, on every page: no form that changes something can be without it."""
    return _TokenAndOrganisation()


def refused(site: admin.AdminSite, request: HttpRequest) -> HttpResponse | None:
    """The answer, 409, to what was sent from a page of another organisation than the active one. None for all else."""
    match = request.resolver_match
    if request.method != "POST" or (match is not None and match.url_name in FREE):
        return None
    found = organisation.visitor(request)
    of_page = request.headers.get(HEADER) or request.POST.get(FIELD, "")
    if found.actor is None or of_page == str(found.actor.organisation_id) or _is_no_page(request, of_page):
        return None
    names = {str(choice.pk): choice.name for choice in found.choices}
    title = _("Nothing was done: you are in another organisation now")
    there, here = names.get(of_page, _("another organisation")), found.actor.organisation.name
    text = _("This page was opened in %(there)s. You are in %(here)s now.") % {"there": there, "here": here}
    return _told(site, request, title, text)


def _is_no_page(request: HttpRequest, of_page: str) -> bool:
    """Whether no page sent this: what needs no token of a page, as Django's test client, needs no name of one."""
    return not of_page and getattr(request, "_dont_enforce_csrf_checks", False)


def _told(site: admin.AdminSite, request: HttpRequest, title: str, text: str) -> HttpResponse:
    """The refusal in the form that was asked for: JSON, a part of a page, or a page."""
    if request.content_type == "application/json":
        return JsonResponse({"detail": f"{title}. {text}"}, status=409)
    hint = _("Switch back above, then go back to the page and send it again. To go on here, open it anew.")
    if request.headers.get("X-Fragment") == "1":
        outcome = Outcome(mark="failed", icon="✕", title=title, message=text, hint=hint)
        return render(request, "admin/connections/outcome.html", {"outcome": outcome}, status=409)
    shown = {**site.each_context(request), "title": title, "text": text, "hint": hint}
    return TemplateResponse(request, "admin/connections/crossing.html", shown, status=409)
