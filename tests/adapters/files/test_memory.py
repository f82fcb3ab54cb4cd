"""A hundred rows take the same memory whatever file they come from, measured in a process of their own."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import zlib

import openpyxl
import pyarrow
import pyarrow.parquet
import pytest

READ = """
import json, pathlib, resource, sys
from connections.adapters.contract import Environment
from connections.adapters.egress import EgressPolicy
from connections.adapters.errors import AdapterError
from connections.adapters.files.query import FilesQuery
from connections.adapters.limits import Deadline
from connections.sources.local_files import LocalFilesAdapter, LocalFilesConfig

status = pathlib.Path("/proc/self/status")

def peak():
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
    # Of this program alone: ru_maxrss begins with what the process was before, the tests with their bombs.
    return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024

def read(name, **asked):
    environment = Environment(egress=EgressPolicy(), root=pathlib.Path(sys.argv[1]))
    adapter = LocalFilesAdapter(LocalFilesConfig(), environment)
    query, deadline = FilesQuery(table=[name]), Deadline.after(4)
    try:
        result = adapter.read(query, {}, limit=100, offset=0, count=False, deadline=deadline)
        return sum(len(batch) for batch in result.batches)
    except AdapterError as error:
        return error.code

read(sys.argv[2])
before = peak()
outcome = read(sys.argv[3])
print(json.dumps({"outcome": outcome, "grown": peak() - before}))
"""

ROWS = b"id,name,amount\n" + b"".join(b"%d,somebody,%d.25\n" % (n, n) for n in range(20_000))
MEGABYTE = 1024 * 1024


def measure(folder, small, big):
    """What reading ``big`` came to, and by how much it raised the peak that reading ``small`` had reached."""
    done = subprocess.run(
        [sys.executable, "-c", READ, str(folder.path), small, big],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.fixture
def small(folder):
    """One small file of each kind: reading it loads the reader."""
    folder.write("small.csv", ROWS[:1000] + b"\n")
    folder.write("small.csv.gz", gzip.compress(ROWS[:1000] + b"\n"))
    folder.write("small.jsonl", b'{"a": 1}\n')
    folder.write("small.json", b'[{"a": 1}]')
    pyarrow.parquet.write_table(pyarrow.table({"a": ["x"] * 1000}), folder.path / "small.parquet")
    book = openpyxl.Workbook()
    book.active.append(["a"])
    book.active.append([1])
    book.save(folder.path / "small.xlsx")
    return folder


def pack(path, pieces):
    """Write gzip from pieces, so that making a bomb takes no memory either."""
    packer = zlib.compressobj(9, wbits=31)
    with path.open("wb") as file:
        for piece in pieces:
            file.write(packer.compress(piece))
        file.write(packer.flush())


def test_a_gigabyte_of_csv(small):
    small.write("big.csv", ROWS)
    os.truncate(small.path / "big.csv", 1024**3)
    found = measure(small, "small.csv", "big.csv")
    assert found["outcome"] == 101
    assert found["grown"] < 16 * MEGABYTE


@pytest.mark.parametrize("text", [b"x", b'"\n', b"a,", b"\n"])
def test_a_gzip_bomb_of_600_megabytes(small, text):
    piece = text * (MEGABYTE // len(text))
    pack(small.path / "bomb.csv.gz", (piece for _ in range(600)))
    assert (small.path / "bomb.csv.gz").stat().st_size < 3 * MEGABYTE
    found = measure(small, "small.csv.gz", "bomb.csv.gz")
    assert found["outcome"] in ("too_large", "query", "deadline", 101)
    assert found["grown"] < 48 * MEGABYTE


@pytest.mark.parametrize(
    ("name", "start", "text"),
    [
        ("bomb.json.gz", b'[{"a": "', b"x"),
        ("bomb.json.gz", b'[{"a": ', b"["),
        ("bomb.json.gz", b"[", b'{"a": 1},'),
        ("bomb.json.gz", b'{"a": [', b"[],"),
        ("bomb.jsonl.gz", b"", b'{"a": 1}'),
        ("bomb.jsonl.gz", b'{"a": [', b"[],"),
    ],
)
def test_a_json_bomb_of_300_megabytes(small, name, start, text):
    piece = text * (MEGABYTE // len(text))
    pack(small.path / name, [start, *(piece for _ in range(300))])
    found = measure(small, "small.json", name)
    assert found["outcome"] in ("too_large", "query", 101)
    assert found["grown"] < 96 * MEGABYTE


def test_a_parquet_dictionary_that_becomes_800_megabytes(small):
    cells = pyarrow.chunked_array([["x" * MEGABYTE]] * 800)  # one in memory, eight hundred times
    pyarrow.parquet.write_table(pyarrow.table({"a": cells}), small.path / "bomb.parquet")
    found = measure(small, "small.parquet", "bomb.parquet")
    assert found["outcome"] == 101
    assert found["grown"] < 64 * MEGABYTE


def test_a_parquet_page_that_unpacks_to_800_megabytes(small):
    texts = pyarrow.array(["x" * 1000], pyarrow.string()).take(pyarrow.array([0] * 800_000, pyarrow.int32()))
    pyarrow.parquet.write_table(
        pyarrow.table({"a": texts}), small.path / "bomb.parquet", compression="zstd", use_dictionary=False,
        data_page_size=2**30, row_group_size=800_000,
    )  # fmt: skip
    found = measure(small, "small.parquet", "bomb.parquet")
    assert found["outcome"] == "too_large"
    assert found["grown"] < 16 * MEGABYTE


def test_a_large_row_group(small):
    numbers = pyarrow.table({str(at): pyarrow.array(range(at, 2_000_000 + at)) for at in range(4)})
    pyarrow.parquet.write_table(numbers, small.path / "big.parquet", use_dictionary=False, row_group_size=2_000_000)
    found = measure(small, "small.parquet", "big.parquet")
    assert found["outcome"] == 101
    assert found["grown"] < 64 * MEGABYTE


def test_a_long_sheet(small):
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("One")
    for number in range(30_000):
        sheet.append([number, 0.5, "text"])
    book.save(small.path / "big.xlsx")
    found = measure(small, "small.xlsx", "big.xlsx")
    assert found["outcome"] == 101
    assert found["grown"] < 8 * MEGABYTE
