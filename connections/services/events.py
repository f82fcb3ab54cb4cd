"""Writing the record. An event is inserted in the transaction of its action: no event, no action."""

from __future__ import annotations

from typing import Any, Protocol

from django.db.models import QuerySet

from connections.models import Event, Role
from connections.services.actor import Actor


class Recorded(Protocol):
    @property
    def pk(self) -> Any: ...


def record(
    actor: Actor,
    action: str,
    thing: Recorded | None = None,
    *,
    result: str = "ok",
    code: str = "",
    changes: dict[str, Any] | None = None,
    detail: dict[str, Any] | None = None,
    label: str | None = None,
) -> Event:
    """Insert one event. ``action`` is ``object.verb`` (``connection.update``); ``changes`` never holds a secret."""
    return Event.objects.create(
        organisation_id=actor.organisation_id,
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_label=actor.label[:200],
        action=action,
        object_kind=type(thing).__name__.lower() if thing is not None else "",
        object_id=str(thing.pk) if thing is not None else "",
        object_label=(label if label is not None else str(thing) if thing is not None else "")[:200],
        object_version=getattr(thing, "version", None),
        result=result,
        code=code,
        changes=changes or {},
        detail=detail or {},
        request_id=actor.request_id,
        ip=actor.ip,
    )


def visible_events(actor: Actor) -> QuerySet[Event]:
    """The organisation's events, newest first, for its administrators."""
    actor.require(Role.ADMIN)
    return Event.objects.all().visible_to(actor)
