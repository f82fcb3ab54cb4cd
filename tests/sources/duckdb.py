"""DuckDB files for tests, and adapters for them."""

from __future__ import annotations

from pathlib import Path

import duckdb

from connections.adapters.contract import Environment
from connections.adapters.egress import EgressPolicy
from connections.sources.duckdb import DuckDBAdapter, DuckDBConfig


def write(path: Path, *statements: str) -> None:
    """Run ``statements`` in the database at ``path``, made if it is not there."""
    with duckdb.connect(path) as database:
        for statement in statements:
            database.execute(statement)


def adapter_of(root: Path, path: str = "books.duckdb") -> DuckDBAdapter:
    return DuckDBAdapter(DuckDBConfig.model_validate({"path": path}), Environment(EgressPolicy(), root=root))
