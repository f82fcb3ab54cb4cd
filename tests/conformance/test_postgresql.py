"""PostgreSQL, the real one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg import sql

from connections.testing.subject import ROWS, UNICODE_NAME
from tests.conformance.sql import QUOTED, ServerConformance
from tests.servers.pausable import PausableServer

NULLS = (
    "bool int2 int4 int8 float4 float8 numeric(10,2) numeric text varchar(5) char(5) bytea date time timetz timestamp "
    "timestamptz interval uuid json jsonb int4[] text[] inet cidr macaddr point int4range xml bit(3) money oid tsvector"
)


@dataclass
class Warehouse:
    """The server, with the schema ``shop`` that its reader may read, and ``closed`` that it may not."""

    server: PausableServer

    def run(self, *statements: sql.Composable | str) -> list[Any]:
        """Run statements as the superuser; the rows of the last one."""
        login = self.server.login("superuser")
        with psycopg.connect(
            host=login["host"],
            port=login["port"],
            dbname=login["database"],
            user=login["user"],
            password=login["password"],
            autocommit=True,
        ) as connection:
            for statement in statements:
                cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def settings(self, **changed: Any) -> dict[str, Any]:
        return {**self.server.login(), "tls": {"mode": "disable"}, **changed}

    def make_login(self, user: str, password: str) -> dict[str, Any]:
        """Settings of a new reader."""
        name = sql.Identifier(user)
        self.run(
            sql.SQL("drop role if exists {}").format(name),
            sql.SQL("create role {} login password {}").format(name, sql.Literal(password)),
        )
        return self.settings(user=user, password=password)


@pytest.fixture(scope="module")
def warehouse(postgresql: PausableServer) -> Warehouse:
    made = Warehouse(postgresql)
    made.run(
        "drop schema if exists shop, closed cascade",
        "create schema shop",
        "create table shop.orders (id int primary key, item text)",
        f"insert into shop.orders select n, 'item ' || n from generate_series(1, {ROWS}) n",
        f"create table shop.{QUOTED} (id int)",
        "create schema closed",
        "create table closed.salaries (id int)",
        sql.SQL("grant usage on schema shop, closed to {}").format(sql.Identifier(postgresql.reader)),
        sql.SQL("grant select on all tables in schema shop to {}").format(sql.Identifier(postgresql.reader)),
    )
    return made


class TestPostgreSQL(ServerConformance):
    source = "postgresql"
    orders = "shop.orders"
    parameter = ":value::text"

    @pytest.fixture
    def running(self, warehouse: Warehouse) -> Callable[[], int]:
        count = "select count(*) from pg_stat_activity where usename = 'reader' and wait_event = 'PgSleep'"
        count = count.replace("reader", warehouse.server.reader)
        return lambda: int(warehouse.run(count)[0][0])

    @pytest.fixture
    def ordered_query(self) -> dict[str, Any]:
        return {"sql": "select id, item from shop.orders order by id"}

    @pytest.fixture
    def bad_query(self) -> dict[str, Any]:
        return {"sql": "select id form shop.orders"}

    @pytest.fixture
    def forbidden_query(self) -> dict[str, Any]:
        return {"sql": "select id from closed.salaries"}

    @pytest.fixture
    def writing_query(self) -> dict[str, Any]:
        return {"sql": "create table shop.mine (id int)"}

    @pytest.fixture
    def slow_query(self) -> dict[str, Any]:
        return {"sql": "select pg_sleep(120)"}

    @pytest.fixture
    def endless_query(self) -> dict[str, Any]:
        return {"sql": "select generate_series(1, 1000000000000)"}

    @pytest.fixture
    def nulls_query(self) -> dict[str, Any]:
        return {"sql": "select " + ", ".join(f"null::{kind}" for kind in NULLS.split())}

    @pytest.fixture
    def session_queries(self) -> tuple[dict[str, Any], dict[str, Any]]:
        change = {"sql": "select set_config('shop.mark', 'canary', false)"}
        return change, {"sql": "select coalesce(current_setting('shop.mark', true), '')"}

    @pytest.fixture
    def table_path(self) -> list[str]:
        return ["shop", "orders"]

    @pytest.fixture
    def unicode_table(self) -> list[str]:
        return ["shop", UNICODE_NAME]
