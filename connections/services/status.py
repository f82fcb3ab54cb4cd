"""Status checks: of unsaved settings, and of saved connections, with their history."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from connections.adapters.errors import AdapterError
from connections.adapters.schema import Nested
from connections.models import Connection, Role, StatusCheck
from connections.runner.frames import End, StepDone
from connections.runner.jobs import Operation
from connections.services import budgets, drafts, events, jobs, probes, sources, state, upgrading, vault, waiting
from connections.services.actor import Actor
from connections.services.drafts import Draft
from connections.services.errors import CheckFailed, Invalid, Unresolved
from connections.services.sources import AdapterClass
from connections.services.waiting import Deadline

Report = dict[str, Any]


def test(actor: Actor, source: Any, config: Any, secrets: Any) -> Report:
    """Check settings that are not saved. Nothing is stored but the event."""
    actor.require(Role.EDITOR)
    actor.require_whole_reach()
    adapter = sources.chosen(source, actor.organisation)
    return test_draft(actor, drafts.new(adapter, actor.organisation, config, secrets))


def test_changed(actor: Actor, connection: Connection, config: Any, secrets: Any) -> Report:
    """Check unsaved edits of a connection, its stored secrets merged under the endpoint rule."""
    actor.require(Role.EDITOR, connection)
    adapter = sources.editable(connection.source, actor.organisation)
    draft = drafts.changed_by(actor, "connection.test", adapter, connection, config, secrets)
    return test_draft(actor, draft, connection)


def test_draft(actor: Actor, draft: Draft, connection: Connection | None = None) -> Report:  # noqa: PT028
    """Check a draft in a worker of its own."""
    actor.require(Role.EDITOR, connection)
    sources.usable(draft.adapter.id, actor.organisation)
    if connection is not None:
        state.require_running(connection)
    label = None if connection else draft.adapter.label
    until = _deadline(actor)
    with events.work(actor, "connection.test", connection, until=until, label=label) as outcome:
        report = _run(actor, draft.adapter.id, draft.settings, until, unsaved_of=connection)
        outcome.tell("ok" if report["ok"] else "failed", report["code"] or "")
    return report


def require_passing(actor: Actor, connection: Connection | None = None) -> Any:
    """What ``connections.create`` and ``update`` take as ``verify``: raises ``CheckFailed`` unless the check passes."""

    def verify(draft: Draft) -> None:
        report = test_draft(actor, draft, connection)
        if not report["ok"]:
            raise CheckFailed(report)

    return verify


def check(actor: Actor, connection: Connection) -> Report:
    """Check a saved connection now; the result becomes its status and part of its history."""
    actor.require(Role.ANALYST, connection)
    adapter = state.require_usable(connection)
    until = _deadline(actor)
    with events.work(actor, "connection.check", connection, until=until) as outcome:
        report = _run(actor, adapter.id, lambda: drafts.settings_of(adapter, connection), until, connection)
        outcome.tell("ok" if report["ok"] else "failed", report["code"] or "")
        report["hint"] = report["hint"] or _hint(connection, report)
        with waiting.within(until.patience()):
            row = _store(actor, connection, report)
    return shown(row)


def diagnose(
    actor: Actor, connection: Connection, adapter: AdapterClass, open_settings: Callable[[], Nested], probe: Nested
) -> Report:
    """Check settings that ``connection`` might get, and run ``probe`` with them. Nothing is stored, not even events."""
    report = _run(actor, adapter.id, open_settings, _deadline(actor), unsaved_of=connection)
    if probe:
        probes.run(actor, connection, adapter, open_settings, probe, report)
    return report


def _store(actor: Actor, connection: Connection, report: Report) -> StatusCheck:
    """Keep a check, and make it the status of the connection unless that was changed meanwhile."""
    with transaction.atomic():
        row = StatusCheck.objects.create(
            organisation_id=actor.organisation_id,
            connection=connection,
            access_version=connection.access_version,
            ok=report["ok"],
            code=report["code"] or "",
            report=report,
            duration_ms=report["duration_ms"],
            site=report["site"],
            checked_at=datetime.fromisoformat(report["checked_at"]),
        )
        Connection.objects.filter(pk=connection.pk, access_version=connection.access_version).update(
            status_ok=row.ok, status_code=row.code, status_at=row.checked_at
        )
    return row


def last(actor: Actor, connection: Connection) -> Report | None:
    """The newest check, or None when none was made."""
    row = history(actor, connection).first()
    return shown(row) if row else None


def history(actor: Actor, connection: Connection) -> QuerySet[StatusCheck]:
    """All checks of a connection, newest first."""
    actor.require(Role.VIEWER, connection)
    return StatusCheck.objects.all().visible_to(actor).filter(connection=connection)


def shown(row: StatusCheck) -> Report:
    """A stored check as the REST contract shows it."""
    report: Report = row.report
    return report


def _run(
    actor: Actor,
    source: str,
    open_settings: Any,
    until: Deadline,
    connection: Connection | None = None,
    *,
    unsaved_of: Connection | None = None,
) -> Report:
    started = timezone.now()
    steps: list[dict[str, Any]] = []
    fields: dict[str, Any] = {}
    try:
        with jobs.submit(
            actor,
            source,
            Operation.CHECK,
            {},
            open_settings,
            timeout=until.left(),
            connection=connection,
            unsaved_of=unsaved_of,
        ) as run:
            for item in run:
                if isinstance(item, StepDone):
                    steps.append(item.step)
                elif isinstance(item, End):
                    fields = item.fields
    except AdapterError as exc:
        if exc.code in ("throttled", "busy", "cancelled"):
            raise
        fields = {"ok": None if exc.code == "worker_crashed" else False, "error": exc.as_dict(), "steps": steps}
    except Unresolved as exc:
        fields = {"ok": False, "error": exc.as_dict(), "steps": steps}
    if fields.get("ok") is None and not fields.get("error"):
        raise Invalid("The check gave no result.")
    return _report(fields, started, steps)


def _deadline(actor: Actor) -> Deadline:
    """By when a check that begins now has ended, and is on record."""
    return Deadline(float(budgets.limit(actor.organisation, "check_timeout")))


def _report(fields: dict[str, Any], started: Any, steps: list[dict[str, Any]]) -> Report:
    error = fields.get("error") or {}
    ended = timezone.now()
    return {
        "ok": fields.get("ok"),
        "code": error.get("code"),
        "message": error.get("message"),
        "field": error.get("field"),
        "hint": error.get("hint"),
        "fixable_by": error.get("fixable_by"),
        "transient": bool(error.get("transient")),
        "steps": fields.get("steps") or steps,
        "server": fields.get("server"),
        "warnings": fields.get("warnings") or [],
        "checked_at": _iso(started),
        "duration_ms": round((ended - started).total_seconds() * 1000, 1),
        "site": settings.CATALOG_SITE,
    }


def _hint(connection: Connection, report: Report) -> str | None:
    """For a rejected secret: which one, whose, and how old it is."""
    path = tuple((report["field"] or "").split("/")[2:])
    set_at = vault.names(connection).get(".".join(path))
    if report["code"] != "authentication" or not (report["field"] or "").startswith("/secrets/"):
        return None
    user = upgrading.config(connection).get("user")
    which = f"{path[-1].replace('_', ' ')}{f' of user {user}' if user else ''}"
    if set_at is None:
        return f"The {which} is not set."
    if (place := vault.references_of(connection).get(".".join(path))) is not None:
        return f"Check the {which}; it is kept at {place}."
    days = (timezone.now() - datetime.fromisoformat(set_at)).days
    age = "today" if days == 0 else "yesterday" if days == 1 else f"{days} days ago"
    return f"Check the {which}; it was last set {age}."


def _iso(moment: Any) -> str:
    return str(moment.isoformat()).replace("+00:00", "Z")
