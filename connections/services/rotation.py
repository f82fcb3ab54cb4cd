"""Staged rotation: new secrets are tried beside the current ones, then promoted, and the old ones can be taken back.

Nothing is locked while a source is waited for. A promotion or its undoing is one transaction, made only if the
connection is still at the version that was judged: of two at once, one wins.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from connections.adapters.errors import AdapterError
from connections.adapters.schema import Nested
from connections.models import Connection, ConnectionSecrets, Role, Slot
from connections.services import (
    connections,
    counters,
    drafts,
    events,
    references,
    slots,
    sources,
    state,
    status,
    upgrade_rows,
    vault,
)
from connections.services.actor import Actor
from connections.services.errors import CheckFailed, Conflict, Invalid, NotFound, VersionConflict
from connections.services.sources import AdapterClass
from connections.services.status import Report

NOT_TRIED = ("throttled", "busy", "cancelled")
"""Codes of tests that did not take place."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A connection with pending secrets, and the report of their test; None when no worker was free for it."""

    connection: Connection
    report: Report | None


def stage(
    actor: Actor,
    connection: Connection,
    secrets: Any,
    *,
    if_match: Collection[int] | None = None,
    version: int | None = None,
) -> Staged:
    """Store new secrets beside the current ones, in place of those that were pending, and test them.

    ``secrets`` are changes of the current ones: absent keeps, a text sets, None clears. Raises as a save does; and when
    the test is over, ``NotFound`` when the connection was deleted meanwhile, ``Conflict`` when these secrets are not
    pending any more, ``VersionConflict`` when they are, and what they were tested with is not what it was.
    """
    actor.require(Role.EDITOR, connection)
    connections.require_version(connection, if_match, version)
    state.require_running(connection)
    adapter = sources.usable(connection.source, actor.organisation)
    connection = upgrade_rows.upgraded(actor, connection)
    draft = drafts.changed(adapter, connection, {}, secrets)
    if not draft.secrets_changed:
        raise Invalid.at("/secrets", "Send at least one secret that is to change.", "required")
    with transaction.atomic():
        row = _locked(connection)
        slots.stage(row, draft)
        moved = references.moved(vault.references_of(row), references.column(draft.secrets))
        _saved(actor, row, "connection.stage", slots.differing(vault.names(row), draft.set_at), moved=moved)
    connection = connections.get(actor, connection.slug)
    report: Report | None = None
    try:
        report = _test(actor, connection, adapter)
    except AdapterError as exc:
        if exc.code not in NOT_TRIED:
            raise
    return Staged(_still_pending(actor, connection), report)


def promote(
    actor: Actor, connection: Connection, *, if_match: Collection[int] | None = None, version: int | None = None
) -> Connection:
    """Make the pending secrets the current ones. Those that did not pass a test yet are tested first.

    Raises ``CheckFailed`` when they do not pass, ``Conflict`` when none are pending, ``Locked`` when they do not open
    or were saved for another endpoint, ``VersionConflict`` when somebody changed the connection meanwhile.
    """
    actor.require(Role.EDITOR, connection)
    connections.require_version(connection, if_match, version)
    pending = vault.find(connection, Slot.PENDING)
    if pending is None:
        raise Conflict("No secrets are pending. Stage them first.")
    sources.editable(connection.source, actor.organisation)
    connection = upgrade_rows.upgraded(actor, connection)
    vault.unseal(connection, Slot.PENDING)
    if pending.tested_ok is not True:
        state.require_running(connection)
        report = _test(actor, connection, sources.usable(connection.source, actor.organisation))
        if not report["ok"]:
            raise CheckFailed(report)
    hours = settings.CATALOG_PREVIOUS_SECRETS_HOURS
    kept_until = timezone.now() + timedelta(hours=hours) if hours > 0 else None
    return _make_current(actor, connection, pending, "connection.promote", kept_until)


def rollback(
    actor: Actor, connection: Connection, *, if_match: Collection[int] | None = None, version: int | None = None
) -> Connection:
    """Take the previous secrets back. The current ones become the previous, to be had until the same moment.

    Raises as ``promote``, but tests nothing: what worked before is wanted now.
    """
    actor.require(Role.EDITOR, connection)
    connections.require_version(connection, if_match, version)
    previous = slots.previous(connection)
    if previous is None:
        raise Conflict("There are no previous secrets, or the time to take them back is over.")
    sources.editable(connection.source, actor.organisation)
    connection = upgrade_rows.upgraded(actor, connection)
    vault.unseal(connection, Slot.PREVIOUS)
    return _make_current(actor, connection, previous, "connection.rollback", previous.kept_until)


