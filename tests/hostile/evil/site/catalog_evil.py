"""Sources whose queries are attacks on the process they run in, on its parent and on its neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import evil_deeds
import evil_dialling
from pydantic import SecretStr

from connections.adapters.base import Adapter, Check
from connections.adapters.config import Config, Query
from connections.adapters.contract import Category, Column, ColumnType, Result, Row
from connections.adapters.errors import AdapterError
from connections.adapters.limits import Deadline

DEEDS = {f"dialling.{name}": deed for name, deed in vars(evil_dialling).items()} | vars(evil_deeds)


class EvilConfig(Config):
    password: SecretStr | None = None


class EvilQuery(Query):
    do: str
    given: dict[str, Any] = {}


class LocalEvil(Adapter[EvilConfig, EvilQuery]):
    """What it found, as rows: first the process's id, then one for each thing that was tried."""

    id = "evil_local"
    label = "Evil"
    category = Category.DATABASE
    config_class = EvilConfig
    query_class = EvilQuery
    needs_network = False

    def connect(self, deadline: Deadline) -> None:
        pass

    def checks(self) -> list[Check]:
        return []

    def rows(
        self, query: EvilQuery, parameters: dict[str, Any], *, limit: int, offset: int, count: bool, deadline: Deadline
    ) -> Result:
        columns = (Column("tried", ColumnType.STRING), Column("got", ColumnType.STRING))
        return Result(columns, self._deed(query))

    def translate(self, exc: Exception) -> AdapterError | None:
        return None

    def reset(self) -> bool:
        return True

    def _deed(self, query: EvilQuery) -> Iterator[list[Row]]:
        yield [("pid", str(evil_deeds.os.getpid()))]
        password = self.config.password.get_secret_value() if self.config.password else ""
        for tried, got in DEEDS[query.do]({**query.given, "password": password}):
            yield [(tried, got)]


class NetworkEvil(LocalEvil):
    id = "evil_network"
    needs_network = True


local = LocalEvil
network = NetworkEvil
