"""One row of every table of organisations' rows."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db.models import ForeignKey, Model
from django.utils import timezone

from connections.models import (
    APIKey,
    APIKeyConnection,
    Connection,
    ConnectionRevision,
    ConnectionSecrets,
    ConnectionUse,
    Event,
    EventSeal,
    Membership,
    Organisation,
    OrganisationKey,
    StatusCheck,
)
from tests.catalogue import Tenant


def owned() -> list[type[Model]]:
    """Every model of ours whose rows have an organisation."""
    models = apps.get_app_config("connections").get_models()
    return [model for model in models if any(field.name == "organisation" for field in model._meta.fields)]


def links() -> list[tuple[type[Model], Any]]:
    """Every foreign key from one of these models to another: the model, and the field."""
    theirs = owned()
    return [
        (model, field)
        for model in theirs
        for field in model._meta.local_concrete_fields
        if isinstance(field, ForeignKey) and field.related_model in theirs
    ]


def new_connection(tenant: Tenant, name: str) -> Connection:
    """A connection that nothing points at."""
    return Connection.objects.create(organisation=tenant.organisation, slug=name, name=name, source="sqlite")


def next_seal(organisation: Organisation | None) -> EventSeal:
    """A seal that has no event yet, at the end of a chain; of the platform's for None."""
    last = EventSeal.objects.filter(organisation=organisation).order_by("number").last()
    number, previous = (last.number + 1, last.digest) if last else (1, "")
    return EventSeal.objects.create(
        organisation=organisation, number=number, previous=previous, digest=f"{number:064}", events=1
    )


def rows_of(tenant: Tenant) -> dict[type[Model], Any]:
    """One row of each model, all of the tenant's."""
    organisation = tenant.organisation
    own = {"organisation": organisation}
    connection = new_connection(tenant, "tied")
    key = APIKey.objects.filter(organisation=organisation)[0]
    seal = next_seal(organisation)
    about = {**own, "connection": connection}
    return {
        Connection: connection,
        ConnectionSecrets: ConnectionSecrets.objects.create(
            **about, slot="current", generation=1, blob=b"sealed", fingerprint="f"
        ),
        ConnectionUse: ConnectionUse.objects.create(**about, last_used_at=timezone.now(), last_used_by="somebody"),
        ConnectionRevision: ConnectionRevision.objects.create(**about, version=1, made_by="somebody"),
        StatusCheck: StatusCheck.objects.create(
            **about, access_version=1, ok=True, report={}, duration_ms=1, checked_at=timezone.now()
        ),
        APIKey: key,
        APIKeyConnection: APIKeyConnection.objects.create(**about, api_key=key),
        Membership: Membership.objects.filter(organisation=organisation)[0],
        OrganisationKey: OrganisationKey.objects.filter(organisation=organisation)[0],
        EventSeal: seal,
        Event: Event.objects.create(**own, actor_kind="user", actor_label="somebody", action="a.b", result="ok"),
    }
