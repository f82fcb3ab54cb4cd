"""Local files: CSV here; each format has tests of its own beside its reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from connections.testing import SourceConformance
from connections.testing.subject import ROWS, UNICODE_NAME, UNICODE_TEXT


class TestLocalFiles(SourceConformance):
    source = "local_files"
    steps = ("database", "sample")
    endpoint_fields = ("folder",)
    not_applicable = {
        "docs_url": "files have no vendor",
        "driver": "CSV and JSON are read without one; Parquet and Excel name theirs when they are read",
        "network": "it is a folder",
        "wrong_password": "a folder has no login",
        "forbidden_query": "a file is in the organisation's folder or it is not there",
        "writing_query": "a query names a file and cannot say more",
        "slow_query": "a file is read piece by piece, and nothing in it can wait",
        "endless_query": "a file ends",
        "parameters": "a query names a file; there is nothing to bind",
        "special_password": "a folder has no login",
        "special_user": "a folder has no login",
        "session": "there is no session",
        "running": "there is no server",
    }

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        folder = tmp_path / "organisation" / "shop"
        folder.mkdir(parents=True)
        rows = "".join(f"{number},item {number}\n" for number in range(1, ROWS + 1))
        contents = {
            "orders.csv": f"id,item\n{rows}",
            "empty.csv": "id,item\n",
            "twins.csv": "a,a\n1,2\n",
            "unicode.json": json.dumps([{UNICODE_NAME: UNICODE_TEXT}]),
            f"{UNICODE_NAME}.csv": "id\n1\n",
            "nulls.jsonl": '{"a": null, "b": null, "c": null, "d": null}\n{"a": 1, "b": "x", "c": 1.5, "d": true}\n',
            "broken.json": '[{"id": 1}',
        }
        for name, text in contents.items():
            (folder / name).write_text(text)
        return folder.parent

    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"folder": "shop"}

    @pytest.fixture
    def missing_database(self) -> dict[str, Any]:
        return {"folder": "no-such-folder"}

    @pytest.fixture
    def ordered_query(self) -> dict[str, Any]:
        return {"table": ["orders.csv"]}

    @pytest.fixture
    def bad_query(self) -> dict[str, Any]:
        return {"table": ["broken.json"]}

    @pytest.fixture
    def nulls_query(self) -> dict[str, Any]:
        return {"table": ["nulls.jsonl"]}

    @pytest.fixture
    def empty_query(self) -> dict[str, Any]:
        return {"table": ["empty.csv"]}

    @pytest.fixture
    def duplicate_names_query(self) -> dict[str, Any]:
        return {"table": ["twins.csv"]}

    @pytest.fixture
    def unicode_query(self) -> dict[str, Any]:
        return {"table": ["unicode.json"]}

    @pytest.fixture
    def table_path(self) -> list[str]:
        return ["orders.csv"]

    @pytest.fixture
    def unicode_table(self) -> list[str]:
        return [f"{UNICODE_NAME}.csv"]
