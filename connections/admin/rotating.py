"""The panel "Rotate secrets" on a connection's page: enter new ones, test, promote, discard, take back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connections.adapters.errors import AdapterError
from connections.adapters.schema import Problem
from connections.admin import drafting
from connections.admin.labels import badge
from connections.admin.reports import Outcome, of_error, of_form_errors, of_report
from connections.admin.visits import Visit, url
from connections.forms.renewal import POINTER, SecretsForm
from connections.models import Connection, Slot
from connections.services import connections, rotation, slots, upgrading, vault
from connections.services.errors import CatalogueError, CheckFailed, Conflict, NotFound, VersionConflict

RESULTS = {
    True: ("ok", "✓", gettext_lazy("Passed its test")),
    False: ("failed", "✕", gettext_lazy("Failed its test")),
    None: ("unknown", "–", gettext_lazy("Not tested")),
}
BUTTONS = {
    "_promote": (rotation.promote, gettext_lazy("The new secrets are in use.")),
    "_rollback": (rotation.rollback, gettext_lazy("The previous secrets are in use again.")),
    "_discard": (rotation.discard, gettext_lazy("The pending secrets are forgotten.")),
}


@dataclass(slots=True)
class Panel:
    """What the panel shows. ``until`` is when the previous secrets can no longer be taken back."""

    connection: Connection
    form: SecretsForm
    staged_at: datetime | None = None
    names: str = ""
    result: SafeString | str = ""
    code: str = ""
    until: datetime | None = None
    outcome: Outcome | None = None


def asked(visit: Visit) -> bool:
    """Whether one of the panel's buttons was pressed."""
    return visit.request.method == "POST" and bool({"_stage", *BUTTONS} & visit.request.POST.keys())


def panel(visit: Visit, connection: Connection) -> Panel | None:
    """The panel of a connection, or None when there is nothing to rotate."""
    form = _form(visit, connection)
    return _panel(connection, form) if form is not None and form.fields else None


def act(visit: Visit, connection: Connection) -> Panel | HttpResponse | None:
    """Do what the button says: a redirect when it is done, the panel when there is something to see."""
    if "_stage" in visit.request.POST:
        return _stage(visit, connection)
    step, words = next(BUTTONS[name] for name in BUTTONS if name in visit.request.POST)
    try:
        step(visit.actor, connection, version=_version(visit))
    except CheckFailed as exc:
        return _shown(visit, connection, _of_test(exc.report))
    except (CatalogueError, AdapterError) as exc:
        return _shown(visit, connection, of_error(exc))
    messages.success(visit.request, words)
    return HttpResponseRedirect(url("change", connection.pk) + "#rotation")


def _stage(visit: Visit, connection: Connection) -> Panel | None:
    form = _form(visit, connection, bound=True)
    if form is None:
        return None
    if not form.is_valid():
        problems = [Problem("", "invalid", str(error)) for errors in form.errors.values() for error in errors]
        return _panel(connection, form, of_form_errors(problems))
    try:
        staged = rotation.stage(visit.actor, connection, form.cleaned_secrets(), version=_version(visit))
    except (Conflict, VersionConflict, AdapterError) as exc:
        return _shown(visit, connection, of_error(exc))
    except NotFound:
        raise
    except CatalogueError as exc:
        form.add_problems(exc.problems)
        return _panel(connection, form, of_error(exc))
    return _shown(visit, staged.connection, _of_test(staged.report) if staged.report else _not_tried())


def _shown(visit: Visit, connection: Connection, outcome: Outcome) -> Panel | None:
    """The panel as the connection is now."""
    fresh = connections.get(visit.actor, connection.slug)
    found = panel(visit, fresh)
    if found is not None:
        found.outcome = outcome
    return found


def _panel(connection: Connection, form: SecretsForm, outcome: Outcome | None = None) -> Panel:
    shown, previous = slots.shown(connection)["pending"], slots.previous(connection)
    found = Panel(connection, form, outcome=outcome, until=previous.kept_until if previous is not None else None)
    if shown is not None:
        pending = vault.find(connection, Slot.PENDING)
        found.staged_at = pending.created_at if pending is not None else None
        found.names = ", ".join(shown["secrets"])
        found.result = badge(*RESULTS[shown["ok"]])
        found.code = shown["code"] or ""
    return found


def _form(visit: Visit, connection: Connection, *, bound: bool = False) -> SecretsForm | None:
    adapter = drafting.adapter_of(connection)
    if adapter is None:
        return None
    sent: dict[str, Any] = {"data": visit.request.POST, "files": visit.request.FILES} if bound else {}
    return SecretsForm(
        adapter.config_class,
        upgrading.config(connection),
        secrets_set=drafting.set_at(connection),
        references=drafting.references_of(visit.actor, connection),
        **sent,
    )


def _of_test(report: dict[str, Any]) -> Outcome:
    """A report of pending secrets, pointing at the panel's inputs where it is about a secret."""
    outcome = of_report(report)
    titles = {"ok": _("The new secrets work"), "failed": _("The new secrets do not work")}
    pointer = outcome.pointer.replace("/secrets/", f"{POINTER}/", 1)
    others = _("Stage others in their place, or discard these. Those in use stay in use.")
    fixable_by = others if report.get("fixable_by") == "you" else outcome.fixable_by
    return replace(outcome, pointer=pointer, fixable_by=fixable_by, title=titles.get(outcome.mark, outcome.title))


def _not_tried() -> Outcome:
    words = _("No worker was free to test them. They are tested when they are promoted.")
    return Outcome(mark="skipped", icon="–", title=_("Staged, not tested"), message=words)


def _version(visit: Visit) -> int | None:
    text = visit.request.POST.get("version", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None
