"""What superusers do to people who log in: on the platform's record, and on that of each organisation they are in.

Whoever sets a member's password could log in as that member, and need no reason to look in. So the organisation reads
of it, as it reads of visits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connections.models import Event, Membership
from connections.services import walls


def record(
    by: Any, person: Any, action: str, changes: Mapping[str, Any], request_id: str = "", ip: str | None = None
) -> None:
    """Tell on every record concerned that the superuser ``by`` did ``action`` to ``person``.

    Call it in the transaction of what it tells. ``changes`` are ``[before, after]`` by field, never of a password.
    """
    with walls.platform():
        member_of = Membership.objects.filter(user=person).order_by("organisation").values_list("organisation")
        for organisation_id in (None, *(pk for (pk,) in member_of)):
            Event.objects.create(
                organisation_id=organisation_id,
                actor_kind="superuser",
                actor_id=str(by.pk),
                actor_label=f"{by.get_username()[:180]} (platform)",
                action=action,
                object_kind="user",
                object_id=str(person.pk),
                object_label=person.get_username()[:200],
                result="ok",
                changes=dict(changes),
                request_id=request_id,
                ip=ip,
            )
