"""The settings of a MySQL or MariaDB connection."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from connections.adapters.config import ADVANCED
from connections.adapters.network import NetworkConfig, Port
from connections.adapters.sql.settings import Name, Password


class MySQLConfig(NetworkConfig):
    default_port: ClassVar[int] = 3306
    url_schemes: ClassVar[tuple[str, ...]] = ("mysql", "mariadb")

    port: Port = Field(3306, title="Port")
    database: Name = Field(title="Database", examples=["sales"], json_schema_extra={"endpoint": False})
    user: Name = Field(title="User", examples=["reader"], json_schema_extra={"endpoint": False})
    password: Password | None = Field(None, title="Password")
    charset: Literal["utf8mb4", "utf8mb3"] = Field(
        "utf8mb4",
        title="Character set",
        description="utf8mb3 is for servers older than MySQL 5.5; it has no emoji.",
        json_schema_extra={"endpoint": False, "section": ADVANCED},
    )
