"""A status check, or what stood in its way, as the pages show it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connections.adapters.errors import AdapterError
from connections.adapters.schema import Problem
from connections.admin.visible import visible
from connections.services.errors import CatalogueError

STEP_NAMES = {
    "resolve": gettext_lazy("Find the host"),
    "policy": gettext_lazy("Address allowed"),
    "tunnel": gettext_lazy("SSH tunnel"),
    "connect": gettext_lazy("Connect"),
    "tls": gettext_lazy("Secure the connection"),
    "authenticate": gettext_lazy("Log in"),
    "database": gettext_lazy("Open the database"),
    "privileges": gettext_lazy("Check the rights"),
    "sample": gettext_lazy("Read a sample"),
    "probe": gettext_lazy("Run the probe query"),
}
FIXABLE_BY = {
    "you": gettext_lazy("You can mend this in the settings."),
    "network": gettext_lazy("Ask whoever runs the network, or try again."),
    "source_admin": gettext_lazy("Ask whoever runs the source."),
    "platform": gettext_lazy("Ask whoever runs this catalogue."),
}
MARKS = {True: ("ok", "✓", gettext_lazy("passed")), False: ("failed", "✕", gettext_lazy("failed"))}
NOT_RUN = ("skipped", "–", gettext_lazy("not run"))


@dataclass(frozen=True, slots=True)
class StepLine:
    name: str
    mark: str
    icon: str
    words: str
    ms: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class Place:
    """One thing that is wrong, and the input it is about: ``pointer`` as in the REST contract."""

    pointer: str
    detail: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What to show of a check, a query or a save that was tried. ``mark`` is ok, failed or skipped."""

    mark: str
    icon: str
    title: str
    message: str = ""
    hint: str = ""
    code: str = ""
    fixable_by: str = ""
    pointer: str = ""
    steps: list[StepLine] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    server: str = ""
    duration_ms: float | None = None
    checked_at: datetime | None = None
    site: str = ""


def of_report(report: dict[str, Any]) -> Outcome:
    """The outcome of a status check, from its REST answer."""
    ok = report.get("ok")
    titles = {True: _("The connection works"), False: _("The connection does not work")}
    mark, icon, _words = MARKS.get(ok, NOT_RUN) if ok is not None else NOT_RUN
    server = report.get("server") or {}
    return Outcome(
        mark=mark,
        icon=icon,
        title=titles[ok] if ok is not None else _("The connection could not be checked"),
        message=visible(report.get("message") or ""),
        hint=visible(report.get("hint") or ""),
        code=str(report.get("code") or ""),
        fixable_by=str(FIXABLE_BY.get(str(report.get("fixable_by")), "")),
        pointer=str(report.get("field") or ""),
        steps=[_step(step) for step in report.get("steps") or []],
        warnings=[visible(warning.get("message", "")) for warning in report.get("warnings") or []],
        server=visible(f"{server.get('product', '')} {server.get('version', '')}".strip()),
        duration_ms=report.get("duration_ms"),
        checked_at=parse_datetime(str(report.get("checked_at") or "")),
        site=str(report.get("site") or ""),
    )


def of_error(exc: CatalogueError | AdapterError) -> Outcome:
    """The outcome of something that was refused or failed."""
    places = [Place(found.pointer, visible(found.detail)) for found in getattr(exc, "problems", ())]
    is_typed = exc.code == "invalid"  # which to a reader of pages is a mistake of theirs, and no kind of request
    return Outcome(
        mark="failed",
        icon="✕",
        title=_("Please correct this") if is_typed else _(exc.title),
        message=visible(exc.message),
        hint=visible(exc.hint or ""),
        code="" if is_typed else exc.code,
        fixable_by=_whose(exc),
        pointer=(exc.field or "") if isinstance(exc, AdapterError) else "",
        places=[place for place in places if place.detail != exc.message or len(places) > 1],
    )


def of_form_errors(found: Iterable[Problem], title: str = "") -> Outcome:
    """The outcome of a form that cannot be tried yet. ``title`` says what was not done; a test, if empty."""
    return Outcome(
        mark="failed",
        icon="✕",
        title=title or _("Not tested: the form has errors"),
        places=[Place(problem.pointer, visible(problem.detail)) for problem in found],
    )


def _whose(exc: CatalogueError | AdapterError) -> str:
    """Who can mend it. Nothing where it is the reader: the message has said what to do, and not always in settings."""
    return str(FIXABLE_BY[exc.fixable_by]) if isinstance(exc, AdapterError) and exc.fixable_by != "you" else ""


def _step(step: dict[str, Any]) -> StepLine:
    ok = step.get("ok")
    mark, icon, words = MARKS[ok] if ok is not None else NOT_RUN
    name = str(step.get("name"))
    detail = visible(step.get("detail") or "")
    return StepLine(str(STEP_NAMES.get(name, name)), mark, icon, str(words), step.get("ms"), detail)
