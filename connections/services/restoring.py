"""Giving a connection the settings of an earlier version back, by the same way as any other change."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from connections.models import Connection, ConnectionRevision
from connections.services import connections, revisions, upgrading
from connections.services.actor import Actor
from connections.services.connections import Change


def restore(
    actor: Actor,
    connection: Connection,
    version: int,
    *,
    secrets: dict[str, Any] | None = None,
    if_match: Collection[int] | None = None,
    expected: int | None = None,
) -> Connection:
    """Give ``connection`` the settings it had at ``version``; that makes a new version, and nothing where they are.

    Secrets stay as they are, except those in ``secrets``. Raises ``ReentryRequired`` where a kept one would go
    elsewhere, and whatever else ``connections.update`` raises; ``if_match`` and ``expected`` are as there.
    """
    revision = revisions.get(actor, connection, version)
    return connections.update(
        actor,
        connection,
        Change(config=replacing(upgrading.config(connection), settings_of(connection, revision)), secrets=secrets),
        if_match=if_match,
        version=expected,
        action="connection.restore",
        detail={"restored": version},
    )


def settings_of(connection: Connection, revision: ConnectionRevision) -> dict[str, Any]:
    """The settings that a restore gives back: those of the revision, as today's schema has them."""
    return upgrading.stored_config(connection.source, revision.config, revision.schema_version)


def replacing(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Merge Patch that makes ``new`` of ``old``, whatever both hold: every member told, gone ones as null."""
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        before = old.get(name)
        both = isinstance(value, Mapping) and isinstance(before, Mapping)
        patch[name] = replacing(before, value) if both else value  # type: ignore[arg-type]
    return patch
