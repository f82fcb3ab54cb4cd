"""Events of the system: of work at the terminal, and of what the catalogue does by itself."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from connections.models import Event, Organisation


def record(
    action: str,
    organisation: Organisation | UUID | None = None,
    *,
    kind: str,
    thing: Any,
    by: str = "terminal",
    **fields: Any,
) -> Event:
    """Insert one event of the system: the organisation's own, or the platform's when there is none.

    An organisation that may be no more is named by its id. Call it in the transaction of what it tells. ``thing`` names
    what was worked on: an id of at most 36 characters.
    """
    return Event.objects.create(
        organisation_id=organisation.pk if isinstance(organisation, Organisation) else organisation,
        actor_kind="system",
        actor_label=by,
        action=action,
        object_kind=kind,
        object_id=str(thing),
        **{"result": "ok", "object_label": str(thing), **fields},
    )
