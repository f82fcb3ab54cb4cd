"""Secrets sealed and stored."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from connections.models import Connection, ConnectionSecrets, Slot
from connections.services import references
from connections.services.vault.data_keys import SealingKey, sealing_key
from connections.services.vault.place import fingerprint, place_of
from connections.services.vault.rows import forget_rows, next_generation


def seal(connection: Connection, secrets: dict[str, Any], set_at: dict[str, str], *, changed: bool) -> None:
    """Store ``secrets`` as the connection's current ones, bound to its endpoint as it is now.

    ``set_at`` gives each dotted path's time. ``changed`` moves the generation; a mere reseal does not.
    """
    with transaction.atomic():
        if changed:
            connection.secrets_generation = next_generation(connection)
        key = sealing_key(connection.organisation)
        row = ConnectionSecrets.objects.filter(connection=connection, slot=Slot.CURRENT).first()
        row = row or ConnectionSecrets(connection=connection, organisation_id=connection.organisation_id)
        row.slot, row.generation, row.names = Slot.CURRENT, connection.secrets_generation, set_at
        write(connection, row, secrets, key)
        connection.save(update_fields=["secrets_generation"])


def write(connection: Connection, row: ConnectionSecrets, secrets: dict[str, Any], key: SealingKey) -> None:
    """Save ``row``, whose slot, generation and names are set, with ``secrets`` sealed under ``key`` for this place."""
    row.key_version, row.fingerprint, row.problem = key.version, fingerprint(connection), ""
    row.references = references.column(secrets)
    row.blob = key.sealer.seal(references.sealable(secrets), place_of(connection, row))
    row.save()
    forget_rows(connection)
