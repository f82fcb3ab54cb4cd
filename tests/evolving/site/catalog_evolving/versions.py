"""The three versions of one source: its settings, and the way from each to the next."""

from __future__ import annotations

import os
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SecretStr

from connections.adapters.base import Adapter, Check
from connections.adapters.config import Config, Query, Settings
from connections.adapters.contract import Category, Column, ColumnType, Result, StepName
from connections.adapters.errors import AdapterError
from connections.adapters.limits import Deadline
from connections.adapters.upgrades import Upgrade

ASIDE: dict[str, Any] = {"endpoint": False}


class First(Config):
    host: str = Field(title="Host")
    port: int = Field(80, title="Port", ge=1, le=65535)
    user: str = Field("", title="User", json_schema_extra=ASIDE)
    token: SecretStr | None = Field(None, title="Token")


class FirstQuery(Query):
    path: str


class Second(Config):
    """Host and port became one address."""

    schema_version: ClassVar[int] = 2
    base_url: str = Field(title="Base URL")
    user: str = Field("", title="User", json_schema_extra=ASIDE)
    token: SecretStr | None = Field(None, title="Token")


class Open(Settings):
    kind: Literal["open"] = "open"


class Bearer(Settings):
    kind: Literal["bearer"] = "bearer"
    token: SecretStr


class Third(Config):
    """The token became one of two ways to sign in, and the user has another name."""

    schema_version: ClassVar[int] = 3
    base_url: str = Field(title="Base URL")
    login: str = Field("", title="Login", max_length=20, json_schema_extra=ASIDE)
    auth: Annotated[Open | Bearer, Field(discriminator="kind", default_factory=Open, title="Sign in with")]


class ThirdQuery(Query):
    paths: list[str]


def with_address(config: dict[str, Any]) -> dict[str, Any]:
    config["base_url"] = f"https://{config.pop('host')}:{config.pop('port', 80)}/"
    return config


def with_login(config: dict[str, Any]) -> dict[str, Any]:
    config["login"] = config.pop("user", "")
    return {**config, "auth": {"kind": "bearer"}}


def with_paths(query: dict[str, Any]) -> dict[str, Any]:
    return {"paths": [query["path"]]} if "path" in query else query


class FirstAdapter(Adapter[Any, Any]):
    """Tells what it was configured with."""

    id = "evolving"
    label = "Evolving"
    category = Category.APPLICATION
    config_class: ClassVar[type[Config]] = First
    query_class: ClassVar[type[Query]] = FirstQuery
    needs_network = False
    tested_against = "real: itself"

    def connect(self, deadline: Deadline) -> None:
        pass

    def checks(self) -> list[Check]:
        return [Check(StepName.AUTHENTICATE, lambda deadline: None)]

    def rows(
        self, query: Any, parameters: dict[str, Any], *, limit: int, offset: int, count: bool, deadline: Deadline
    ) -> Result:
        return Result((Column("settings", ColumnType.STRING),), iter([[[self.config.model_dump_json()]]]))

    def translate(self, exc: Exception) -> AdapterError | None:
        return None


class SecondAdapter(FirstAdapter):
    config_class = Second
    upgrades: ClassVar = {1: Upgrade(config=with_address)}


class ThirdAdapter(FirstAdapter):
    config_class = Third
    query_class = ThirdQuery
    upgrades: ClassVar = {
        1: Upgrade(config=with_address),
        2: Upgrade(config=with_login, secrets={"token": "auth.token"}, query=with_paths),
    }


VERSIONS = {1: FirstAdapter, 2: SecondAdapter, 3: ThirdAdapter}
adapter = VERSIONS[int(os.environ.get("EVOLVING_VERSION", "3"))]
