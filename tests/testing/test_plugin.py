"""The plugin's markers: from the registry, put on by file name and by conformance class."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.testing.plugged import python

SUITE = """
import pytest
from connections.testing import SourceConformance

@pytest.mark.sqlite
def test_marked(): pass

def test_plain(): pass

class TestPostgreSQL(SourceConformance):
    source = "postgresql"
    not_applicable = {"session": "it has none here"}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers -p connections.testing.plugin\n")
    files = {
        "sources/test_sqlite.py": "def test_a(): pass",
        "sources/test_sqlite_types.py": "def test_b(): pass",
        "sources/test_sqlite3x.py": "def test_c(): pass",
        "conformance/test_local_files.py": "def test_d(): pass",
        "other/test_sqlite.py": "def test_e(): pass",
        "other/test_suite.py": SUITE,
        "unknown/test_unknown.py": "import pytest\n@pytest.mark.no_such_source\ndef test_f(): pass",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).with_name("__init__.py").touch()
    return tmp_path


def collected(folder: Path, *arguments: str) -> str:
    command = ["-m", "pytest", "-c", str(folder / "pytest.ini"), f"--rootdir={folder}", "-q", "--collect-only"]
    return python(*command, *arguments, path=folder, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1").stdout


def chosen(folder: Path, marker: str) -> set[str]:
    """The tests of ``folder`` that ``-m marker`` chooses, without those of the suite."""
    places = [str(folder / name) for name in ("sources", "conformance", "other")]
    lines = [line for line in collected(folder, "-m", marker, *places).splitlines() if "::" in line]
    return {line.rpartition("/")[2] for line in lines if "TestPostgreSQL" not in line}


def test_a_marker_chooses_the_files_of_a_source_and_what_is_marked(folder: Path) -> None:
    assert chosen(folder, "sqlite") == {
        "test_sqlite.py::test_a",
        "test_sqlite_types.py::test_b",
        "test_suite.py::test_marked",
    }
    assert chosen(folder, "local_files") == {"test_local_files.py::test_d"}


def test_a_conformance_class_has_its_sources_marker(folder: Path) -> None:
    printed = collected(folder, "-m", "postgresql", str(folder / "other"))
    assert "TestPostgreSQL::test_a_healthy_check_walks_its_steps" in printed
    assert "test_plain" not in printed


def test_what_does_not_apply_is_not_collected(folder: Path) -> None:
    printed = collected(folder, str(folder / "other"))
    assert "TestPostgreSQL::test_a_reset_adapter_reads_on" in printed
    assert "test_a_reset_leaves_nothing_of_the_session" not in printed


def test_a_marker_of_no_source_is_an_error(folder: Path) -> None:
    assert "'no_such_source' not found in `markers`" in collected(folder, str(folder / "unknown"))


def test_a_topic_that_the_suite_does_not_know_is_an_error() -> None:
    from connections.testing.subject import Subject

    with pytest.raises(TypeError, match=r"\['offest'\]"):
        type("TestToy", (Subject,), {"source": "toy", "not_applicable": {"offest": "typo"}})
