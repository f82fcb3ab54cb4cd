"""A folder of real files, read through the source that users read it through."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connections.adapters.contract import Column, Environment
from connections.adapters.egress import EgressPolicy
from connections.adapters.files.query import FilesQuery
from connections.adapters.limits import Deadline
from connections.sources.local_files import LocalFilesAdapter, LocalFilesConfig


class Answer:
    """What a read gave: columns, all rows, and the total if it was asked for."""

    def __init__(self, columns: tuple[Column, ...], rows: list[tuple[Any, ...]], total: int | None) -> None:
        self.columns = columns
        self.rows = rows
        self.total = total

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def types(self) -> list[str]:
        return [str(column.type) for column in self.columns]


class Folder:
    """A folder under an organisation's root."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.adapter = LocalFilesAdapter(
            LocalFilesConfig.model_validate({}), Environment(egress=EgressPolicy(), root=path)
        )

    def write(self, name: str, content: str | bytes) -> str:
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return name

    def read(
        self, name: str | None = None, *, limit: int = 10_000, offset: int = 0, count: bool = False, **query: Any
    ) -> Answer:
        if name is not None:
            query["table"] = [name]
        asked = FilesQuery.model_validate(query)
        result = self.adapter.read(asked, {}, limit=limit, offset=offset, count=count, deadline=Deadline.after(30))
        return Answer(result.columns, [tuple(row) for batch in result.batches for row in batch], result.total)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path)
    yield made
    made.adapter.close()
