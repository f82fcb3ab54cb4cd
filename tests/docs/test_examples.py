"""The README's examples, run as they stand, on a real file behind a real server."""

from __future__ import annotations

import json
import shlex
import sqlite3
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from connections.services import connections, jobs
from connections.services.connections import Change
from tests.catalogue import Tenant
from tests.docs.pages import ROOT, blocks

pytestmark = pytest.mark.django_db(transaction=True)
README = (ROOT / "README.md").read_text()
DEMO = "http://127.0.0.1:8000"
FLIGHTS = [
    ("UA", 15, "HNL", 0, "2013-01-01 18:00:00"),
    ("HA", 51, "HNL", -3, "2013-01-01 14:00:00"),
    ("AA", 1, "LAX", None, "2013-01-01 14:00:00"),
    ("HA", 51, "HNL", 9, "2013-01-02 14:00:00"),
]


@pytest.fixture
def flights(acme: Tenant) -> Iterator[Tenant]:
    """The demo's connection of the same slug, over four flights in a SQLite file."""
    path = jobs.files_root(acme.organisation) / "flights.sqlite3"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "create table flights (carrier text, flight integer, dest text, dep_delay integer, time_hour text)"
        )
        database.executemany("insert into flights values (?, ?, ?, ?, ?)", FLIGHTS)
    change = Change(name="flights-postgres", config={"path": path.name})
    connections.create(acme.actor("editor"), "sqlite", change)
    yield acme
    path.unlink()


def run(curl: str) -> dict[str, Any]:
    """Do what a curl command says: its address, headers and body."""
    words = shlex.split(curl.replace("\\\n", " "))
    url = next(word for word in words if word.startswith("http"))
    values = {flag: [words[at + 1] for at, word in enumerate(words) if word == flag] for flag in ("-H", "-d")}
    headers = dict(header.split(": ", 1) for header in values["-H"])
    request = urllib.request.Request(url, values["-d"][0].encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def test_the_preview_over_rest_answers_as_shown(live_server: Any, flights: Tenant):
    block = next(block for block in blocks(README, "sh") if "KEY=" in block)
    curl = block[block.index("curl") :].replace(DEMO, live_server.url).replace("$KEY", flights.keys["analyst"])
    answer = run(curl)
    shown = json.loads(blocks(README, "json")[0])
    assert answer.keys() == shown.keys()
    assert answer["page"] == shown["page"]
    assert [column["name"] for column in answer["columns"]] == [column["name"] for column in shown["columns"]]
    assert [row[:4] for row in answer["rows"]] == [row[:4] for row in shown["rows"]]


def test_the_data_frame_is_as_shown(flights: Tenant, capsys: pytest.CaptureFixture[str]):
    code = next(block for block in blocks(README, "python") if "services.read" in block)
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    shown = README[README.index("  carrier  flight") :].splitlines()[:4]
    assert [line.split()[:4] for line in printed[:4]] == [line.split()[:4] for line in shown]
    assert ["flight", "int64[pyarrow]"] in [line.split() for line in printed]
