"""DuckDB: files that DuckDB wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from connections.testing.subject import ROWS, UNICODE_NAME
from tests.conformance.sql import QUOTED, SQLConformance

NULLS = (
    "boolean tinyint smallint integer bigint hugeint utinyint ubigint uhugeint float double decimal(38,10) varchar "
    "blob date time timetz timestamp timestamptz timestamp_ns interval uuid json bit integer[] integer[3]"
)
NESTED = ("struct(a integer)", "map(varchar, integer)", "union(a integer, b varchar)", "enum('a', 'b')")


class TestDuckDB(SQLConformance):
    source = "duckdb"
    steps = ("connect", "sample")
    endpoint_fields = ("path",)
    parameter = ":value::varchar"
    not_applicable = {
        "network": "it is a file",
        "wrong_password": "a file has no login",
        "special_password": "a file has no login",
        "special_user": "a file has no login",
        "session": "what could change a session is refused",
        "running": "there is no server",
    }

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        folder = tmp_path / "organisation"
        folder.mkdir()
        with duckdb.connect(str(folder / "shop.duckdb")) as database:
            database.execute("create table orders (id integer primary key, item text)")
            database.execute(f"insert into orders select n, 'item ' || n from range(1, {ROWS + 1}) t(n)")
            database.execute(f"create table {QUOTED} (id integer)")
        return folder

    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"path": "shop.duckdb"}

    @pytest.fixture
    def missing_database(self) -> dict[str, Any]:
        return {"path": "no-such-file.duckdb"}

    @pytest.fixture
    def ordered_query(self) -> dict[str, Any]:
        return {"sql": "select id, item from orders order by id"}

    @pytest.fixture
    def bad_query(self) -> dict[str, Any]:
        return {"sql": "select id form orders order by"}

    @pytest.fixture
    def forbidden_query(self) -> dict[str, Any]:
        return {"sql": "select * from read_text('/etc/hostname')"}

    @pytest.fixture
    def writing_query(self) -> dict[str, Any]:
        return {"sql": "delete from orders"}

    @pytest.fixture
    def slow_query(self) -> dict[str, Any]:
        return {"sql": "select sum(a.range * b.range) from range(10000000) a, range(10000000) b"}

    @pytest.fixture
    def endless_query(self) -> dict[str, Any]:
        return {"sql": "select range from range(1000000000000)"}

    @pytest.fixture
    def nulls_query(self) -> dict[str, Any]:
        return {"sql": "select " + ", ".join(f"null::{kind}" for kind in (*NULLS.split(), *NESTED))}

    @pytest.fixture
    def table_path(self) -> list[str]:
        return ["main", "orders"]

    @pytest.fixture
    def unicode_table(self) -> list[str]:
        return ["main", UNICODE_NAME]
