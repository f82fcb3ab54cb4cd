"""Upgrading rows for good: settings, secrets and probe of an older version of a source's schema become today's.

Each connection is one transaction, with its event: whoever kills a run loses nothing, and the next one goes on. Its
secrets are sealed anew in the same step, as what binds them to their endpoint is under the schema's version.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from connections.adapters.registry import registry
from connections.models import Connection, Organisation, Slot
from connections.services import counters, drafts, events, expiry, revisions, slots, sources, upgrading, vault
from connections.services.actor import Actor
from connections.services.errors import ConfigOutdated, Locked, VersionConflict
from connections.services.keys.record import record

BATCH = 500


@dataclass(frozen=True, slots=True)
class Progress:
    """Connections so far. ``changed`` were changed by somebody else, ``locked`` have secrets that do not open, and
    ``unfit`` settings that no upgrade makes fit."""

    upgraded: int = 0
    changed: int = 0
    locked: int = 0
    unfit: int = 0


def upgrade_all(organisation: Organisation | None, *, batch: int = BATCH, dry_run: bool = False) -> Iterator[Progress]:
    """Upgrade every connection that is behind its source; yield after each batch. ``dry_run`` keeps nothing of it."""
    total = Progress()
    for adapter in registry.healthy():
        rows = Connection.objects.filter(source=adapter.id, schema_version__lt=adapter.config_class.schema_version)
        if organisation is not None:
            rows = rows.filter(organisation=organisation)
        for keys in _batches(rows, batch):
            for pk, version in keys:
                came = _upgrade_one(pk, version, dry_run)
                total = replace(total, **{came: getattr(total, came) + 1})
            yield total


def upgrade(row: Connection) -> dict[str, Any] | None:
    """Upgrade a connection whose row the caller has locked, in the caller's transaction; return what changed.

    None when it is of today already. The caller records it. Raises ``Locked`` when its secrets do not open, and
    ``ConfigOutdated`` when its settings do not fit even so.
    """
    adapter = sources.find(row.source)
    if adapter is None or row.schema_version == adapter.config_class.schema_version:
        return None
    if found := drafts.outdated(adapter, row):
        raise ConfigOutdated("The stored settings do not fit this source, upgraded or not.", problems=found)
    versions = counters.after(row.version), counters.after(row.access_version)
    key = vault.sealing_key(row.organisation) if row.secrets_rows.exists() else None
    opened = [(each, _opened(row, Slot(each.slot))) for each in row.secrets_rows.select_for_update()]
    slots.drop(row, *(Slot(each.slot) for each, secrets in opened if secrets is None))
    current = vault.current(row)
    moved = sorted({*(current.names if current else ())} ^ {*vault.names(row)})
    for each, _ in opened:
        each.names, each.expiries = (upgrading.by_name(row, told) for told in (each.names, each.expiries))
    old = row.config, row.schema_version
    revisions.write_first(row)
    row.config, row.probe = upgrading.config(row), upgrading.probe(row)
    row.schema_version = adapter.config_class.schema_version
    row.version, row.access_version = versions
    row.save(update_fields=["config", "probe", "schema_version", "version", "access_version", "updated_at"])
    for each, secrets in opened:
        if secrets is not None and key is not None:
            vault.write(row, each, secrets, key)
    expiry.settle(row)
    held = [
        sorted(each.slot for each, _ in opened),
        sorted(each.slot for each, secrets in opened if secrets is not None),
    ]
    changes: dict[str, Any] = {"config": [old[0], row.config], "schema_version": [old[1], row.schema_version]}
    return changes | ({"secrets": moved} if moved else {}) | ({"slots": held} if held[0] != held[1] else {})


def upgrade_where_possible(row: Connection) -> dict[str, Any]:
    """As ``upgrade``, before another change, which may mend what stands in the way: then nothing is upgraded."""
    try:
        return upgrade(row) or {}
    except (Locked, ConfigOutdated):
        return {}


def upgraded(actor: Actor, connection: Connection) -> Connection:
    """``connection``, its row upgraded first where it is behind, on record as the actor's. Raises as ``upgrade``."""
    adapter = sources.find(connection.source)
    if adapter is None or connection.schema_version == adapter.config_class.schema_version:
        return connection
    with transaction.atomic():
        row = Connection.objects.select_for_update().filter(pk=connection.pk, version=connection.version).first()
        if row is None:
            raise VersionConflict("Somebody changed this connection meanwhile. Load it again.")
        changes = upgrade(row)
        if changes is None:
            return connection
        revisions.write(actor, row)
        events.record(actor, "connection.upgrade", row, changes=changes)
    return Connection.objects.select_related("organisation").get(pk=row.pk)


def _upgrade_one(pk: UUID, version: int, dry_run: bool) -> str:
    """Upgrade one connection, if it still is at ``version``; say which count of ``Progress`` it belongs to."""
    try:
        with transaction.atomic():
            row = Connection.objects.select_for_update().filter(pk=pk, version=version).first()
            if row is None:
                return "changed"
            changes = upgrade(row)
            if changes is None:
                return "changed"
            revisions.write_as("terminal", row)
            record(
                "connection.upgrade",
                row.organisation,
                kind="connection",
                thing=row.pk,
                object_label=row.name[:200],
                object_version=row.version,
                changes=changes,
            )
            transaction.set_rollback(dry_run)
    except Locked:
        return "locked"
    except ConfigOutdated:
        return "unfit"
    return "upgraded"


def _opened(row: Connection, slot: Slot) -> dict[str, Any] | None:
    """The secrets of a slot. None for those beside the current ones that do not open: nothing can be done with them."""
    try:
        return vault.unseal(row, slot)
    except Locked:
        if slot == Slot.CURRENT:
            raise
        return None


def _batches(rows: QuerySet[Connection], size: int) -> Iterator[list[tuple[UUID, int]]]:
    keys = rows.order_by("pk").values_list("pk", "version")
    found = list(keys[:size])
    while found:
        yield found
        found = list(keys.filter(pk__gt=found[-1][0])[:size])
