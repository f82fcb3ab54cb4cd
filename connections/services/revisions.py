"""What a connection's settings were at each version that changed them. Secrets are not part of it."""

from __future__ import annotations

from django.db.models import QuerySet

from connections.models import Connection, ConnectionRevision, Role
from connections.services.actor import Actor
from connections.services.errors import NotFound


def write(actor: Actor, connection: Connection) -> None:
    """Keep the settings that ``connection`` has now, in the transaction that gave it its version."""
    write_as(actor.label, connection)


def write_as(label: str, connection: Connection) -> None:
    """As ``write``, for one who is no actor: the terminal."""
    made = _of(connection)
    made.made_by = label[:200]
    made.made_at = connection.updated_at
    made.save(force_insert=True)


def write_first(connection: Connection) -> None:
    """Before a change: keep the settings as they are where no version was ever kept. Who made them is not known."""
    if not ConnectionRevision.objects.filter(connection=connection).exists():
        _of(connection).save(force_insert=True)


def history(actor: Actor, connection: Connection) -> QuerySet[ConnectionRevision]:
    """The kept versions, newest first. The newest is what the connection has now."""
    actor.require(Role.VIEWER, connection)
    return _kept(connection)


def only(actor: Actor, connection: Connection) -> ConnectionRevision | None:
    """The settings as they are, as the one version of a connection of which none was ever kept; else None."""
    actor.require(Role.VIEWER, connection)
    return None if _kept(connection).exists() else _of(connection)


def get(actor: Actor, connection: Connection, version: int) -> ConnectionRevision:
    """One version. Raises ``NotFound`` for one that was not kept."""
    actor.require(Role.VIEWER, connection)
    found = _kept(connection).filter(version=version).first() if version < 2**31 else None
    if found is None and version == connection.version:
        found = only(actor, connection)
    if found is None:
        raise NotFound
    return found


def _kept(connection: Connection) -> QuerySet[ConnectionRevision]:
    return ConnectionRevision.objects.filter(connection=connection, organisation_id=connection.organisation_id)


def _of(connection: Connection) -> ConnectionRevision:
    return ConnectionRevision(
        organisation_id=connection.organisation_id,
        connection=connection,
        version=connection.version,
        config=connection.config,
        schema_version=connection.schema_version,
        made_at=connection.updated_at,
    )
