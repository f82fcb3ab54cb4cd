"""Adapters for the tests' PostgreSQL servers."""

from __future__ import annotations

from typing import Any

from connections.adapters.contract import Environment
from connections.adapters.egress import EgressPolicy
from connections.sources.postgresql import PostgreSQLAdapter, PostgreSQLConfig
from tests.servers.pausable import PausableServer

LOOPBACK = EgressPolicy(loopback=True)


def adapter_of(
    server: PausableServer, role: str = "reader", *, allow_unsafe_roles: bool = False, **changes: Any
) -> PostgreSQLAdapter:
    """An adapter that logs in as ``role`` (reader, superuser), with ``changes`` to its settings."""
    settings = server.login(role) | {"tls": {"mode": "disable"}, "retry": {"attempts": 1}} | changes
    return PostgreSQLAdapter(PostgreSQLConfig(**settings), Environment(LOOPBACK, allow_unsafe_roles=allow_unsafe_roles))
