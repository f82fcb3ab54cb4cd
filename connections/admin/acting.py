"""What is done to connections with one press: pause, resume, clone, delete; and the same to many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import helpers
from django.http import HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from connections.adapters.errors import AdapterError
from connections.admin.editing import about
from connections.admin.visible import visible
from connections.admin.visits import Visit, url
from connections.models import Connection, Role
from connections.services import connections, status
from connections.services.errors import CatalogueError

MOST_NAMED = 5


class ReasonForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        required=False,
        max_length=500,
        widget=forms.TextInput({"class": "vTextField", "autofocus": True}),
        help_text=gettext_lazy("Shown to everybody who wants to use it."),
    )


class CloneForm(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("Name"), max_length=200, widget=forms.TextInput({"class": "vTextField", "autofocus": True})
    )


def pause(visit: Visit, connection: Connection) -> HttpResponse:
    form = ReasonForm(visit.request.POST if visit.request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        connections.pause(visit.actor, connection, form.cleaned_data["reason"])
        messages.success(visit.request, _("%(name)s is paused.") % {"name": connection.name})
        return HttpResponseRedirect(url("change", connection.pk))
    title = _("Pause %(name)s") % {"name": connection.name}
    text = _("Nobody can preview or check a paused connection until it is resumed.")
    return visit.page("ask.html", title, **about(visit, connection), form=form, text=text, button=_("Pause"))


def resume(visit: Visit, connection: Connection) -> HttpResponse:
    connections.resume(visit.actor, connection)
    messages.success(visit.request, _("%(name)s can be used again.") % {"name": connection.name})
    return HttpResponseRedirect(url("change", connection.pk))


def clone(visit: Visit, connection: Connection) -> HttpResponse:
    name = _("%(name)s (copy)") % {"name": connection.name[:190]}
    form = CloneForm(visit.request.POST if visit.request.method == "POST" else None, initial={"name": name})
    if form.is_bound and form.is_valid():
        try:
            copy = connections.clone(visit.actor, connection, form.cleaned_data["name"])
        except CatalogueError as exc:
            form.add_error("name", exc.message)
        else:
            messages.success(visit.request, _("This is the copy. Its secrets are to be entered."))
            return HttpResponseRedirect(url("change", copy.pk))
    title = _("Clone %(name)s") % {"name": connection.name}
    text = _("The copy has the same settings. Secrets are not copied: enter them in the copy.")
    return visit.page("ask.html", title, **about(visit, connection), form=form, text=text, button=_("Clone"))


def delete(visit: Visit, connection: Connection) -> HttpResponse:
    if visit.request.method == "POST":
        connections.delete(visit.actor, connection)
        messages.success(visit.request, _("%(name)s was deleted.") % {"name": connection.name})
        return HttpResponseRedirect(url("changelist"))
    title = _("Delete %(name)s?") % {"name": connection.name}
    text = _("Its settings, secrets and status checks go for good. Its events stay on record.")
    return visit.page("ask.html", title, **about(visit, connection), text=text, button=_("Delete"), danger=True)


# Many at once ------------------------------------------------------------------------------------------------------

Act = Callable[[Connection], Any]


def check_many(visit: Visit, rows: Iterable[Connection]) -> None:
    """Check each now. One that is down was checked too, and is told apart."""
    down: list[str] = []

    def check(connection: Connection) -> None:
        if not status.check(visit.actor, connection)["ok"]:
            down.append(connection.name)

    _each(visit, rows, check, lambda n: ngettext("%(n)d connection was checked.", "%(n)d connections were checked.", n))
    if down:
        messages.warning(visit.request, _("These do not work: %(names)s") % {"names": named(down)})


def resume_many(visit: Visit, rows: Iterable[Connection]) -> None:
    _each(
        visit,
        rows,
        lambda row: connections.resume(visit.actor, row),
        lambda n: ngettext("%(n)d connection can be used again.", "%(n)d connections can be used again.", n),
    )


def pause_many(visit: Visit, rows: list[Connection]) -> HttpResponse | None:
    """Ask for the reason, then pause each."""
    form = ReasonForm(visit.request.POST if "_confirmed" in visit.request.POST else None)
    if not (form.is_bound and form.is_valid()):
        text = _("Nobody can preview or check a paused connection until it is resumed.")
        return _ask(visit, rows, _("Pause these connections?"), text, _("Pause"), form=form)
    reason = form.cleaned_data["reason"]
    _each(
        visit,
        rows,
        lambda row: connections.pause(visit.actor, row, reason),
        lambda n: ngettext("%(n)d connection is paused.", "%(n)d connections are paused.", n),
    )
    return None


def delete_many(visit: Visit, rows: list[Connection]) -> HttpResponse | None:
    """Ask, then delete each."""
    if "_confirmed" not in visit.request.POST:
        text = _("Their settings, secrets and status checks go for good. Their events stay on record.")
        return _ask(visit, rows, _("Delete these connections?"), text, _("Delete"), danger=True)
    _each(
        visit,
        rows,
        lambda row: connections.delete(visit.actor, row),
        lambda n: ngettext("%(n)d connection was deleted.", "%(n)d connections were deleted.", n),
    )
    return None


def _ask(visit: Visit, rows: list[Connection], title: str, text: str, button: str, **more: Any) -> HttpResponse:
    shown: dict[str, Any] = {
        "rows": rows,
        "action": visit.request.POST.get("action", ""),
        "name": helpers.ACTION_CHECKBOX_NAME,
    }
    return visit.page("ask_many.html", title, text=text, button=button, **shown, **more)


def _each(visit: Visit, rows: Iterable[Connection], act: Act, done: Callable[[int], str]) -> None:
    """Do it to each; say how many it was done to, and why not to the others."""
    visit.actor.require(Role.ANALYST)
    count = 0
    for row in rows:
        try:
            act(row)
        except (CatalogueError, AdapterError) as exc:
            messages.error(visit.request, visible(f"{row.name}: {exc.message}"))
        else:
            count += 1
    if count:
        messages.success(visit.request, done(count) % {"n": count})


def named(names: list[str]) -> str:
    """The first few of ``names``, and how many more there are."""
    rest = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (_(" and %(count)d more") % {"count": rest} if rest > 0 else "")
