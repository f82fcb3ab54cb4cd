"""A catalogue of its own for tests of commands, whose processes are real and may differ in their key ring."""

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
from psycopg import sql

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
        return os.environ | {
            "DATABASE_URL": self.url,
            "CATALOG_KEYS": ring,
            "CATALOG_LOG_LEVEL": "ERROR",
            "DJANGO_SETTINGS_MODULE": "catalog_project.settings",
        }

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


def url_of(server: PausableServer, name: str) -> str:
    login = server.login("superuser")
    return f"postgresql://{login['user']}:{login['password']}@{server.host}:{server.port}/{name}?sslmode=disable"


def create(server: PausableServer, template: str = "template1") -> str:
    """The name of a new database, a copy of ``template``."""
    name = f"catalogue_{secrets.token_hex(4)}"
    with postgres.connect(server) as connection:
        connection.autocommit = True
        statement = sql.SQL("create database {} template {}")
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
    return name


@pytest.fixture(params=["sqlite", "postgresql"])
def catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> Catalogue:
    made = Catalogue(f"sqlite:///{tmp_path / 'catalogue.sqlite3'}")
    if request.param == "postgresql":
        server: PausableServer = request.getfixturevalue("postgresql")
        made.url = url_of(server, create(server))
    status, text = made.run(BEFORE, "-m", "tests.management.at_work", "fill", str(ORGANISATIONS))
    assert status == 0, text
    return made


@contextmanager
def as_a_login_that_owns_nothing(catalogue: Catalogue, *grants: str) -> Iterator[Catalogue]:
    """The same catalogue, on PostgreSQL, for a new login with these ``grants``, each with ``{}`` for its name."""
    name, password = f"app_{secrets.token_hex(4)}", secrets.token_hex(16)
    role = sql.Identifier(name)
    with psycopg.connect(catalogue.url, autocommit=True) as owner:
        owner.execute(sql.SQL("create role {} login password {}").format(role, sql.Literal(password)))
        for grant in grants:
            owner.execute(sql.SQL(grant).format(role))
    yield Catalogue(f"postgresql://{name}:{password}@{catalogue.url.rpartition('@')[2]}")
    with psycopg.connect(catalogue.url, autocommit=True) as owner:
        owner.execute(sql.SQL("drop owned by {}").format(role))
        owner.execute(sql.SQL("drop role {}").format(role))
