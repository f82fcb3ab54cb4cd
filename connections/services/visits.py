"""Visits: a superuser looks into an organisation that is not theirs, for a reason that the organisation reads.

The platform's people have no place in an organisation. To help with something they may go in for a while, as its
administrators: they say why, that is on the organisation's record before they see anything, and so is all that they do
while they are there. A secret cannot be read back by them either: by nobody.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from connections.models import Event, Organisation, Role
from connections.models.base import uuid7
from connections.services import events, walls
from connections.services.actor import Actor, Visit
from connections.services.errors import Invalid, NotFound

SESSION_KEY = "visit"
ACTION = "organisation.visit"
REASON_LENGTH = (10, 500)
SHOWN_FOR = timedelta(days=30)
# Letters and symbols of Unicode's that are drawn as nothing: fillers of Hangul, the empty pattern of Braille.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")


def begin(person: Any, slug: str, reason: Any, request_id: str = "", ip: str | None = None) -> Visit:
    """Let a superuser into the organisation ``slug`` for ``CATALOG_VISIT_SECONDS``; its record tells why.

    Raises ``Invalid`` for a reason that is none, and ``NotFound`` for whoever is no superuser.
    """
    if not (person.is_active and person.is_superuser):
        raise NotFound(organisation=slug)
    with walls.platform():
        organisation = Organisation.objects.filter(slug=slug).first()
    if organisation is None:
        raise NotFound(organisation=slug)
    least, most = REASON_LENGTH
    text = " ".join(reason.split()) if isinstance(reason, str) else ""
    if len(text) > most or _seen(text) < least or "\0" in text or not any(map(str.isalnum, text)):
        raise Invalid.at("/reason", f"Say why, in words of {least} to {most} characters. The organisation reads it.")
    until = timezone.now() + timedelta(seconds=settings.CATALOG_VISIT_SECONDS)
    visit = Visit(str(uuid7()), organisation.pk, person.pk, text, until)
    actor = as_platform(person, organisation, request_id, ip, visit)
    events.record(actor, ACTION, organisation, detail={"until": until.isoformat()})
    return visit


def _seen(text: str) -> int:
    """How many characters of ``text`` a reader sees, single spaces between words among them.

    No controls and formats (C), no separators but the space (Z), no marks (M), nothing that is drawn as nothing.
    """
    words = "".join(c for c in text if c == " " or (unicodedata.category(c)[0] not in "CZM" and c not in _BLANK))
    return len(" ".join(words.split()))


def as_platform(
    person: Any, organisation: Organisation, request_id: str = "", ip: str | None = None, visit: Visit | None = None
) -> Actor:
    """A superuser as the platform that acts on an organisation; on a ``visit``, in it."""
    if not (person.is_active and person.is_superuser):
        raise NotFound(organisation=organisation.slug)
    return Actor(
        kind="superuser",
        id=str(person.pk),
        label=f"{person.get_username()[:180]} (platform)",
        organisation=organisation,
        role=Role.ADMIN,
        request_id=request_id,
        ip=ip,
        user_id=person.pk,
        visit=visit,
    )


def kept(visit: Visit) -> dict[str, Any]:
    """A visit as a session keeps it."""
    return {
        "id": visit.id,
        "organisation": str(visit.organisation_id),
        "person": visit.person_id,
        "reason": visit.reason,
        "until": visit.until.isoformat(),
    }


def of_session(session: Mapping[str, Any]) -> Visit | None:
    """The visit that a session keeps, while it lasts."""
    found = session.get(SESSION_KEY)
    if not isinstance(found, dict):
        return None
    until = datetime.fromisoformat(found["until"])
    if until <= timezone.now():
        return None
    return Visit(found["id"], UUID(found["organisation"]), found["person"], found["reason"], until)


def recent(actor: Actor) -> QuerySet[Event]:
    """The visits to the actor's organisation of the last 30 days, newest first, for its administrators."""
    return events.visible_events(actor).filter(action=ACTION, at__gte=timezone.now() - SHOWN_FOR)
