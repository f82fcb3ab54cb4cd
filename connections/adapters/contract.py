"""The plain values that adapters take and give."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from connections.adapters.egress import EgressPolicy

Row = Sequence[Any]
"""One row of wire values, one for each column; ``connections.adapters.values`` says what those are."""


class Category(StrEnum):
    DATABASE = "database"
    WAREHOUSE = "warehouse"
    DOCUMENT = "document"
    FILES = "files"
    APPLICATION = "application"


class ColumnType(StrEnum):
    BOOLEAN = "boolean"
    INTEGER = "integer"
    FLOAT = "float"
    DECIMAL = "decimal"
    STRING = "string"
    DATE = "date"
    TIME = "time"
    TIMETZ = "timetz"
    TIMESTAMP = "timestamp"
    TIMESTAMPTZ = "timestamptz"
    INTERVAL = "interval"
    UUID = "uuid"
    BINARY = "binary"
    JSON = "json"
    ARRAY = "array"
    STRUCT = "struct"


class StepName(StrEnum):
    """The steps of a status check, in their order. One that does not apply is left out."""

    RESOLVE = "resolve"
    POLICY = "policy"
    TUNNEL = "tunnel"
    CONNECT = "connect"
    TLS = "tls"
    AUTHENTICATE = "authenticate"
    DATABASE = "database"
    PRIVILEGES = "privileges"
    SAMPLE = "sample"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``native_type`` is the source's own word. ``nullable`` is None where the source does not say.

    ``precision`` and ``scale`` are for decimals that have them. ``bounded`` says that a date or timestamp column
    cannot hold infinity, BC or years over 9999, so that binary formats may type it.
    """

    name: str
    type: ColumnType
    native_type: str | None = None
    nullable: bool | None = None
    comment: str | None = None
    precision: int | None = None
    scale: int | None = None
    bounded: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The four members that the REST contract shows."""
        return {"name": self.name, "type": self.type, "native_type": self.native_type, "nullable": self.nullable}


@dataclass(frozen=True, slots=True)
class Table:
    path: tuple[str, ...]
    kind: str
    comment: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return {"path": list(self.path), "name": self.path[-1], "kind": self.kind, "comment": self.comment}


@dataclass(frozen=True, slots=True)
class Description:
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {"columns": [column.as_dict() for column in self.columns], "primary_key": list(self.primary_key)}


@dataclass(frozen=True, slots=True)
class Server:
    product: str
    version: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Notice:
    """A warning that fails nothing: ``role_can_write``, ``tls_off``, ``zero_date``."""

    code: str
    message: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a status check. ``ok`` is None when it was not reached; ``ms`` is None when not measured."""

    name: StepName
    ok: bool | None = None
    ms: float | None = None
    detail: str | None = None
    code: str | None = None

    def as_dict(self) -> dict[str, Any]:
        shown = {"name": self.name, "ok": self.ok, "ms": self.ms, "detail": self.detail, "code": self.code}
        return {key: value for key, value in shown.items() if value is not None or key == "ok"}


@dataclass(slots=True)
class Result:
    """Rows on their way: ``columns`` are known at once, ``batches`` are fetched as they are asked for.

    ``batches`` yields lists of rows, in the source's order, after ``offset`` and at most ``limit + 1`` in all:
    the row over the limit is how ``has_more`` is known. ``notices`` may grow while batches are read.
    ``connect_ms`` and ``execute_ms`` tell where time went before the first batch.
    """

    columns: tuple[Column, ...]
    batches: Iterator[list[Row]]
    total: int | None = None
    notices: list[Notice] = field(default_factory=list)
    connect_ms: float = 0.0
    execute_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Driver:
    """The third-party package a source speaks through. ``module`` is what is imported, ``pip`` what is installed."""

    module: str
    pip: str

    @property
    def available(self) -> bool:
        try:
            return importlib.util.find_spec(self.module) is not None
        except (ImportError, ValueError):
            return False

    @property
    def install(self) -> str:
        return f"pip install '{self.pip}'"


@dataclass(frozen=True, slots=True)
class Environment:
    """What the deployment grants to an adapter of one organisation.

    ``root`` is the only folder whose files the adapter may read; ``scratch`` is a private folder of the worker
    (0700) for material that a driver wants as a file, such as certificates. ``allow_unsafe_roles`` lets previews run
    under a login that a read-only guard cannot contain (a superuser); it is the platform's word, not the customer's.
    """

    egress: EgressPolicy
    root: Path | None = None
    scratch: Path | None = None
    allow_unsafe_roles: bool = False
