"""Organisations: planned, made, and what the platform and their own administrators set of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import transaction

from connections.adapters.schema import Problem
from connections.models import Membership, Organisation, OrganisationKey, Role
from connections.services import budgets, events, standing, vault, visits
from connections.services.actor import Actor
from connections.services.errors import Conflict, Forbidden, Invalid
from connections.services.tenancy.membership import let_into_admin


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
        let_into_admin(person)
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


def _is_superuser(actor: Actor) -> bool:
    people = get_user_model()._default_manager.filter(is_active=True, is_superuser=True)
    return actor.user_id is not None and people.filter(pk=actor.user_id).exists()


def _plain(value: Any) -> Any:
    """``value`` as JSON has it."""
    return value.isoformat() if isinstance(value, datetime) else value
