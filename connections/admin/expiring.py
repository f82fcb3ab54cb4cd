"""The page of when a connection's secrets end: what they tell themselves, and dates that somebody knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _

from connections.adapters import schema
from connections.admin.editing import about
from connections.admin.visits import Visit, url
from connections.forms.wording import label
from connections.models import Connection
from connections.services import connections, expiry, sources, upgrading, vault
from connections.services.connections import Change
from connections.services.errors import CatalogueError


class DatesForm(forms.Form):
    """A date for each secret that is set, by its dotted path; empty where none is known."""

    version = forms.IntegerField(required=False, widget=forms.HiddenInput())

    def __init__(self, connection: Connection, data: Any = None) -> None:
        super().__init__(data, initial={"version": connection.version})
        told = expiry.of_secrets(connection)
        known = expiry.manual(told)
        words = _labels(connection)
        for name in vault.names(connection):
            entry = told.get(name, {})
            own = entry.get("at", "")[:10] if entry and entry.get("from") != expiry.MANUAL else ""
            self.fields[name] = forms.DateField(
                label=words.get(name, name),
                required=False,
                initial=known.get(name, "")[:10] or None,
                widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d"),
                input_formats=["%Y-%m-%d"],
                help_text=_("By its own account it ends on %(day)s.") % {"day": own} if own else "",
            )

    def cleaned_dates(self) -> dict[str, Any]:
        """The dates that were changed, nested like the secrets; null for one that was taken away."""
        found: dict[str, Any] = {}
        for name in self.changed_data:
            if name != "version":
                day = self.cleaned_data[name]
                schema.put(found, tuple(name.split(".")), day.isoformat() if day is not None else None)
        return found


def dates(visit: Visit, connection: Connection) -> HttpResponse:
    """Show the dates, and save them."""
    form = DatesForm(connection, visit.request.POST if visit.request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            change = Change(expiries=form.cleaned_dates())
            connections.update(visit.actor, connection, change, version=form.cleaned_data["version"])
        except CatalogueError as exc:
            form.add_error(None, ValidationError([exc.message, *(found.detail for found in exc.problems)]))
        else:
            messages.success(visit.request, _("The dates of %(name)s were saved.") % {"name": connection.name})
            return HttpResponseRedirect(url("change", connection.pk))
    text = _("Some secrets tell when they end. Enter the day where one does not; the earlier of the two counts.")
    if len(form.fields) == 1:
        text = _("No secret is set.")
    title = _("When secrets of %(name)s end") % {"name": connection.name}
    return visit.page("ask.html", title, **about(visit, connection), form=form, text=text, button=_("Save"))


def _labels(connection: Connection) -> Mapping[str, str]:
    """What each secret is called, with its path where it is inside a group."""
    adapter = sources.find(connection.source)
    if adapter is None:
        return {}
    found = {}
    for path, field in schema.leaves(adapter.config_class, upgrading.config(connection)):
        name, words = ".".join(path), str(label(path[-1], field))
        found[name] = f"{words} ({name})" if len(path) > 1 else words
    return found
