"""Where a person belongs, and as whom they act there."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from connections.models import Membership, Organisation, Role
from connections.services import visits, walls
from connections.services.actor import Actor, Stranger, Visit
from connections.services.errors import NotFound


def organisations(person: Any) -> QuerySet[Organisation]:
    """Where a user belongs; a superuser sees all."""
    found = Organisation.objects.filter(suspended_at=None)
    return found if person.is_superuser else found.filter(memberships__user=person)


@walls.platform()
def actor_of(person: Any, slug: str, request_id: str = "", ip: str | None = None, visit: Visit | None = None) -> Actor:
    """The user as an actor in the organisation ``slug``. Raises ``NotFound`` where the user does not belong.

    A superuser who is no member belongs there for the time of a ``visit``.
    """
    if not person.is_active:
        raise NotFound
    found = {"kind": "user", "id": str(person.pk), "label": person.get_username()}
    common = {"request_id": request_id, "ip": ip, "user_id": person.pk}
    membership = (
        Membership.objects.select_related("organisation")
        .filter(user=person, organisation__slug=slug, organisation__suspended_at=None)
        .first()
    )
    if membership is not None:
        role = Role(membership.role)
        return Actor(**found, **common, organisation=membership.organisation, role=role, membership_id=membership.pk)
    if visit is None or visit.person_id != person.pk or visit.until <= timezone.now():
        raise NotFound(organisation=slug)
    organisation = Organisation.objects.filter(slug=slug, pk=visit.organisation_id).first()
    if organisation is None:
        raise NotFound(organisation=slug)
    return visits.as_platform(person, organisation, request_id, ip, visit)


def stranger(person: Any, request_id: str = "", ip: str | None = None) -> Stranger:
    """The user as somebody in no organisation: for the platform's record."""
    kind = "superuser" if person.is_superuser else "user"
    return Stranger(kind, str(person.pk), person.get_username(), request_id, ip)


@walls.platform()
def actors_of(person: Any, request_id: str = "", ip: str | None = None) -> list[Actor]:
    """The user as an actor in each organisation that it is a member of."""
    slugs = organisations(person).filter(memberships__user=person).values_list("slug", flat=True).distinct()
    return [actor_of(person, slug, request_id, ip) for slug in slugs]
