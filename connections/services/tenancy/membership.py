"""Members: let in, given another role, let go."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Q, QuerySet

from connections.models import Event, Membership, Organisation, Role
from connections.services import events, standing
from connections.services.actor import Actor
from connections.services.errors import Conflict, Forbidden, Invalid, NotFound


def member(actor: Actor, member_id: Any) -> Membership:
    """One membership of the actor's organisation. Raises ``NotFound``."""
    found = Membership.objects.all().visible_to(actor).filter(pk=member_id).first()
    if found is None:
        raise NotFound(member=str(member_id))
    return found


def members(actor: Actor) -> QuerySet[Membership]:
    actor.require(Role.ADMIN)
    return Membership.objects.all().visible_to(actor).select_related("user").order_by("-created_at", "-id")


def add_member(actor: Actor, email: Any, role: Any) -> None:
    """Make the person with this e-mail address a member, if there is one and it is none yet. Nobody asks the person.

    The call answers alike whatever came of it. The members that ``members`` lists afterwards tell whether there is an
    account with that address, and its name; so does the record: where nothing was changed, as nobody or more than one
    has the address, or a member has it, whose role stays, the event has ``failed`` and ``unchanged``, whichever it was.
    Whoever visits cannot make themselves a member, and so needs a reason each time. The one exception is the first
    member that an organisation ever has: somebody must begin, and its record starts with the reason.
    """
    actor.require(Role.ADMIN)
    _require_role(role)
    if not isinstance(email, str) or not email:
        raise Invalid.at("/email", "An e-mail address.", "required")
    try:
        validate_email(email)
    except ValidationError:
        raise Invalid.at("/email", "This is not an e-mail address.") from None
    with transaction.atomic():
        if _let_in(actor, email, role):
            events.record(actor, "member.add", label=email, changes={"role": [None, role]})
        else:
            told = {"role": role}
            events.record(actor, "member.add", label=email, result="failed", code="unchanged", detail=told)


def _let_in(actor: Actor, email: str, role: str) -> bool:
    """Whether the one person with this address is a member now who was none before."""
    people = list(get_user_model()._default_manager.filter(email__iexact=email, is_active=True)[:2])
    if len(people) != 1:
        return False
    _require_no_visitor(actor, people[0])
    _, is_new = Membership.objects.get_or_create(
        organisation=actor.organisation, user=people[0], defaults={"role": role}
    )
    let_into_admin(people[0])
    return is_new


def change_member(actor: Actor, member_id: Any, role: Any) -> Membership:
    """Give a member another role. Raises ``NotFound``, and ``Conflict`` for the last administrator."""
    actor.require(Role.ADMIN)
    _require_role(role)
    with transaction.atomic():
        membership = _member(actor, member_id)
        if role != Role.ADMIN:
            _require_another_admin(membership)
        before, membership.role = membership.role, role
        membership.save(update_fields=["role"])
        events.record(actor, "member.change", membership, changes={"role": [before, role]})
        standing.watch.doubt()
    return membership


def remove_member(actor: Actor, member_id: Any) -> None:
    """End a membership, and with it the keys the member made."""
    actor.require(Role.ADMIN)
    with transaction.atomic():
        membership = _member(actor, member_id)
        _require_another_admin(membership)
        events.record(actor, "member.remove", membership, changes={"role": [membership.role, None]})
        membership.delete()
        standing.watch.doubt()


def let_into_admin(person: Any) -> None:
    """Members use the admin site; what they may do in it comes from their membership alone."""
    if not person.is_staff:
        person.is_staff = True
        person.save(update_fields=["is_staff"])


def _member(actor: Actor, member_id: Any) -> Membership:
    membership = members(actor).select_for_update(of=("self",)).filter(pk=member_id).first()
    if membership is None:
        raise NotFound
    return membership


def _require_role(role: Any) -> None:
    if role not in Role.values:
        raise Invalid.at("/role", f"One of {', '.join(Role.values)}.", "required" if role is None else "invalid")


def _require_no_visitor(actor: Actor, person: Any) -> None:
    """Raise ``Forbidden`` for a visitor who would stay where anybody ever was a member: those let people in."""
    if actor.membership_id is not None or person.pk != actor.user_id:
        return
    Organisation.objects.select_for_update().get(pk=actor.organisation_id)  # of two visitors, one is the first
    if _had_members(actor.organisation):
        raise Forbidden("Whoever visits is made a member by the organisation's own administrators.")


def _had_members(organisation: Organisation) -> bool:
    """Whether anybody was ever let in, by the rows and by the record, which outlives them."""
    by_members = Q(action__startswith="member.") | Q(actor_kind__in=("user", "api_key"))
    return (
        Membership.objects.filter(organisation=organisation).exists()
        or Event.objects.filter(by_members, organisation=organisation).exists()
    )


def _require_another_admin(membership: Membership) -> None:
    """Raise ``Conflict`` when ``membership`` is the organisation's only administrator. Locks the others."""
    if membership.role != Role.ADMIN:
        return
    admins = Membership.objects.select_for_update(of=("self",)).filter(
        organisation=membership.organisation_id, role=Role.ADMIN, user__is_active=True
    )
    if not any(admin.pk != membership.pk for admin in admins):
        raise Conflict("The last administrator of an organisation cannot go.")
