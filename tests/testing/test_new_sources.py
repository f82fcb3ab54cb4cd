"""A new source: one file in the tree, or a distribution with an entry point. Neither touches anything else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.checkout import copy_checkout
from tests.testing.plugged import install, python

TOY = '''
"""Greetings."""

from pydantic import Field, SecretStr

from connections.adapters.base import Adapter, Check
from connections.adapters.config import Config, Query
from connections.adapters.contract import Category, Column, ColumnType, Result, StepName


class ToyConfig(Config):
    greeting: str = Field(title="Greeting", json_schema_extra={"endpoint": False})
    token: SecretStr = Field(title="Token")


class ToyQuery(Query):
    people: list[str] = Field(title="People", examples=[["Ada"]])


class ToyAdapter(Adapter[ToyConfig, ToyQuery]):
    """Greets people. Nobody is reached."""

    id = "toy"
    label = "Toy"
    category = Category.APPLICATION
    config_class = ToyConfig
    query_class = ToyQuery
    needs_network = False
    tested_against = "real: itself"

    def connect(self, deadline):
        pass

    def checks(self):
        return [Check(StepName.AUTHENTICATE, lambda deadline: None)]

    def rows(self, query, parameters, *, limit, offset, count, deadline):
        greeted = [[f"{self.config.greeting}, {name}"] for name in query.people[offset:][: limit + 1]]
        return Result((Column("greeting", ColumnType.STRING),), iter([greeted]))

    def translate(self, exc):
        return None


adapter = ToyAdapter
'''
WALK = json.dumps(
    {
        "source": "toy",
        "config": {"greeting": "Hello"},
        "secrets": {"token": "C4n4ry"},
        "query": {"people": ["Ada", "Grace"]},
        "rows": [["Hello, Ada"], ["Hello, Grace"]],
    }
)
LIST = """
import json
from connections.adapters.registry import registry
print(json.dumps([{source: registry.place(source) for source in registry}, registry.broken()]))
"""


def walk(*, checkout: Path | None = None, path: Path | None = None) -> None:
    done = python(
        "-m", "pytest", "tests/testing/walk.py", "-q", "-p", "no:cacheprovider", checkout=checkout, path=path, WALK=WALK
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_one_new_file_is_a_whole_source(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path)
    (checkout / "connections" / "sources" / "toy.py").write_text(TOY)
    walk(checkout=checkout)


def test_a_distribution_with_an_entry_point_is_a_whole_source(tmp_path: Path) -> None:
    install(tmp_path, "acme-toy", {"toy": TOY}, {"toy": "toy:adapter"})
    walk(path=tmp_path)


def test_a_plug_in_is_known_by_its_distribution(tmp_path: Path) -> None:
    install(tmp_path, "acme-toy", {"toy": TOY}, {"toy": "toy:adapter"})
    places, broken = json.loads(python("-c", LIST, path=tmp_path).stdout)
    assert places["toy"] == "toy:adapter of acme-toy"
    assert places["sqlite"] == "connections.sources.sqlite"
    assert broken == {}


def test_two_plug_ins_of_one_id_stop_the_start_and_both_are_named(tmp_path: Path) -> None:
    install(tmp_path, "acme-toy", {"toy": TOY}, {"toy": "toy:adapter"})
    install(tmp_path, "globex-toy", {"other": TOY}, {"toy": "other:adapter"})
    done = python("manage.py", "check", path=tmp_path)
    assert done.returncode != 0
    assert "toy:adapter of acme-toy" in done.stderr
    assert "other:adapter of globex-toy" in done.stderr


def test_a_plug_in_cannot_take_the_place_of_a_source_of_ours(tmp_path: Path) -> None:
    install(tmp_path, "acme-sqlite", {"toy": TOY}, {"sqlite": "toy:adapter"})
    done = python("-c", "import catalog_project.wsgi", path=tmp_path)
    assert done.returncode != 0
    assert (
        "Source 'sqlite' is given twice: by connections.sources.sqlite and by toy:adapter of acme-sqlite" in done.stderr
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemError('at import')", "SystemError: at import"),
        ("adapter = 1", "does not give an Adapter class"),
        ("adaptor = 1", "AttributeError"),
        (TOY.replace('id = "toy"', 'id = "tay"'), "whose id is 'tay', not 'toy'"),
        ("def", "SyntaxError"),
    ],
)
def test_a_broken_plug_in_is_a_warning_and_takes_nothing_down(tmp_path: Path, text: str, reason: str) -> None:
    install(tmp_path, "acme-toy", {"toy": text}, {"toy": "toy:adapter"})
    checked = python("manage.py", "check", path=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert "(catalog.W001) The source toy cannot be used." in checked.stderr
    assert reason in checked.stderr


def test_a_broken_plug_in_is_greyed_out_among_the_others(tmp_path: Path) -> None:
    install(tmp_path, "acme-toy", {"toy": "import no_such_module"}, {"toy": "toy:adapter"})
    code = """
import json, os, django
os.environ["DJANGO_SETTINGS_MODULE"] = "catalog_project.settings"
django.setup()
from connections.services import sources
print(json.dumps({entry["id"]: entry["available"] for entry in sources.summaries()}))
"""
    done = python("-c", code, path=tmp_path)
    assert done.returncode == 0, done.stderr
    available = json.loads(done.stdout)
    assert available.pop("toy") is False
    assert all(available.values())
