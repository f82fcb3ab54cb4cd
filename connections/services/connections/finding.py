"""The connections that an actor sees, and those among them that fit."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from connections.models import Connection
from connections.services import (
    vault,
)
from connections.services.actor import Actor
from connections.services.errors import NotFound, OutOfReach

STATUS_FILTERS = {"ok": Q(status_ok=True), "failed": Q(status_ok=False), "unknown": Q(status_ok=None)}


def visible(actor: Actor) -> QuerySet[Connection]:
    """The organisation's connections, with what showing them needs."""
    found = Connection.objects.all().visible_to(actor).select_related("organisation")
    return found.prefetch_related("secrets_rows", "organisation__keys")


def get(actor: Actor, slug: str) -> Connection:
    """One connection. Raises ``NotFound``, also for another organisation's, and ``OutOfReach`` to a restricted key."""
    try:
        found = visible(actor).get(slug=slug)
        if not all(vault.is_due(found, row) for row in found.secrets_rows.all()):
            found = visible(actor).get(slug=slug)  # it is read before its secrets, and a rotation may fall in between
        return found
    except Connection.DoesNotExist:
        raise (NotFound() if actor.reach is None else OutOfReach(slug)) from None


def search(
    actor: Actor,
    *,
    source: str = "",
    tag: str = "",
    environment: str = "",
    status: str = "",
    q: str = "",
    expiring: int | None = None,
) -> QuerySet[Connection]:
    """The organisation's connections that fit every filter that is not empty.

    ``expiring`` is as in ``expiring_within``.
    """
    found = visible(actor)
    if expiring is not None:
        found = found.filter(expiring_within(expiring))
    if source:
        found = found.filter(source=source)
    if environment:
        found = found.filter(environment=environment)
    if tag:
        found = found.filter(pk__in=[pk for pk, tags in found.values_list("pk", "tags") if tag in tags])
    if status:
        found = found.filter(STATUS_FILTERS[status])
    if q:
        found = found.filter(
            Q(name__icontains=q) | Q(slug__icontains=q) | Q(description__icontains=q) | Q(source__icontains=q)
        )
    return found


def expiring_within(days: int) -> Q:
    """Connections of which a secret or certificate ends within so many days, or has ended, as far as is known."""
    return Q(secrets_expire_at__lte=timezone.now() + timedelta(days=days))
