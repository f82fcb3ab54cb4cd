"""MySQL's protocol, spoken by a real MariaDB."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pymysql
import pytest

from connections.testing.subject import ROWS, UNICODE_NAME
from tests.conformance.sql import ServerConformance
from tests.servers.pausable import PausableServer

QUOTED = "`" + UNICODE_NAME.replace("`", "``") + "`"
NULLS = (
    "boolean tinyint smallint int bigint float double decimal(10,2) char(5) varchar(5) text binary(3) varbinary(3) "
    "blob date time datetime(6) timestamp(6) year json bit(3) enum('a') set('a') geometry uuid inet6"
)


@dataclass
class Warehouse:
    """The server: its reader may read ``warehouse`` and not ``closed``."""

    server: PausableServer

    def run(self, *statements: str, values: tuple[str, ...] = ()) -> Any:
        """Run statements as the superuser; the rows of the last one."""
        with (
            pymysql.connect(**self.server.login("superuser"), autocommit=True, charset="utf8mb4") as connection,
            connection.cursor() as cursor,
        ):
            for statement in statements:
                cursor.execute(statement, values or None)
            return cursor.fetchall()

    def settings(self, **changed: Any) -> dict[str, Any]:
        return {**self.server.login(), "tls": {"mode": "disable"}, **changed}

    def make_login(self, user: str, password: str) -> dict[str, Any]:
        """Settings of a new reader."""
        self.run("drop user if exists %s@'%%'", values=(user,))
        self.run("create user %s@'%%' identified by %s", values=(user, password))
        self.run(f"grant select on {self.server.database}.* to %s@'%%'", values=(user,))
        return self.settings(user=user, password=password)


@pytest.fixture(scope="module")
def warehouse(mariadb: PausableServer) -> Warehouse:
    made = Warehouse(mariadb)
    nulls = ", ".join(f"c{at} {kind} null" for at, kind in enumerate(NULLS.split()))
    made.run(
        f"drop table if exists orders, nulls, {QUOTED}",
        "create table orders (id int primary key, item text)",
        f"insert into orders select seq, concat('item ', seq) from seq_1_to_{ROWS}",
        f"create table {QUOTED} (id int)",
        f"create table nulls ({nulls})",
        "insert into nulls () values ()",
        "create database if not exists closed",
        "create table if not exists closed.salaries (id int)",
    )
    return made


class TestMySQL(ServerConformance):
    source = "mysql"
    quoted = QUOTED

    @pytest.fixture
    def running(self, warehouse: Warehouse) -> Callable[[], int]:
        count = "select count(*) from information_schema.processlist where user = %s and state = 'User sleep'"
        return lambda: int(warehouse.run(count, values=(warehouse.server.reader,))[0][0])

    @pytest.fixture
    def ordered_query(self) -> dict[str, Any]:
        return {"sql": "select id, item from orders order by id"}

    @pytest.fixture
    def bad_query(self) -> dict[str, Any]:
        return {"sql": "select id form orders order by"}

    @pytest.fixture
    def forbidden_query(self) -> dict[str, Any]:
        return {"sql": "select id from closed.salaries"}

    @pytest.fixture
    def writing_query(self) -> dict[str, Any]:
        return {"sql": "delete from orders"}

    @pytest.fixture
    def slow_query(self) -> dict[str, Any]:
        return {"sql": "select sleep(120)"}

    @pytest.fixture
    def endless_query(self) -> dict[str, Any]:
        return {"sql": "select seq from seq_1_to_1000000000000"}

    @pytest.fixture
    def nulls_query(self) -> dict[str, Any]:
        return {"sql": "select * from nulls"}

    @pytest.fixture
    def session_queries(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"sql": "select get_lock('shop', 0)"}, {"sql": "select is_used_lock('shop') is null"}

    @pytest.fixture
    def table_path(self, warehouse: Warehouse) -> list[str]:
        return [warehouse.server.database, "orders"]

    @pytest.fixture
    def unicode_table(self, warehouse: Warehouse) -> list[str]:
        return [warehouse.server.database, UNICODE_NAME]
