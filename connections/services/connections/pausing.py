"""Connections that nobody uses for a while, and why."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from connections.models import Connection, Role
from connections.services import (
    counters,
    events,
    standing,
)
from connections.services.actor import Actor
from connections.services.connections.finding import get
from connections.services.errors import Invalid


def pause(actor: Actor, connection: Connection, reason: Any) -> Connection:
    """Stop all use of a connection, and say why. Pausing a paused one changes its reason."""
    actor.require(Role.EDITOR, connection)
    if not isinstance(reason, str) or len(reason) > 500 or "\0" in reason:
        raise Invalid.at("/reason", "The reason is a text of at most 500 characters.")
    if connection.paused_at is not None and connection.paused_reason == reason:
        return connection
    return _set_pause(actor, connection, reason=reason, action="connection.pause")


def resume(actor: Actor, connection: Connection) -> Connection:
    """Allow use again."""
    actor.require(Role.EDITOR, connection)
    if connection.paused_at is None:
        return connection
    return _set_pause(actor, connection, reason=None, action="connection.resume")


def _set_pause(actor: Actor, connection: Connection, *, reason: str | None, action: str) -> Connection:
    with transaction.atomic():
        row = Connection.objects.select_for_update().get(pk=connection.pk)
        row.paused_at = timezone.now() if reason is not None else None
        row.paused_reason = reason or ""
        row.version = counters.after(row.version)
        row.save(update_fields=["paused_at", "paused_reason", "version", "updated_at"])
        events.record(actor, action, row, detail={"reason": reason} if reason else {})
        standing.watch.doubt()
    return get(actor, connection.slug)