def discard(
    actor: Actor, connection: Connection, *, if_match: Collection[int] | None = None, version: int | None = None
) -> Connection:
    """Forget the pending secrets; nothing happens when there are none."""
    actor.require(Role.EDITOR, connection)
    connections.require_version(connection, if_match, version)
    if vault.find(connection, Slot.PENDING) is None:
        return connection
    with transaction.atomic():
        row = _locked(connection)
        slots.drop(row, Slot.PENDING)
        _saved(actor, row, "connection.discard")
    return connections.get(actor, connection.slug)


def _test(actor: Actor, connection: Connection, adapter: AdapterClass) -> Report:
    """Check the pending secrets, run the probe with them, and keep how it went, with the event that tells it."""
    pending = vault.find(connection, Slot.PENDING)
    if pending is None:
        raise Conflict("Somebody discarded the pending secrets meanwhile.")

    def opened() -> Nested:
        return drafts.settings_of(adapter, connection, Slot.PENDING)

    detail = {"slot": Slot.PENDING.value, "probe": bool(connection.probe)}
    events.record(actor, "connection.test", connection, result="started", detail=detail)
    ok: bool | None = None
    code = ""
    try:
        report = status.diagnose(actor, connection, adapter, opened, connection.probe)
        ok, code = report["ok"], report["code"] or ""
    except BaseException as exc:
        code = events.code_of(exc)
        raise
    finally:
        with transaction.atomic():
            kept = slots.keep_result(connection, pending, ok=ok, code=code)
            events.record(
                actor, "connection.test", connection, result="ok" if ok else "failed", code=code, detail=detail
            )
    if not kept:
        _still_pending(actor, connection)
        raise VersionConflict(
            "Somebody changed this connection while its new secrets were tested. Load it again: they are untested."
        )
    return report


def _still_pending(actor: Actor, connection: Connection) -> Connection:
    """The connection as it is now, if what was pending still is."""
    found = connections.get(actor, connection.slug)
    if found.pk != connection.pk:
        raise NotFound
    if vault.find(found, Slot.PENDING) is None or found.staged_generation != connection.staged_generation:
        raise Conflict(
            "These secrets are not pending any more: somebody discarded, replaced or promoted them meanwhile."
        )
    return found


def _make_current(
    actor: Actor, connection: Connection, judged: ConnectionSecrets, action: str, kept_until: datetime | None
) -> Connection:
    """Swap the judged secrets in, in one transaction, if all is still as it was when they were judged."""
    with transaction.atomic():
        row = _locked(connection)
        coming = vault.find(row, Slot(judged.slot))
        if coming is None or (coming.pk, coming.generation) != (judged.pk, judged.generation):
            raise VersionConflict("Somebody changed these secrets meanwhile. Load the connection again.")
        before, before_places = vault.names(row), vault.references_of(row)
        dropped = slots.make_current(row, Slot(judged.slot), kept_until=kept_until)
        row.access_version = counters.after(row.access_version)
        row.status_ok, row.status_code, row.status_at = None, "", None
        detail: dict[str, Any] = {"dropped": dropped} if dropped else {}
        if vault.find(row, Slot.PREVIOUS) is not None and kept_until is not None:
            detail["previous_until"] = kept_until.isoformat()
        moved = references.moved(before_places, vault.references_of(row))
        _saved(actor, row, action, slots.differing(before, vault.names(row)), detail, moved)
    return connections.get(actor, connection.slug)


def _locked(connection: Connection) -> Connection:
    """The connection's row, locked, if it is still at the version that was judged."""
    row = Connection.objects.select_for_update().filter(pk=connection.pk).first()
    if row is None:
        raise NotFound
    if row.version != connection.version:
        raise VersionConflict("Somebody changed this connection meanwhile. Load it again.")
    return row


def _saved(
    actor: Actor,
    row: Connection,
    action: str,
    secrets: list[str] | None = None,
    detail: dict[str, Any] | None = None,
    moved: dict[str, Any] | None = None,
) -> None:
    """Save a row whose secrets were changed, as a version of its own, with the event that tells it."""
    row.version = counters.after(row.version)
    row.save(update_fields=["version", "access_version", "status_ok", "status_code", "status_at", "updated_at"])
    changes = {**({"secrets": secrets} if secrets else {}), **(moved or {})}
    events.record(actor, action, row, changes=changes, detail=detail)
