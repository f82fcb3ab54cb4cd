"""A source's settings with one of every kind."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from connections.adapters.config import ADVANCED, Settings
from connections.adapters.network import NetworkConfig, Port


class Zone(StrEnum):
    EU = "eu"
    NORTH_AMERICA = "north-america"


class Basic(Settings):
    kind: Literal["basic"] = Field("basic", title="User and password")
    user: str = Field(title="User")
    password: SecretStr = Field(title="Password")


class KeyPair(Settings):
    kind: Literal["key_pair"] = "key_pair"
    user: str = Field(title="User")
    private_key: SecretStr | None = Field(None, title="Private key", json_schema_extra={"widget": "pem"})

    @field_validator("private_key")
    @classmethod
    def is_pem(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and "BEGIN" not in value.get_secret_value():
            raise ValueError("This is not a PEM key.")
        return value


class Nobody(Settings):
    kind: Literal["none"] = "none"


class Deepest(Settings):
    factor: float = Field(1.5, gt=0, lt=100)
    words: list[str] = Field(default_factory=list, max_length=3)


class Deep(Settings):
    deepest: Deepest = Field(default_factory=Deepest)
    auth: Annotated[Basic | Nobody, Field(discriminator="kind", default_factory=Nobody)]


class Page(Settings):
    name: str = Field(title="Page")
    size: int = Field(10, title="Size", ge=1)
    wrap: bool = Field(False, title="Wrap")


class ToyConfig(NetworkConfig):
    url_schemes = ("toy",)
    default_port = 4321

    port: Port = Field(4321, title="Port")
    database: str = Field(title="Database", description="Its <b>name</b>.", examples=["sales & co"], max_length=63)
    user: str | None = Field(None, title="User")
    password: SecretStr | None = Field(None, title="Password")
    auth: Annotated[Basic | KeyPair | Nobody, Field(title="Sign in with", discriminator="kind", default_factory=Nobody)]
    zone: Zone = Field(Zone.EU, title="Zone")
    mode: Literal["fast", "safe"] | None = None
    level: Literal[1, 2, 3] = 2
    delimiter: Literal[",", ";", "\t"] = ","
    quote: str = ""
    read_only: bool = True
    lazy: bool | None = None
    retries: int = Field(3, ge=0, le=9)
    headers: dict[str, str] = Field(default_factory=dict, title="Headers")
    ports: list[int] = Field(default_factory=list, title="Ports")
    pages: list[Page] = Field(default_factory=list, title="Pages")
    target: str | list[str] = Field("orders", title="Target")
    options: dict[str, str | int | list[int] | None] = Field(default_factory=dict, title="Options")
    anything: dict[str, Any] = Field(default_factory=dict, title="Anything")
    notes: str | None = Field(None, json_schema_extra={"widget": "textarea"})
    deep: Deep | None = Field(None, title="Deep settings")
    fetch_size: int = Field(100, ge=1, json_schema_extra={"section": ADVANCED, "endpoint": False})

    @model_validator(mode="after")
    def user_is_not_the_database(self) -> ToyConfig:
        if self.user is not None and self.user == self.database:
            raise ValueError("User and database must differ.")
        return self


MINIMAL = {"host": "db.example.com", "database": "sales"}
