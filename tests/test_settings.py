"""What the settings read of the environment: each variable that is wrong stops the start, and is named."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXTS = {
    "number": [
        "7 days",
        "1m",
        "inf",
        "nan",
        "-inf",
        "1e999",
        "",
        " ",
        "1,5",
        "1.000,5",
        "1_000",
        "0x10",
        "٣",
        "-1",
        "5s",
    ],
    "whole": ["7 days", "inf", "nan", "", " 5", "1.0", "1e3", "1,000", "1_000", "0x10", "٣", "-1", "9" * 5000],
    "flag": ["", "2", "-1", "enabled", "tru", "1 ", "None"],
    "one_of": ["", "other", "PRODUCTION "],
    "listed": ["one two", "one,two three"],
}
"""What is no value of any setting, by what reads it."""
ANY_TEXT = ("CATALOG_REFERENCES",)  # judged by ``manage.py check``
GOOD: dict[str, dict[str, Any]] = {
    "number": {"0.5": 0.5, "1e3": 1000.0, "20": 20.0, ".5": 0.5},
    "whole": {"1": 1, "60": 60},
    "flag": {"1": True, "0": False, "on": True, "OFF": False, "true": True, "False": False, "yes": True, "no": False},
}
ASK = """
import json, os, runpy, sys
from django.core.exceptions import ImproperlyConfigured
from catalog_project import environment
environment.load = lambda: None
answers = []
for name, text in json.load(sys.stdin):
    before = dict(os.environ)
    os.environ[name] = text
    try:
        runpy.run_path("catalog_project/settings.py")
        answers.append("taken")
    except ImproperlyConfigured as exc:
        answers.append(str(exc))
    except Exception as exc:
        answers.append(f"{type(exc).__name__}: {exc}")
    os.environ.clear()
    os.environ.update(before)
print(json.dumps(answers))
"""


def read_by(reader: str) -> list[str]:
    """The variables that the settings read by ``reader``."""
    tree = ast.parse((ROOT / "catalog_project" / "settings.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == reader]
    return [str(ast.literal_eval(call.args[0])) for call in calls]


CASES = [
    (name, text)
    for reader, texts in TEXTS.items()
    for name in read_by(reader)
    if name not in ANY_TEXT
    for text in texts
]


def answers(cases: list[tuple[str, str]]) -> list[str]:
    """What the settings of a production say with one variable at a time set to a text: ``taken``, or the error."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CATALOG_")},
        "CATALOG_SECRET_KEY": os.environ["CATALOG_SECRET_KEY"],
        "CATALOG_KEYS": os.environ["CATALOG_KEYS"],
        "CATALOG_ALLOWED_HOSTS": "catalogue.example",
    }
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=ROOT,
        env=environment,
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def told() -> dict[tuple[str, str], str]:
    return dict(zip(CASES, answers(CASES), strict=True))


def test_every_reader_is_used_and_no_number_flag_or_list_is_read_by_another() -> None:
    assert len(read_by("number")) >= 10
    assert len(read_by("whole")) >= 15
    assert len(read_by("flag")) >= 7
    for reader in ("env.float", "env.int", "env.bool", "env.list", "env.db", "env"):
        assert read_by(reader) == []


@pytest.mark.parametrize(("name", "text"), CASES)
def test_a_wrong_text_stops_the_start_and_names_the_variable(
    told: dict[tuple[str, str], str], name: str, text: str
) -> None:
    assert told[name, text].startswith(f"{name} is ")


def test_texts_that_are_right_are_taken() -> None:
    cases = [(name, text) for reader, texts in GOOD.items() for name in read_by(reader) for text in texts]
    production = ("CATALOG_DEBUG", "CATALOG_EGRESS_LOOPBACK")  # not on there
    cases = [(name, text) for name, text in cases if name not in production or not GOOD["flag"][text]]
    cases += [("CATALOG_ALLOWED_HOSTS", "a.example, b.example,"), ("CATALOG_SOURCES", "")]
    assert dict(zip(cases, answers(cases), strict=True)) == dict.fromkeys(cases, "taken")


def test_each_bound_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [
        ("CATALOG_PREVIOUS_SECRETS_HOURS", "1e12"),
        ("CATALOG_PREVIEW_TIMEOUT", "0"),
        ("CATALOG_LOCK_TIMEOUT", "3601"),
        ("CATALOG_EVENTS_KEEP_DAYS", "1000000"),
        ("CATALOG_HOST_JOBS", "0"),
        ("CATALOG_EGRESS_ALLOW", "10.0.0.0"),
        ("CATALOG_EGRESS_OWN", "nowhere/8"),
        ("CATALOG_LOG_LEVEL", "LOUD"),
    ]
    for (name, _), answer in zip(cases, answers(cases), strict=True):
        assert answer.startswith(f"{name} is "), answer


@pytest.mark.parametrize("url", ["nonsense", "postgresql://u:hunter2@host:port/name", "oracle://u:hunter2@host/name"])
def test_a_database_that_is_none_is_named_and_its_password_is_not_repeated(url: str) -> None:
    (answer,) = answers([("DATABASE_URL", url)])
    assert answer.startswith("DATABASE_URL is no address of a database")
    assert "hunter2" not in answer


def test_values_are_those_that_were_written(monkeypatch: pytest.MonkeyPatch) -> None:
    from catalog_project import environment

    for text, value in GOOD["number"].items():
        monkeypatch.setenv("CATALOG_X", text)
        assert environment.number("CATALOG_X", default=3.0, most=10_000) == value
    for text, value in GOOD["flag"].items():
        monkeypatch.setenv("CATALOG_X", text)
        assert environment.flag("CATALOG_X", default=not value) is value
    monkeypatch.setenv("CATALOG_X", " a , b ,")
    assert environment.listed("CATALOG_X") == ["a", "b"]
    monkeypatch.delenv("CATALOG_X")
    assert environment.number("CATALOG_X", default=3.0, most=1) == 3.0
