"""Where secrets belong: what their seal is bound to."""

from __future__ import annotations

from connections.adapters import snapshots
from connections.models import Connection, ConnectionSecrets, Slot
from connections.sealing.fingerprint import endpoint_fingerprint
from connections.sealing.secrets import SecretsPlace
from connections.services import sources
from connections.services.vault.rows import kept_until


def fingerprint(connection: Connection) -> str:
    """The fingerprint of where this connection's secrets go, by its settings as they are stored.

    It is under the version of the schema that they were stored under; empty where nothing is known of that.
    """
    adapter, values = sources.find(connection.source), connection.config
    if adapter is not None:
        known = snapshots.endpoint(adapter, connection.config, connection.schema_version)
        if known is None:
            return ""
        values = known
    return endpoint_fingerprint(connection.source, connection.schema_version, values)


def place_of(connection: Connection, row: ConnectionSecrets) -> SecretsPlace:
    """The place that the secrets of ``row`` are sealed for: they open in no other."""
    return SecretsPlace(
        organisation_id=connection.organisation_id,
        connection_id=connection.pk,
        slot=Slot(row.slot).value,  # type: ignore[arg-type]
        generation=row.generation,
        endpoint_fingerprint=fingerprint(connection),
        names=row.names,
        kept_until=kept_until(row),
    )
