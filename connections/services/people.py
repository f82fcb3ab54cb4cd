"""What is done to people's accounts, on record. By superusers: on the platform's, and each organisation's they are in.

Whoever sets a member's password could log in as that member, and need no reason to look in. So the organisation reads
of it, as it reads of visits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from connections.models import Event, Membership
from connections.services import walls


def record(
    by: Any, person: Any, action: str, changes: Mapping[str, Any], request_id: str = "", ip: str | None = None
) -> None:
    """Tell on every record concerned that the superuser ``by`` did ``action`` to ``person``.

    Call it in the transaction of what it tells. ``changes`` are ``[before, after]`` by field, never of a password.
    """
    by_platform = {"actor_kind": "superuser", "actor_label": f"{by.get_username()[:180]} (platform)"}
    with walls.platform():
        member_of = Membership.objects.filter(user=person).order_by("organisation").values_list("organisation")
        for organisation_id in (None, *(pk for (pk,) in member_of)):
            asked = {"request_id": request_id, "ip": ip, "changes": dict(changes)}
            _insert(organisation_id, by, person, action, **by_platform, **asked)


def record_own(person: Any, action: str, request_id: str = "", ip: str | None = None) -> None:
    """Tell on the platform's record what somebody did to their own account, in the transaction of it."""
    own = {"actor_kind": "superuser" if person.is_superuser else "user", "actor_label": person.get_username()[:200]}
    with walls.platform():
        _insert(None, person, person, action, **own, request_id=request_id, ip=ip)


def _insert(organisation_id: UUID | None, by: Any, person: Any, action: str, **fields: Any) -> None:
    Event.objects.create(
        organisation_id=organisation_id,
        actor_id=str(by.pk),
        action=action,
        object_kind="user",
        object_id=str(person.pk),
        object_label=person.get_username()[:200],
        result="ok",
        **fields,
    )
