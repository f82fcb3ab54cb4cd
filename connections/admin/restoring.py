"""The page that gives a connection the settings of an earlier version back, after it has shown what would change."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _

from connections.adapters import schema
from connections.adapters.errors import AdapterError
from connections.adapters.schema import Nested, Path, Problem, extra
from connections.admin.changes import differences
from connections.admin.editing import about
from connections.admin.visible import visible
from connections.admin.visits import Visit, url
from connections.forms.rendering import ProjectTemplates
from connections.forms.secrets import KEPT, SecretField, SecretWidget
from connections.forms.wording import label
from connections.models import Connection
from connections.services import restoring, revisions, sources, upgrading
from connections.services.errors import CatalogueError, NotFound

SECRETS = "/secrets"
_LONG = ("textarea", "pem", "json")


class SecretsForm(forms.Form):
    """The secrets that a restored version may need anew, each by its dotted path. Only those in ``needed`` show."""

    default_renderer = ProjectTemplates

    def __init__(self, source: str, config: Nested, data: Any = None, files: Any = None) -> None:
        super().__init__(data, files)
        adapter = sources.find(source)
        for path, field in schema.leaves(adapter.config_class, config) if adapter is not None else ():
            if schema.is_secret(field):
                long = extra(field, "widget") in _LONG
                widget = SecretWidget({} if long else {"class": "vTextField"}, long=long)
                self.fields[".".join(path)] = SecretField(label=label(path[-1], field), widget=widget, required=False)
        self.needed: list[str] = []

    def typed(self) -> Nested:
        """What was entered, nested like the secrets."""
        found: Nested = {}
        for name, value in self.cleaned_data.items():
            if value is not KEPT:
                schema.put(found, tuple(name.split(".")), value)
        return found

    def add_problems(self, problems: list[Problem]) -> list[Problem]:
        """Put problems on the secrets they are about, which then show; return the others."""
        others = []
        for problem in problems:
            path: Path = tuple(problem.pointer.removeprefix(SECRETS).split("/")[1:])
            name = ".".join(path)
            if problem.pointer.startswith(SECRETS) and name in self.fields:
                self.needed.append(name)
                self.add_error(name, problem.detail)
            else:
                others.append(problem)
        return others

    def shown(self) -> list[forms.BoundField]:
        return [self[name] for name in self.needed]


def restore(visit: Visit, connection: Connection, version: int) -> HttpResponse:
    """Show what a restore would change; on POST, do it. Secrets that are asked for again are entered here."""
    try:
        revision = revisions.get(visit.actor, connection, version)
    except NotFound:
        raise Http404 from None
    target = restoring.settings_of(connection, revision)
    sent = visit.request.POST if visit.request.method == "POST" else None
    form = SecretsForm(connection.source, target, sent, visit.request.FILES if sent is not None else None)
    found: list[str] = []
    if sent is not None and form.is_valid():
        try:
            restoring.restore(visit.actor, connection, version, secrets=form.typed() or None, expected=_version(sent))
        except (CatalogueError, AdapterError) as exc:
            problems = exc.problems if isinstance(exc, CatalogueError) else []
            found = [exc.message, *(visible(problem.detail) for problem in form.add_problems(problems))]
        else:
            messages.success(visit.request, _("The settings of version %(number)d are back.") % {"number": version})
            return HttpResponseRedirect(url("change", connection.pk))
    return visit.page(
        "restore.html",
        _("Restore version %(number)d of %(name)s") % {"number": version, "name": connection.name},
        **about(visit, connection),
        revision=revision,
        changes=differences("config", upgrading.config(connection), target),
        form=form,
        refused=found,
    )


def _version(sent: Any) -> int | None:
    text = str(sent.get("version", ""))
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None
