"""PostgreSQL with the wall: a login that is no superuser, and what is collected where the wall stands."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from psycopg import sql

from catalog_project.demo import postgres
from tests.servers.pausable import PausableServer

ROOT = Path(__file__).resolve().parent.parent.parent
BEHIND = os.environ.get("CATALOG_ROW_SECURITY") == "on"
collect_ignore = ["test_on_postgresql.py", "test_switching.py"] if BEHIND else ["test_walls.py"]


@dataclass
class Walled:
    """A database of its own. ``url`` logs in as its owner, who is no superuser; ``superuser_url`` as one."""

    url: str
    superuser_url: str

    def run(self, *command: str, url: str = "", setting: str = "on", timeout: int = 280) -> tuple[int, str]:
        """Run a Python program with the ``setting`` of row security. Returns its exit status, and all it wrote."""
        env = {
            **os.environ,
            "DATABASE_URL": url or self.url,
            "CATALOG_ROW_SECURITY": setting,
            "CATALOG_LOG_LEVEL": "CRITICAL",
            "DJANGO_SETTINGS_MODULE": "catalog_project.settings",
        }
        for name in [name for name in env if name.startswith(("PYTEST", "COV"))]:
            del env[name]  # of the tests that run this
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout, check=False
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def walled(postgresql: PausableServer) -> Walled:
    name, password = f"walled_{secrets.token_hex(4)}", secrets.token_hex(12)
    with postgres.connect(postgresql) as connection:
        connection.execute(
            sql.SQL("create role {} login createdb password {}").format(sql.Identifier(name), sql.Literal(password))
        )
        connection.execute(sql.SQL("create database {0} owner {0}").format(sql.Identifier(name)))
    login = postgresql.login("superuser")
    place = f"{postgresql.host}:{postgresql.port}/{name}?sslmode=disable"
    return Walled(
        f"postgresql://{name}:{password}@{place}", f"postgresql://{login['user']}:{login['password']}@{place}"
    )
