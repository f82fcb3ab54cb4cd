"""Adapters for the tests' MariaDB server, and the owner's own connection to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymysql

from connections.adapters.contract import Environment
from connections.adapters.egress import EgressPolicy
from connections.sources.mysql import MySQLAdapter, MySQLConfig
from tests.servers.pausable import PausableServer

LOOPBACK = EgressPolicy(loopback=True)


def adapter_of(
    server: PausableServer, role: str = "reader", *, allow_unsafe_roles: bool = False, **changes: Any
) -> MySQLAdapter:
    """An adapter that logs in as ``role`` (reader, superuser), with ``changes`` to its settings."""
    settings = server.login(role) | {"tls": {"mode": "disable"}, "retry": {"attempts": 1}} | changes
    return MySQLAdapter(MySQLConfig(**settings), Environment(LOOPBACK, allow_unsafe_roles=allow_unsafe_roles))


@contextmanager
def owner(server: PausableServer) -> Iterator[pymysql.cursors.Cursor]:
    """A cursor of the superuser, without strictness, so that zero dates can be stored."""
    login = server.login("superuser")
    with pymysql.connect(**login, autocommit=True, sql_mode="") as connection, connection.cursor() as cursor:
        cursor.execute("set lock_wait_timeout = 5")  # seconds; a table that a preview reads cannot be dropped
        yield cursor
