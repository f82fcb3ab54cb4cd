"""``manage.py keys`` in real processes: killed in the middle, beside others with the old ring and the new one."""

from __future__ import annotations

import os
import secrets
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from catalog_project.demo import postgres
from connections.sealing.keyring import make_entry
from tests.servers.pausable import PausableServer

ROOT = Path(__file__).resolve().parent.parent.parent
ORGANISATIONS = 24
OLD, NEW = make_entry("k1"), make_entry("k2")
BEFORE, AFTER = f"{NEW},{OLD}", f"{OLD},{NEW}"
"""The ring of a process that knows the new key and does not seal under it yet, and of one that does."""


@dataclass
class Catalogue:
    """A catalogue of its own, whose processes differ in their ring."""

    url: str

    def environment(self, ring: str) -> dict[str, str]:
        return os.environ | {"DATABASE_URL": self.url, "CATALOG_KEYS": ring, "CATALOG_LOG_LEVEL": "ERROR"}

    def start(self, ring: str, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=self.environment(ring),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, ring: str, *command: str) -> tuple[int, str]:
        process = self.start(ring, *command)
        out, err = process.communicate(timeout=120)
        return process.returncode, out + err

    def manage(self, ring: str, *command: str) -> str:
        status, text = self.run(ring, "manage.py", *command)
        assert status == 0, text
        return text

    def ask(self, sql: str) -> list[Any]:
        if self.url.startswith("sqlite"):
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=20)) as database:
                return database.execute(sql).fetchall()
        with psycopg.connect(self.url) as connection:
            return connection.execute(sql.encode()).fetchall()

    def killed(self, ring: str, *command: str, steps: int) -> None:
        """Run a command and kill it with SIGKILL once it has told of so many steps."""
        process = self.start(ring, "manage.py", *command)
        assert process.stdout is not None
        told = 0
        for line in process.stdout:
            told += " moved" in line
            if told == steps:
                break
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert (told, process.returncode) == (steps, -signal.SIGKILL)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Processes with the old ring and the new read every secret meanwhile, and one enters new ones."""
        program = ("-m", "tests.management.at_work")
        others = [self.start(ring, *program, "read") for ring in (BEFORE, AFTER)]
        others.append(self.start(BEFORE, *program, "write"))
        try:
            for process in others:
                assert process.stdout is not None
                assert process.stdout.readline() == "READY\n"
            yield
        finally:
            for process in others:
                process.terminate()
            told = [process.communicate(timeout=60) for process in others]
        assert all("wrong: []" in out and not out.startswith("0 ") for out, _ in told), told


@pytest.fixture(params=["sqlite", "postgresql"])
def catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> Catalogue:
    made = Catalogue(f"sqlite:///{tmp_path / 'catalogue.sqlite3'}")
    if request.param == "postgresql":
        server: PausableServer = request.getfixturevalue("postgresql")
        name = f"catalogue_{secrets.token_hex(4)}"
        with postgres.connect(server) as connection:
            connection.autocommit = True
            connection.execute(f"create database {name}".encode())
        login = server.login("superuser")
        made.url = (
            f"postgresql://{login['user']}:{login['password']}@{server.host}:{server.port}/{name}?sslmode=disable"
        )
    status, text = made.run(BEFORE, "-m", "tests.management.at_work", "fill", str(ORGANISATIONS))
    assert status == 0, text
    return made


def opened_by(catalogue: Catalogue, ring: str) -> str:
    program = "import django; django.setup(); from tests.management.at_work import *; print(read(STEADY, CHANGING))"
    environment = catalogue.environment(ring) | {"DJANGO_SETTINGS_MODULE": "catalog_project.settings"}
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_a_rotation_killed_midway_beside_old_and_new_processes_loses_nothing(catalogue: Catalogue):
    ring_keys = "select ring_key, count(*) from connections_organisationkey group by ring_key order by ring_key"
    with catalogue.at_work():
        catalogue.killed(AFTER, "keys", "rotate", "--batch", "1", steps=5)
        catalogue.killed(AFTER, "keys", "rotate", "--batch", "2", steps=4)
        midway = dict(catalogue.ask(ring_keys))
        assert midway["k1"] > 0
        assert midway["k2"] >= 12
        status, text = catalogue.run(AFTER, "manage.py", "keys", "retire", "k1")
        assert (status, "organisation keys need the key k1" in text) == (1, True)
        assert f"no: {midway['k1']} organisation keys need it" in catalogue.manage(AFTER, "keys", "status")
        text = catalogue.manage(AFTER, "keys", "rotate")
        assert f"After: {ORGANISATIONS} under k2" in text
    assert dict(catalogue.ask(ring_keys)) == {"k2": ORGANISATIONS}
    assert "Nothing needs the key k1" in catalogue.manage(AFTER, "keys", "retire", "k1")
    assert "yes: 0 need it" in catalogue.manage(AFTER, "keys", "status")
    assert "need it and are locked" in catalogue.manage(OLD, "keys", "status")
    assert opened_by(catalogue, NEW) == "[]"


def test_a_rekeying_killed_midway_beside_old_and_new_processes_loses_nothing(catalogue: Catalogue):
    versions = "select key_version, count(*) from connections_connectionsecrets group by key_version"
    with catalogue.at_work():
        catalogue.killed(AFTER, "keys", "rekey", "--all", "--batch", "1", steps=9)
        catalogue.killed(AFTER, "keys", "rekey", "--org", "org-20", "--batch", "1", steps=1)
        assert dict(catalogue.ask(versions))[1] > 0
        catalogue.manage(AFTER, "keys", "rekey", "--all")
    assert 1 not in dict(catalogue.ask(versions))
    assert not catalogue.ask("select 1 from connections_organisationkey where version = 1")
    assert opened_by(catalogue, AFTER) == "[]"
