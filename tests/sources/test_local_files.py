"""A folder of files as a source: what it is allowed to see, and how it says what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connections.adapters.contract import Environment
from connections.adapters.egress import EgressPolicy
from connections.adapters.errors import AuthorizationError, InvalidError, QueryError
from connections.adapters.files.query import FilesQuery
from connections.adapters.limits import Deadline
from connections.adapters.registry import registry
from connections.sources.local_files import LocalFilesAdapter, LocalFilesConfig


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "organisation"
    (folder / "reports").mkdir(parents=True)
    (folder / "reports" / "a.csv").write_text("id,name\n1,x\n2,y\n")
    (folder / "top.csv").write_text("id\n9\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "secret.csv").write_text("secret\n1\n")
    return folder


def adapter(root: Path | None, **config) -> LocalFilesAdapter:
    return LocalFilesAdapter(LocalFilesConfig.model_validate(config), Environment(egress=EgressPolicy(), root=root))


def rows(made: LocalFilesAdapter, **query):
    asked = FilesQuery(**query)
    result = made.read(asked, {}, limit=100, offset=0, count=False, deadline=Deadline.after(10))
    return [tuple(row) for batch in result.batches for row in batch]


def check(made: LocalFilesAdapter) -> list[Any]:
    return list(made.check(Deadline.after(10)))


def test_the_registry_has_it():
    assert registry["local_files"] is LocalFilesAdapter
    assert LocalFilesAdapter.capabilities() == ["preview", "describe", "tables", "columns"]


def test_a_file_is_previewed_listed_and_described(root):
    made = adapter(root, folder="reports")
    assert rows(made, table=["a.csv"]) == [(1, "x"), (2, "y")]
    assert [table.as_dict() for table in made.tables("", Deadline.after(10))] == [
        {"path": ["a.csv"], "name": "a.csv", "kind": "file", "comment": None}
    ]
    described = made.columns(("a.csv",), Deadline.after(10))
    assert [(column.name, column.type) for column in described.columns] == [("id", "integer"), ("name", "string")]
    assert made.describe(FilesQuery(table=["a.csv"]), {}, Deadline.after(10)) == described
    with pytest.raises(QueryError):
        made.columns(("none.csv",), Deadline.after(10))


def test_the_listing_is_searched_and_leaves_out_what_is_not_read(root):
    (root / "notes.txt").write_text("x")
    (root / ".hidden.csv").write_text("x")
    (root / "link.csv").symlink_to(root / "top.csv")
    made = adapter(root)
    assert [table.path for table in made.tables("", Deadline.after(10))] == [("top.csv",), ("reports/a.csv",)]
    assert [table.path for table in made.tables("REPORTS", Deadline.after(10))] == [("reports/a.csv",)]


@pytest.mark.parametrize(
    "name", ["../other/secret.csv", "/etc/passwd", "reports/../../other/secret.csv", "~/x", "%2e%2e/x"]
)
def test_no_name_leads_out_of_the_folder(root, name):
    with pytest.raises(InvalidError) as caught:
        rows(adapter(root), table=[name], format="csv")
    assert caught.value.field == "/query/table"


def test_no_link_leads_out_of_the_folder(root, tmp_path):
    (root / "link.csv").symlink_to(tmp_path / "other" / "secret.csv")
    (root / "door").symlink_to(tmp_path / "other")
    os.link(tmp_path / "other" / "secret.csv", root / "hard.csv")
    for name in ("link.csv", "door/secret.csv", "hard.csv"):
        with pytest.raises(QueryError):
            rows(adapter(root), table=[name])
    with pytest.raises(QueryError):
        rows(adapter(root), pattern="door/*.csv")


@pytest.mark.parametrize("folder", ["..", "../other", "/etc", "~", "reports/..", "reports//x"])
def test_the_folder_setting_cannot_leave_the_root(root, folder):
    with pytest.raises(InvalidError) as caught:
        rows(adapter(root, folder=folder), table=["a.csv"])
    assert caught.value.field == "/config/folder"


def test_a_folder_that_is_missing_or_a_link_denies_access(root, tmp_path):
    (root / "door").symlink_to(tmp_path / "other")
    for folder in ("none", "door", "top.csv"):
        with pytest.raises(AuthorizationError) as caught:
            rows(adapter(root, folder=folder), table=["a.csv"])
        assert caught.value.field == "/config/folder"
    for missing in (None, tmp_path / "nowhere"):
        with pytest.raises(AuthorizationError):
            rows(adapter(missing), table=["a.csv"])


def test_a_healthy_folder_passes_its_steps(root):
    assert [(step.name, step.ok) for step in check(adapter(root))] == [("database", True), ("sample", True)]
    assert check(adapter(root, folder="reports"))[1].detail == "opened a.csv"
    (root / "empty").mkdir()
    assert check(adapter(root, folder="empty"))[1].detail == "no files of a known format"


def test_a_missing_folder_fails_its_step(root):
    first, error, last = check(adapter(root, folder="none"))
    assert (first.name, first.ok, first.code) == ("database", False, "authorization")
    assert error.field == "/config/folder"
    assert "'none'" in error.message
    assert (last.name, last.ok) == ("sample", None)


def test_a_folder_replaced_between_jobs_is_seen_as_it_is_now(root):
    made = adapter(root, folder="reports")
    assert rows(made, table=["a.csv"]) == [(1, "x"), (2, "y")]
    (root / "reports").rename(root / "old")
    (root / "reports").mkdir()
    with pytest.raises(QueryError):
        rows(made, table=["a.csv"])
    assert made.reset() is True


def test_no_descriptor_stays_open(root):
    made = adapter(root)
    made.close()
    before = len(os.listdir("/dev/fd"))
    for _ in range(20):
        rows(made, table=["top.csv"])
        rows(made, pattern="**/*.csv", file_column="f")
        made.columns(("top.csv",), Deadline.after(10))
        list(made.tables("", Deadline.after(10)))
        made.read(FilesQuery(table=["top.csv"]), {}, limit=0, offset=0, count=True, deadline=Deadline.after(10))
        with pytest.raises(QueryError):
            rows(made, table=["none.csv"])
    made.close()
    assert len(os.listdir("/dev/fd")) == before


def test_parameters_are_refused(root):
    made, asked = adapter(root), FilesQuery(table=["top.csv"])
    with pytest.raises(InvalidError) as caught:
        made.read(asked, {"a": 1}, limit=1, offset=0, count=False, deadline=Deadline.after(5))
    assert caught.value.field == "/parameters"


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"table": ["a.csv"], "pattern": "*.csv"},
        {"table": []},
        {"table": ["a", "b", "c"]},
        {"table": ["a.xlsx", "One"], "sheet": "Two"},
        {"table": ["a.csv"], "delimiter": ",,"},
        {"table": ["a.csv"], "delimiter": "\n"},
        {"table": ["a.csv"], "encoding": "zip"},
        {"table": ["a.csv"], "types": {"a": "json"}},
        {"table": ["a.csv"], "sql": "select 1"},
    ],
)
def test_a_query_that_cannot_be_right_is_refused(query):
    with pytest.raises(ValidationError):
        FilesQuery.model_validate(query)


def test_importing_the_source_loads_no_reader_package():
    code = (
        "import sys, connections.sources.local_files; "
        "print([name for name in ('pyarrow', 'openpyxl', 'pandas', 'duckdb', 'django') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_without_pyarrow_other_formats_are_read_and_parquet_says_what_to_install(root):
    (root / "p.parquet").write_bytes(b"PAR1")
    code = """
import importlib.abc, json, pathlib, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pyarrow", "openpyxl", "pandas"):
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Absent())
from connections.adapters.contract import Environment
from connections.adapters.egress import EgressPolicy
from connections.adapters.errors import DriverMissingError
from connections.adapters.files.query import FilesQuery
from connections.adapters.limits import Deadline
from connections.sources.local_files import LocalFilesAdapter, LocalFilesConfig
made = LocalFilesAdapter(LocalFilesConfig(), Environment(egress=EgressPolicy(), root=pathlib.Path(sys.argv[1])))
def read(name):
    asked, deadline = FilesQuery(table=[name]), Deadline.after(10)
    return list(made.read(asked, {}, limit=1, offset=0, count=False, deadline=deadline).batches)
print(read("top.csv"), [table.path for table in made.tables("", Deadline.after(10))])
try:
    read("p.parquet")
except DriverMissingError as error:
    print(error.hint)
"""
    command = [sys.executable, "-c", code, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "[[(9,)]] [('p.parquet',), ('top.csv',), ('reports/a.csv',)]" in done.stdout
    assert "pip install 'pyarrow" in done.stdout
