"""What the SQL sources' subjects have in common: queries that mean the same everywhere, logins at a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import pytest

from connections.testing import SourceConformance
from connections.testing.subject import UNICODE_NAME, UNICODE_TEXT

QUOTED = '"' + UNICODE_NAME.replace('"', '""') + '"'


class Warehouse(Protocol):
    """A real server with the subject's tables."""

    def settings(self, **changes: Any) -> dict[str, Any]: ...

    def make_login(self, user: str, password: str) -> dict[str, Any]: ...


class SQLConformance(SourceConformance):
    orders = "orders"
    quoted = QUOTED
    parameter = ":value"

    @pytest.fixture
    def empty_query(self) -> dict[str, Any]:
        return {"sql": f"select id, item from {self.orders} where id < 0"}

    @pytest.fixture
    def duplicate_names_query(self) -> dict[str, Any]:
        return {"sql": "select 1 as a, 2 as a"}

    @pytest.fixture
    def unicode_query(self) -> dict[str, Any]:
        return {"sql": f"select '{UNICODE_TEXT}' as {self.quoted}"}

    @pytest.fixture
    def parameter_query(self) -> dict[str, Any]:
        return {"sql": f"select {self.parameter}"}


class ServerConformance(SQLConformance):
    steps = ("resolve", "policy", "connect", "authenticate", "database", "privileges", "sample")
    endpoint_fields = (
        *("host", "port", "tls.mode", "tls.ca"),
        *("tunnel.host", "tunnel.port", "tunnel.user", "tunnel.host_key", "tunnel.auth.kind"),
    )

    @pytest.fixture
    def settings(self, warehouse: Warehouse) -> dict[str, Any]:
        return warehouse.settings()

    @pytest.fixture
    def wrong_password(self, warehouse: Warehouse) -> dict[str, Any]:
        return warehouse.settings(password="C4n4ry-wrong")

    @pytest.fixture
    def missing_database(self, warehouse: Warehouse) -> dict[str, Any]:
        return warehouse.settings(database="no_such_database")

    @pytest.fixture
    def log_in_with_password(self, warehouse: Warehouse) -> Callable[[str], dict[str, Any]]:
        return lambda password: warehouse.make_login("special", password)

    @pytest.fixture
    def log_in_with_user(self, warehouse: Warehouse) -> Callable[[str], dict[str, Any]]:
        return lambda user: warehouse.make_login(user, "plain")
