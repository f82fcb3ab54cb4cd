"""SQLite: files that Python's own driver wrote."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from connections.testing.subject import ROWS, UNICODE_NAME
from tests.conformance.sql import QUOTED, SQLConformance


class TestSQLite(SQLConformance):
    source = "sqlite"
    steps = ("connect", "sample")
    endpoint_fields = ("path",)
    not_applicable = {
        "driver": "the driver is part of Python",
        "network": "it is a file",
        "wrong_password": "a file has no login",
        "forbidden_query": "a file has no permissions inside",
        "special_password": "a file has no login",
        "special_user": "a file has no login",
        "session": "what could change a session is refused",
        "running": "there is no server",
    }

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        folder = tmp_path / "organisation"
        folder.mkdir()
        with closing(sqlite3.connect(folder / "shop.sqlite3")) as database, database:
            database.execute("create table orders (id integer primary key, item text)")
            database.executemany("insert into orders values (?, ?)", [(n, f"item {n}") for n in range(1, ROWS + 1)])
            database.execute(f"create table {QUOTED} (id integer)")
        return folder

    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"path": "shop.sqlite3"}

    @pytest.fixture
    def missing_database(self) -> dict[str, Any]:
        return {"path": "no-such-file.sqlite3"}

    @pytest.fixture
    def ordered_query(self) -> dict[str, Any]:
        return {"sql": "select id, item from orders order by id"}

    @pytest.fixture
    def bad_query(self) -> dict[str, Any]:
        return {"sql": "select id form orders"}

    @pytest.fixture
    def writing_query(self) -> dict[str, Any]:
        return {"sql": "delete from orders"}

    @pytest.fixture
    def slow_query(self) -> dict[str, Any]:
        numbers = "with recursive n(i) as (select 1 union all select i + 1 from n)"
        return {"sql": f"{numbers} select max(i) from n"}

    @pytest.fixture
    def endless_query(self) -> dict[str, Any]:
        return {"sql": "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n"}

    @pytest.fixture
    def nulls_query(self) -> dict[str, Any]:
        return {"sql": "select null, item, id from (select null as item, null as id) union all select 1, 'x', 2"}

    @pytest.fixture
    def table_path(self) -> list[str]:
        return ["orders"]

    @pytest.fixture
    def unicode_table(self) -> list[str]:
        return [UNICODE_NAME]
