"""The page that gives a connection the settings of an earlier version back, after it has shown what would change."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _

from connections.adapters.errors import AdapterError
from connections.adapters.schema import Nested, Problem
from connections.admin.changes import differences
from connections.admin.drafting import references_of
from connections.admin.editing import about
from connections.admin.visible import visible
from connections.admin.visits import Visit, url
from connections.forms.nodes import SECRETS
from connections.forms.renewal import SecretsForm
from connections.models import Connection
from connections.services import restoring, revisions, sources, upgrading
from connections.services.errors import CatalogueError, NotFound


def restore(visit: Visit, connection: Connection, version: int) -> HttpResponse:
    """Show what a restore would change; on POST, do it. Secrets that must be entered again are asked for here."""
    try:
        revision = revisions.get(visit.actor, connection, version)
    except NotFound:
        raise Http404 from None
    target = restoring.settings_of(connection, revision)
    form = _form(visit, connection, target)
    refused: list[str] = []
    if visit.request.method == "POST":
        secrets = form.cleaned_secrets() if form is not None and form.is_valid() else None
        try:
            restoring.restore(visit.actor, connection, version, secrets=secrets, expected=_version(visit))
        except (CatalogueError, AdapterError) as exc:
            refused = [visible(exc.message), *_others(form, exc.problems if isinstance(exc, CatalogueError) else [])]
        else:
            messages.success(visit.request, _("The settings of version %(number)d are back.") % {"number": version})
            return HttpResponseRedirect(url("change", connection.pk))
    return visit.page(
        "restore.html",
        _("Restore version %(number)d of %(name)s") % {"number": version, "name": connection.name},
        **about(visit, connection),
        revision=revision,
        changes=differences("config", upgrading.config(connection), target),
        wanted=[item for item in form.items if item.bound.errors] if form is not None and refused else [],
        refused=refused,
    )


def _form(visit: Visit, connection: Connection, target: Nested) -> SecretsForm | None:
    """Inputs for the secrets of the earlier settings, or None where the source is gone."""
    adapter = sources.find(connection.source)
    if adapter is None:
        return None
    sent: dict[str, Any] = {}
    if visit.request.method == "POST":
        sent = {"data": visit.request.POST, "files": visit.request.FILES}
    places = references_of(visit.actor, connection)
    return SecretsForm(adapter.config_class, target, secrets_set={}, references=None if places is None else {}, **sent)


def _others(form: SecretsForm | None, problems: list[Problem]) -> list[str]:
    """Put problems of secrets on their inputs; return what the others say."""
    own = [problem for problem in problems if form is not None and problem.pointer.startswith(f"/{SECRETS}/")]
    if form is not None:
        form.add_problems(own)
    return [visible(problem.detail) for problem in problems if problem not in own]


def _version(visit: Visit) -> int | None:
    text = visit.request.POST.get("version", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None
