"""The settings of a PostgreSQL connection."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from connections.adapters.network import NetworkConfig, Port
from connections.adapters.sql.settings import Name, Password


class PostgreSQLConfig(NetworkConfig):
    default_port: ClassVar[int] = 5432
    url_schemes: ClassVar[tuple[str, ...]] = ("postgresql", "postgres")

    port: Port = Field(5432, title="Port")
    database: Name = Field(title="Database", examples=["sales"], json_schema_extra={"endpoint": False})
    user: Name = Field(title="User", examples=["reader"], json_schema_extra={"endpoint": False})
    password: Password | None = Field(None, title="Password")
