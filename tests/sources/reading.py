"""What tests of SQL sources read with: an adapter's whole answer in one call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from connections.adapters.base import Adapter
from connections.adapters.contract import Column
from connections.adapters.limits import Deadline
from connections.adapters.sql.query import SQLQuery


@dataclass(frozen=True)
class Answer:
    columns: tuple[Column, ...]
    rows: list[list[Any]]
    total: int | None

    @property
    def value(self) -> Any:
        """The first cell of the first row."""
        return self.rows[0][0]

    @property
    def types(self) -> list[str]:
        return [str(column.type) for column in self.columns]

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]


def read(
    adapter: Adapter[Any, Any],
    query: str | list[str],
    parameters: dict[str, Any] | None = None,
    *,
    limit: int = 100,
    offset: int = 0,
    count: bool = False,
    seconds: float = 20,
) -> Answer:
    """Preview a text or a table; rows hold one more than ``limit`` where there are more."""
    asked = SQLQuery(sql=query) if isinstance(query, str) else SQLQuery(table=tuple(query))
    result = adapter.read(
        asked, parameters or {}, limit=limit, offset=offset, count=count, deadline=Deadline.after(seconds)
    )
    rows = [list(row) for batch in result.batches for row in batch]
    return Answer(result.columns, rows, result.total)
