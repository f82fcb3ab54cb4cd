"""Rotation in real processes, on SQLite and PostgreSQL: several at once, and killed in the middle."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.management.conftest import OLD, ROOT, Catalogue

PROGRAM = ("-m", "tests.management.turning")
KILLS = 4


@pytest.fixture(autouse=True)
def filled(catalogue: Catalogue) -> None:
    status, text = catalogue.run(OLD, *PROGRAM, "fill")
    assert status == 0, text


def start(catalogue: Catalogue, verb: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *PROGRAM, verb],
        cwd=ROOT,
        env=catalogue.environment(OLD),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def tell(catalogue: Catalogue) -> Any:
    status, text = catalogue.run(OLD, *PROGRAM, "tell")
    assert status == 0, text
    return json.loads(text.splitlines()[-1])


def lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    return iter(process.stdout.readline, "")


def test_of_several_processes_that_promote_the_same_secrets_one_does(catalogue: Catalogue) -> None:
    processes = [start(catalogue, "promote") for _ in range(3)]
    assert [next(lines(process)) for process in processes] == ["READY\n"] * 3
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outcomes = sorted(process.communicate(timeout=60)[0].strip() for process in processes)
    assert outcomes.count("ok") == 1
    assert set(outcomes) <= {"ok", "version_conflict", "conflict"}, (
        "The others met another version, or nothing pending."
    )
    found = tell(catalogue)
    assert (found["secrets"], found["steps"]) == ({"current": "second", "previous": "first"}, 1)


def test_a_process_killed_while_it_swaps_secrets_leaves_them_before_or_after(catalogue: Catalogue) -> None:
    promoting = start(catalogue, "promote")
    assert promoting.communicate("\n", timeout=60)[0].split() == ["READY", "ok"]
    before = tell(catalogue)
    moments = random.Random(7)
    for _ in range(KILLS):
        process = start(catalogue, "turn")
        next(lines(process))
        time.sleep(moments.uniform(0, 0.03))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    found = tell(catalogue)
    turns = found["steps"] - before["steps"]
    assert turns >= KILLS
    expected = (
        {"current": "second", "previous": "first"} if turns % 2 == 0 else {"current": "first", "previous": "second"}
    )
    assert found["secrets"] == expected, "As many swaps as are on record."
    assert found["version"] - before["version"] == found["access_version"] - before["access_version"] == turns
