"""Organisations and their members."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from connections.adapters.schema import Problem
from connections.models import Event, Membership, Organisation, OrganisationKey, Role
from connections.services import budgets, events, standing, vault, visits, walls
from connections.services.actor import Actor, Visit
from connections.services.errors import Conflict, Forbidden, Invalid, NotFound


@dataclass(frozen=True, slots=True)
class Planned:
    """An organisation to be, and its sealed data key. Neither is saved."""

    organisation: Organisation
    key: OrganisationKey


def plan(organisation: Organisation) -> Planned:
    """``organisation``, not saved yet, with a data key: asks the vault where one has the root key. Raises ``KeyAway``.

    Apart from what stores it, as no transaction waits for a vault.
    """
    return Planned(organisation, vault.new_key(organisation))


def create_organisation(slug: str, name: str) -> Organisation:
    """A new organisation with its data key. Raises ``KeyAway``."""
    return _store(plan(Organisation(slug=slug, name=name)))


def _store(planned: Planned) -> Organisation:
    with transaction.atomic():
        planned.organisation.save(force_insert=True)
        planned.key.save(force_insert=True)
    return planned.organisation


def establish(slug: str, name: str, person: Any) -> Organisation:
    """A new organisation whose administrator is ``person``; on record as the terminal's doing.

    Raises ``Invalid`` for a slug or name that cannot be one, ``Conflict`` for a slug that is taken, and ``KeyAway``.
    """
    try:
        organisation = Organisation(slug=slug, name=name)
        organisation.clean_fields()
    except ValidationError as exc:
        raise Invalid.of([Problem(f"/{at}", "invalid", text) for at, [text, *_] in exc.message_dict.items()]) from None
    planned = plan(organisation)
    with transaction.atomic():
        if Organisation.objects.filter(slug=slug).exists():
            raise Conflict(f"There is an organisation {slug} already.")
        _store(planned)
        system = Actor("system", "", "terminal", organisation, Role.ADMIN)
        events.record(system, "organisation.create", organisation)
        membership = Membership.objects.create(organisation=organisation, user=person, role=Role.ADMIN)
        _let_into_admin(person)
        events.record(system, "member.add", membership, changes={"role": [None, Role.ADMIN]})
    return organisation


def found(person: Any, planned: Planned, request_id: str = "", ip: str | None = None) -> Organisation:
    """Store a new organisation without members, made by a superuser; on record as theirs."""
    if not person.is_superuser:
        raise Forbidden("Only the platform's superusers may make an organisation.")
    with transaction.atomic():
        organisation = _store(planned)
        events.record(visits.as_platform(person, organisation, request_id, ip), "organisation.create", organisation)
    return organisation


def configure(actor: Actor, values: dict[str, Any]) -> Organisation:
    """Change what the platform sets of an organisation, such as its egress; for superusers. Its events tell."""
    if actor.kind != "superuser" and not _is_superuser(actor):
        raise Forbidden("Only the platform's superusers may change an organisation.")
    budgets.validate(values.get("budgets", {}))
    with transaction.atomic():
        row = Organisation.objects.select_for_update().get(pk=actor.organisation_id)
        changes = {
            name: [_plain(getattr(row, name)), _plain(value)]
            for name, value in values.items()
            if getattr(row, name) != value
        }
        for name, value in values.items():
            setattr(row, name, value)
        if changes:
            row.save(update_fields=list(values))
            events.record(actor, "organisation.change", row, changes=changes)
            standing.watch.doubt()
    return row


def decide(actor: Actor, values: dict[str, Any]) -> Organisation:
    """Change what an organisation's own administrators decide: ``accepts_unsafe_roles``. Its events tell.

    Whoever only visits cannot consent in its name.
    """
    actor.require(Role.ADMIN)
    if actor.membership_id is None:
        raise Forbidden("Only the organisation's own administrators decide this.")
    accepts = values.get("accepts_unsafe_roles", actor.organisation.accepts_unsafe_roles)
    if not isinstance(accepts, bool):
        raise Invalid.at("/accepts_unsafe_roles", "true or false.")
    with transaction.atomic():
        row = Organisation.objects.select_for_update().get(pk=actor.organisation_id)
        if row.accepts_unsafe_roles != accepts:
            changes = {"accepts_unsafe_roles": [row.accepts_unsafe_roles, accepts]}
            row.accepts_unsafe_roles = accepts
            row.save(update_fields=["accepts_unsafe_roles"])
            events.record(actor, "organisation.decide", row, changes=changes)
    return row


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


@walls.platform()
def actors_of(person: Any, request_id: str = "", ip: str | None = None) -> list[Actor]:
    """The user as an actor in each organisation that it is a member of."""
    slugs = organisations(person).filter(memberships__user=person).values_list("slug", flat=True).distinct()
    return [actor_of(person, slug, request_id, ip) for slug in slugs]


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
    """Make the person with this e-mail address a member, if there is one.

    Nothing tells the caller whether there is: a list of who has an account is not the organisation's to make.
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
        people = list(get_user_model()._default_manager.filter(email__iexact=email, is_active=True)[:2])
        if len(people) == 1:
            _require_no_visitor(actor, people[0])
            Membership.objects.get_or_create(organisation=actor.organisation, user=people[0], defaults={"role": role})
            _let_into_admin(people[0])
        events.record(actor, "member.add", label=email, changes={"role": [None, role]})


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


def _is_superuser(actor: Actor) -> bool:
    people = get_user_model()._default_manager.filter(is_active=True, is_superuser=True)
    return actor.user_id is not None and people.filter(pk=actor.user_id).exists()


def _plain(value: Any) -> Any:
    """``value`` as JSON has it."""
    return value.isoformat() if isinstance(value, datetime) else value


def _let_into_admin(person: Any) -> None:
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
