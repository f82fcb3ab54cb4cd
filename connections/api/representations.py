"""Rows as the REST contract shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from connections.models import (
    APIKey,
    Connection,
    ConnectionRevision,
    ConnectionUse,
    Membership,
    Organisation,
)
from connections.services import api_keys, slots, state, upgrading


def moment(value: datetime | None) -> str | None:
    """A moment in UTC, ISO 8601 with Z."""
    return value.isoformat().replace("+00:00", "Z") if value else None


def organisation(row: Organisation) -> dict[str, Any]:
    return {"slug": row.slug, "name": row.name, "created_at": moment(row.created_at)}


def connection(row: Connection) -> dict[str, Any]:
    found = state.state(row)
    return {
        "id": str(row.pk),
        "slug": row.slug,
        "name": row.name,
        "source": row.source,
        "description": row.description,
        "tags": row.tags,
        "environment": row.environment,
        "config": upgrading.config(row),
        "secrets": state.secrets_shown(row),
        "rotation": slots.shown(row),
        "secrets_expire_at": moment(row.secrets_expire_at),
        "probe": upgrading.probe(row) or None,
        "state": found,
        "paused": {"at": moment(row.paused_at), "reason": row.paused_reason} if row.paused_at else None,
        "version": row.version,
        "schema_version": upgrading.version(row),
        "status": {"ok": row.status_ok, "checked_at": moment(row.status_at)} if row.status_at else None,
        "warnings": [*state.broken(row, found), *state.warnings(row)],
        "managed_by": row.managed_by,
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
    }


def use(row: ConnectionUse | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {"count": row.uses, "last_used_at": moment(row.last_used_at), "last_used_by": row.last_used_by}


def revision(row: ConnectionRevision) -> dict[str, Any]:
    return {
        "version": row.version,
        "made_at": moment(row.made_at),
        "made_by": row.made_by or None,
        "schema_version": row.schema_version,
        "config": row.config,
    }


def member(row: Membership) -> dict[str, Any]:
    return {"id": str(row.pk), "user": row.user.get_username(), "email": row.user.email, "role": row.role}


def api_key(row: APIKey) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "name": row.name,
        "role": row.role,
        "prefix": f"ck_{row.prefix}",
        "connections": api_keys.reached(row),
        "expires_at": moment(row.expires_at),
        "last_used_at": moment(row.last_used_at),
    }
