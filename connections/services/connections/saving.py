"""Connections made, changed, cloned and deleted: the row, its secrets, its revision and its event together."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from django.db import transaction

from connections.models import Connection, Role
from connections.services import (
    counters,
    drafts,
    events,
    expiry,
    probes,
    references,
    revisions,
    slots,
    sources,
    standing,
    upgrade_rows,
    vault,
)
from connections.services.actor import Actor
from connections.services.connections.change import Change, plain_fields
from connections.services.connections.finding import get
from connections.services.connections.slugs import insert_with_slug
from connections.services.drafts import Draft
from connections.services.errors import Invalid, PreconditionFailed, VersionConflict

Verify = Callable[[Draft], None]
"""Called with a draft before it is stored; raises to store nothing."""


def create(
    actor: Actor,
    source: Any,
    change: Change,
    *,
    slug: str | None = None,
    managed_by: str | None = None,
    verify: Verify | None = None,
) -> Connection:
    """Store a new connection. ``slug`` is made from the name unless given (then ``Conflict`` when taken)."""
    actor.require(Role.EDITOR)
    actor.require_whole_reach()
    adapter = sources.chosen(source, actor.organisation)
    plain = plain_fields(change)
    if not plain.get("name"):
        raise Invalid.at("/name", "A connection needs a name.", "required")
    probe = probes.checked(adapter, change.probe)
    draft = drafts.new(adapter, actor.organisation, change.config, change.secrets)
    if verify is not None:
        verify(draft)
    connection = Connection(
        organisation=actor.organisation,
        source=adapter.id,
        config=draft.config,
        schema_version=adapter.config_class.schema_version,
        managed_by=managed_by,
        created_by_id=actor.user_id,
        probe=probe,
        **plain,
    )
    with transaction.atomic():
        insert_with_slug(connection, slug)
        if draft.secrets:
            vault.seal(connection, draft.secrets, draft.set_at, changed=True)
        expiry.keep(connection, expiry.stored(connection), draft, change.expiries)
        revisions.write(actor, connection)
        events.record(actor, "connection.create", connection, changes=_creation(connection, draft))
    return get(actor, connection.slug)


def update(
    actor: Actor,
    connection: Connection,
    change: Change,
    *,
    if_match: Collection[int] | None = None,
    version: int | None = None,
    verify: Verify | None = None,
    action: str = "connection.update",
    detail: dict[str, Any] | None = None,
) -> Connection:
    """Change a connection. ``if_match`` raises ``PreconditionFailed``, ``version`` ``VersionConflict`` when stale.

    ``if_match`` names the versions that may be changed. ``action`` and ``detail`` are what the record calls it.
    """
    actor.require(Role.EDITOR, connection)
    plain = plain_fields(change)
    if change.probe is not None and change.probe != connection.probe:
        plain["probe"] = probes.checked(sources.find(connection.source), change.probe)
    require_version(connection, if_match, version)
    draft = _draft(actor, action, connection, change, always=verify is not None)
    if draft is not None and verify is not None:
        verify(draft)
    with transaction.atomic():
        row = Connection.objects.select_for_update().filter(pk=connection.pk, version=connection.version).first()
        if row is None:
            raise VersionConflict("Somebody changed this connection meanwhile. Load it again.")
        before, config = {name: getattr(row, name) for name in plain}, row.config
        changes = upgrade_rows.upgrade_where_possible(row) if draft is not None else {}
        changes |= {name: [before[name], value] for name, value in plain.items() if before[name] != value}
        for name, value in plain.items():
            setattr(row, name, value)
        before_expiries = expiry.stored(row)
        if draft is not None:
            changes |= _apply(row, draft)
        changes |= expiry.keep(row, before_expiries, draft, change.expiries)
        if "config" in changes:
            changes["config"] = [config, row.config]
        if "probe" in changes:
            changes["probe"] = [probes.told(before["probe"]), probes.told(row.probe)]
        if changes.keys() & {"config", "secrets", "probe"}:
            detail = slots.settled(row, detail, secrets_changed="secrets" in changes)
        if changes:
            row.version = counters.after(row.version)
            row.save(update_fields=[*plain, "version", "updated_at"])  # what cannot be read stays as it is
            if "config" in changes:
                revisions.write(actor, row)
            events.record(actor, action, row, changes=changes, detail=detail)
    return get(actor, connection.slug)


def delete(
    actor: Actor, connection: Connection, *, if_match: Collection[int] | None = None, version: int | None = None
) -> None:
    """Delete a connection with its secrets and checks; its events stay."""
    actor.require(Role.EDITOR, connection)
    require_version(connection, if_match, version)
    with transaction.atomic():
        # First, as everybody who writes its secrets: the delete itself begins with what points at it.
        Connection.objects.select_for_update().filter(pk=connection.pk).first()
        events.record(actor, "connection.delete", connection)
        connection.delete()
        standing.watch.doubt()


def clone(actor: Actor, connection: Connection, name: str | None = None) -> Connection:
    """A copy without secrets, named ``name`` or after the original."""
    actor.require(Role.EDITOR, connection)
    actor.require_whole_reach()
    plain = plain_fields(Change(name=name if name is not None else f"{connection.name[:190]} (copy)"))
    sources.chosen(connection.source, actor.organisation)
    copy = Connection(
        organisation=actor.organisation,
        source=connection.source,
        config=connection.config,
        schema_version=connection.schema_version,
        description=connection.description,
        tags=connection.tags,
        environment=connection.environment,
        probe=connection.probe,
        created_by_id=actor.user_id,
        **plain,
    )
    with transaction.atomic():
        insert_with_slug(copy, None)
        expiry.settle(copy)
        revisions.write(actor, copy)
        events.record(actor, "connection.clone", copy, detail={"from": str(connection.pk)})
    return get(actor, copy.slug)


def _draft(actor: Actor, action: str, connection: Connection, change: Change, *, always: bool) -> Draft | None:
    if change.config is None and change.secrets is None and not always:
        return None
    return drafts.changed_by(
        actor,
        action,
        sources.editable(connection.source, connection.organisation),
        connection,
        change.config or {},
        change.secrets or {},
    )


def _apply(row: Connection, draft: Draft) -> dict[str, Any]:
    """Put a draft into a row and its secrets; return what changed, secrets by name only."""
    changes: dict[str, Any] = {}
    if draft.config_changed:
        revisions.write_first(row)
        changes["config"] = [row.config, draft.config]
        row.config = draft.config
        row.schema_version = draft.adapter.config_class.schema_version
    if draft.secrets_changed:
        before = vault.names(row)
        changes["secrets"] = sorted(
            name for name in {*before, *draft.set_at} if before.get(name) != draft.set_at.get(name)
        )
        changes |= references.moved(vault.references_of(row), references.column(draft.secrets))
    if not changes:
        return {}
    row.access_version = counters.after(row.access_version)
    row.status_ok, row.status_code, row.status_at = None, "", None
    row.save()
    stored = vault.current(row)  # it is bound to its endpoint even when it holds nothing any more
    if draft.secrets_changed or (stored is not None and stored.fingerprint != vault.fingerprint(row)):
        vault.seal(row, draft.secrets, draft.set_at, changed=draft.secrets_changed)
    return changes


def require_version(connection: Connection, if_match: Collection[int] | None, version: int | None) -> None:
    if if_match is not None and connection.version not in if_match:
        raise PreconditionFailed(f"The connection is at version {connection.version}. Load it again.")
    if version is not None and version != connection.version:
        raise VersionConflict(f"The connection is at version {connection.version}. Load it again.")


def _creation(connection: Connection, draft: Draft) -> dict[str, Any]:
    secrets = {"secrets": sorted(draft.set_at), **references.moved({}, references.column(draft.secrets))}
    return {"name": [None, connection.name], "config": [None, draft.config], **secrets}
