"""The kit as a package of somebody else uses it: installed beside the catalogue, on a source that leaks and one not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.testing.plugged import install, python

SOURCE = '''
"""Greets, and tells its token where LEAK says."""

import base64

from pydantic import Field, SecretStr

from connections.adapters.base import Adapter, Check
from connections.adapters.config import Config, Query
from connections.adapters.contract import Category, Column, ColumnType, Result, StepName
from connections.adapters.errors import QueryError

LEAK = "{leak}"


class LeakyConfig(Config):
    greeting: str = Field(title="Greeting", json_schema_extra={{"endpoint": False}})
    token: SecretStr = Field(title="Token")


class LeakyQuery(Query):
    people: list[str] = Field(title="People")


class LeakyAdapter(Adapter[LeakyConfig, LeakyQuery]):
    """Greets people."""

    id = "leaky"
    label = "Leaky"
    category = Category.APPLICATION
    config_class = LeakyConfig
    query_class = LeakyQuery
    needs_network = False

    def connect(self, deadline):
        pass

    def checks(self):
        return [Check(StepName.AUTHENTICATE, lambda deadline: self._told("detail"))]

    def rows(self, query, parameters, *, limit, offset, count, deadline):
        if LEAK == "error":
            raise QueryError(f"Cannot greet with {{self._told('error')}}.")
        greeted = [[self._told("row") or name] for name in query.people]
        return Result((Column("greeting", ColumnType.STRING),), iter([greeted]))

    def translate(self, exc):
        return None

    def _told(self, where):
        """In a spelling that no filter knows."""
        login = "user:" + self.config.token.get_secret_value() + ":"
        return base64.b64encode(login.encode()).decode() if LEAK == where else None


adapter = LeakyAdapter
'''
TEST = """
from connections.testing.leaks import SourceLeaks


class TestLeaks(SourceLeaks):
    sources = ("leaky",)
    query = {"people": ["Ada"]}
"""
CONFTEST = 'pytest_plugins = ["connections.testing.leaks"]\n'
INI = (
    "[pytest]\naddopts = -p tests.environment -p no:cacheprovider\nDJANGO_SETTINGS_MODULE = catalog_project.settings\n"
)


@pytest.mark.parametrize(
    ("leak", "place"),
    [
        ("", ""),
        ("detail", r"A secret is in the answer to POST connections/"),
        ("row", r"A secret is in the answer to POST connections/driven/preview/"),
        ("error", r"A secret is in the answer to POST connections/driven/preview/"),
    ],
)
def test_a_source_of_somebody_else_is_hunted_through(tmp_path: Path, leak: str, place: str) -> None:
    install(tmp_path, "acme-leaky", {"leaky": SOURCE.format(leak=leak)}, {"leaky": "leaky:adapter"})
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text(INI)
    (tmp_path / "test_leaks.py").write_text(TEST)
    command = ["-m", "pytest", "-c", str(tmp_path / "pytest.ini"), f"--rootdir={tmp_path}", "-q"]
    chosen = [] if not leak else ["-k", "no_secret"]
    done = python(*command, *chosen, str(tmp_path / "test_leaks.py"), path=tmp_path, seconds=240)
    if not leak:
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
        assert "4 passed" in done.stdout
    else:
        assert done.returncode == 1, done.stdout[-5000:] + done.stderr[-2000:]
        assert place in done.stdout
