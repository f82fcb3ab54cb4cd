"""Long values of real sources: null in a page and named, refused in an export, and their worker goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet

from connections.adapters.egress import EgressPolicy
from connections.adapters.errors import TooLargeError
from tests.runner.asking import Answer, Asker
from tests.servers.pausable import PausableServer

Ask = Callable[..., Answer]
CUT, REFUSED = "cut", "refused"
MANY = 1_500_000


def end_of(ask: Ask, **asked: Any) -> str:
    """How a read of one long value ends."""
    try:
        answer = ask(**asked)
    except TooLargeError:
        return REFUSED
    (cell,) = answer.fields["truncated"]["cells"]
    assert answer.rows == [[None]]
    assert cell["bytes"] > 2**20
    return CUT


@pytest.mark.parametrize(
    ("sql", "ends"),
    [
        ("select (select array_agg(i) from generate_series(1, 2000000) i)", {CUT}),
        ("select array_fill(1, array[1500000])", {CUT}),
        ("select array_fill('x'::text, array[1000, 1000])", {CUT}),
        ("select array_fill(repeat('x', 1000), array[100000])", {CUT, REFUSED}),
        ("select to_jsonb(repeat('x', 50000000))", {CUT}),
        ("select json_agg(i) from generate_series(1, 3000000) i", {CUT}),
        ("select row(array_fill(1, array[1500000]), 'x')", {CUT}),
    ],
)
def test_postgresql(postgresql: PausableServer, local: Asker, sql: str, ends: set[str]):
    local.settings = postgresql.login("reader") | {"tls": {"mode": "disable"}, "retry": {"attempts": 1}}
    asked: dict[str, Any] = {
        "source": "postgresql",
        "egress": EgressPolicy(loopback=True).as_dict(),
        "query": {"sql": sql},
    }
    assert end_of(local.ask, **asked) in ends
    with pytest.raises(TooLargeError):
        local.ask(**asked, format="ndjson")
    assert local.ask(**{**asked, "query": {"sql": "select array[1, 2]"}}).rows == [[[1, 2]]]


TABLES: dict[str, Callable[[], pa.Array]] = {
    "integers": lambda: pa.array([list(range(3_000_000))]),
    "texts in lists": lambda: pa.array([[["x"] * 1000] * 1000]),
    "struct": lambda: pa.array([{"a": list(range(MANY)), "b": 1}]),
    "map": lambda: pa.array([[(str(at), at) for at in range(300_000)]], pa.map_(pa.string(), pa.int64())),
    "one text": lambda: pa.ListArray.from_arrays(
        pa.array([0, MANY]), pa.DictionaryArray.from_arrays(pa.array([0] * MANY), pa.array(["x" * 1000]))
    ),
    "text": lambda: pa.array(["x" * 3_000_000]),
}


@pytest.mark.parametrize("made", TABLES)
def test_parquet(local: Asker, tmp_path: Path, made: str):
    parquet.write_table(pa.table({"a": TABLES[made]()}), tmp_path / "long.parquet")
    asked: dict[str, Any] = {"source": "local_files", "root": str(tmp_path), "query": {"table": ["long.parquet"]}}
    assert end_of(local.ask, **asked) == CUT
    with pytest.raises(TooLargeError):
        local.ask(**asked, format="ndjson")


@pytest.mark.parametrize("name", ["long.json", "long.jsonl"])
@pytest.mark.parametrize(("count", "ends"), [(200_000, {CUT}), (MANY, {REFUSED})])
def test_json(local: Asker, tmp_path: Path, name: str, count: int, ends: set[str]):
    text = json.dumps({"a": list(range(count))})
    (tmp_path / name).write_text(text if name.endswith("l") else f"[{text}]")
    asked: dict[str, Any] = {"source": "local_files", "root": str(tmp_path), "query": {"table": [name]}}
    assert end_of(local.ask, **asked) in ends


@pytest.mark.parametrize(
    ("sql", "ends"),
    [
        ("select range(2000000)", {CUT}),
        ("select {'a': range(1500000), 'b': 1}", {CUT}),
        ("select map(range(9000), list_transform(range(9000), lambda x: repeat('x', 200)))", {CUT}),
        ("select list_transform(range(300000), lambda x: [x])", {CUT}),
        ("select repeat('x', 50000000)", {CUT, REFUSED}),
    ],
)
def test_duckdb(local: Asker, tmp_path: Path, sql: str, ends: set[str]):
    local.settings = {"path": "long.duckdb"}
    duckdb.connect(str(tmp_path / "long.duckdb")).close()
    asked: dict[str, Any] = {"source": "duckdb", "root": str(tmp_path), "query": {"sql": sql}}
    assert end_of(local.ask, **asked) in ends
    with pytest.raises(TooLargeError):
        local.ask(**asked, format="ndjson")
