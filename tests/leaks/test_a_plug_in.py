"""The kit as a package of somebody else uses it: installed beside the catalogue, on a source that leaks and one not."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.testing.plugged import install, python

SOURCE = '''
"""Greets, and tells its token where LEAK says."""

import base64

from pydantic import Field, SecretStr

from connections.adapters.base import Adapter, Check
from connections.adapters.config import Config, Query, Settings
from connections.adapters.contract import Category, Column, ColumnType, Description, Result, StepName, Table
from connections.adapters.errors import QueryError

LEAK = "{leak}"


class Signing(Settings):
    key: SecretStr | None = Field(None, title="Key")


class LeakyConfig(Config):
    greeting: str = Field(title="Greeting", json_schema_extra={{"endpoint": False}})
    token: SecretStr = Field(title="Token")
    signing: Signing | None = Field(None, title="Signing")


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
        told = self._told("row") or (offset and self._told("later"))
        greeted = [[told or name] for name in query.people]
        return Result((Column("greeting", ColumnType.STRING),), iter([greeted]))

    def describe_query(self, query, parameters, deadline):
        return Description((Column(self._told("description") or "greeting", ColumnType.STRING),))

    def list_tables(self, deadline):
        yield Table(("hall", "guests"), "table", comment=self._told("table"))

    def describe_table(self, path, deadline):
        assert path == ("hall", "guests")
        return Description((Column(self._told("column") or "name", ColumnType.STRING),))

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
    query = {query}
"""
QUERY = {"people": ["Ada"]}
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
        ("error", r"A secret is in the answer to POST connections/driven/"),
        ("later", r"A secret is in the answer to POST connections/driven/preview/"),
        ("description", r"A secret is in the answer to POST connections/driven/describe/"),
        ("table", r"A secret is in the answer to GET .*connections/driven/tables/"),
        ("column", r"A secret is in the answer to GET .*connections/driven/columns/"),
    ],
)
def test_a_source_of_somebody_else_is_hunted_through(tmp_path: Path, leak: str, place: str) -> None:
    done = hunted(tmp_path, leak, [] if not leak else ["-k", "no_secret"])
    if not leak:
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
        assert "4 passed" in done.stdout
    else:
        assert done.returncode == 1, done.stdout[-5000:] + done.stderr[-2000:]
        assert re.search(place, done.stdout)


def test_a_hunt_whose_query_the_source_does_not_take_fails_as_it_would_see_nothing(tmp_path: Path) -> None:
    done = hunted(tmp_path, "row", ["-k", "no_secret"], {"people": "nobody"})
    assert done.returncode == 1, done.stdout[-5000:] + done.stderr[-2000:]
    assert "is to get to the source, and answered 400 before" in done.stdout


def hunted(
    folder: Path, leak: str, chosen: Sequence[str], query: dict[str, Any] = QUERY
) -> subprocess.CompletedProcess[str]:
    """The kit's run on the source, installed in ``folder``, whose place to leak is ``leak``."""
    install(folder, "acme-leaky", {"leaky": SOURCE.format(leak=leak)}, {"leaky": "leaky:adapter"})
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text(INI)
    (folder / "test_leaks.py").write_text(TEST.format(query=query))
    command = ["-m", "pytest", "-c", str(folder / "pytest.ini"), f"--rootdir={folder}", "-q"]
    return python(*command, *chosen, str(folder / "test_leaks.py"), path=folder, seconds=240)
