"""Values that no encoder could take are cut or refused, whatever they are made of, and the worker goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from connections.adapters.contract import Column, ColumnType
from connections.adapters.errors import TooLargeError
from connections.adapters.limits import Budget
from connections.adapters.values import BigInt, JSONText
from connections.runner.cutting import Cutter
from connections.runner.encoding.encoder import mend, to_json
from connections.runner.encoding.formats import encoder_for
from connections.runner.encoding.weighing import load, load_together, weight
from tests.runner.asking import Asker

MILLIONS = 3_000_000
LENGTHS: dict[str, Callable[[int], int]] = {
    "integers": lambda n: len(json.dumps(list(range(n)), separators=(",", ":"))),
    "nulls": lambda n: 5 * n + 1,
    "members": lambda n: len(json.dumps({str(at): at for at in range(n)}, separators=(",", ":"))),
    "one text": lambda n: 1003 * n + 1,
    "signs": lambda n: n,
    "document": lambda n: 2 * n + 3,
}
SHAPES = ["integers", "nulls", "members", "within", "undeclared", "lists", "one text", "digits", "binary", "signs"]
EXPORTS = ["csv", "ndjson", "arrow", "parquet"]


def long(shape: str) -> int:
    """How many others it holds: as many as fit into a worker, and are far too long when written."""
    return {"members": 700_000, "lists": 700_000, "one text": 700_000}.get(shape, MILLIONS)


@pytest.mark.parametrize("shape", [*SHAPES, "document"])
def test_a_page_has_null_for_a_value_that_holds_millions_of_others(local: Asker, shape: str):
    answer = local.do("nested", text=shape, n=long(shape), batch=0)
    assert [row[0] for row in answer.rows] == [0, 1, 2]
    assert [row[1] is None for row in answer.rows] == [False, True, False]
    (cell,) = answer.fields["truncated"]["cells"]
    assert {**cell, "bytes": 0} == {"row": 1, "column": 1, "name": "held", "bytes": 0}
    assert cell["bytes"] == LENGTHS.get(shape, lambda n: cell["bytes"])(long(shape)) > 2**20


@pytest.mark.parametrize("form", EXPORTS)
@pytest.mark.parametrize("shape", ["integers", "members", "one text"])
def test_an_export_is_refused_for_a_value_that_holds_millions_of_others(local: Asker, shape: str, form: str):
    with pytest.raises(TooLargeError, match="column held in row 2"):
        local.do("nested", text=shape, n=long(shape), batch=0, format=form)


@pytest.mark.parametrize("form", ["json", "ndjson", "csv", "arrow"])
@pytest.mark.parametrize("shape", ["integers", "members", "signs"])
def test_no_worker_dies_however_little_memory_is_left_for_a_value_that_may_be_shown(
    local: Asker, shape: str, form: str
):
    ends = set()
    for held in range(32, 480, 64):
        try:
            local.do("nested", text=shape, n=200_000, batch=held, format=form, cut=True)
            ends.add("shown")
        except TooLargeError:
            ends.add("too large")
    assert ends == {"shown", "too large"}


VALUES: list[Any] = [
    [],
    {},
    [[]],
    [1, 2.5, None, True],
    ["é\x01𝄞"],
    {"a": [1, {"b": None}], "é\n": "x" * 70_000},
    [BigInt(10**400), JSONText('{"a": 1.10}'), b"\x00\xff", "lone \ud800 half"],
    list(range(1000)),
    [float("nan"), 2**90],
    ("a", ("b",)),
    ["\x01" * 200_000 + "𝄞" * 70_000],
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_what_is_told_of_a_value_without_writing_it_is_true_of_what_is_written(value: Any):
    written = len(to_json(mend(value)))
    assert weight(value) == written
    found = load((value,), 2**30)
    assert found is not None
    assert found.least <= written <= found.most
    together = load_together([(value,), (None,)], 2**30)
    assert together is None or (together.least, together.room) == (found.least, found.room)


def test_values_nested_without_end_are_counted_without_recursion():
    value: Any = []
    for _ in range(100_000):
        value = [value]
    assert weight(value) == 200_002
    assert load((value,), 2**30) is not None
    assert load((value,), 1000) is None


def test_rows_of_nested_values_are_encoded_together_up_to_the_bytes_of_a_cell():
    columns = [Column("a", ColumnType.ARRAY)]
    encoder = encoder_for("json", columns, {})
    cutter = Cutter(encoder, columns, Budget(cell_bytes=1000), cut=True)
    rows = [([at] * 100,) for at in range(10)]
    assert json.loads(b"[" + b"".join(cutter.take(rows)) + b"]") == [list(row) for row in rows]


def test_ordinary_rows_are_weighed_in_a_moment():
    rows = [(1, "ab", None, 1.5, [1, 2, 3], "2024-01-01T00:00:00")] * 1000
    started = time.perf_counter()
    assert load_together(rows, 2**20) is not None
    assert time.perf_counter() - started < 0.05
