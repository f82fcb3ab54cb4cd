"""Commands wait for whoever writes: what a request is told to come back for, a migration or a rotation sits out."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.management.conftest import BEFORE, Catalogue, create, url_of

MAKE = ("manage.py", "createsuperuser", "--noinput", "--username", "x", "--email", "x@example.com")


@contextmanager
def written(catalogue: Catalogue) -> Iterator[None]:
    """Somebody else writes, for as long as this block lasts."""
    if catalogue.url.startswith("sqlite"):
        with closing(sqlite3.connect(catalogue.url.removeprefix("sqlite:///"))) as other:
            other.execute("begin immediate")
            yield
        return
    with psycopg.connect(catalogue.url) as other_session:
        other_session.execute("lock table auth_user in access exclusive mode")
        yield


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    monkeypatch.setenv("CATALOG_LOCK_TIMEOUT", "0.1")
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "a pass of theirs")
    made = Catalogue(f"sqlite:///{tmp_path / 'catalogue.sqlite3'}")
    if request.param == "postgresql":
        server = request.getfixturevalue("postgresql")
        made.url = url_of(server, create(server))
    made.manage(BEFORE, "migrate", "-v0")
    return made


def test_a_command_waits_where_a_request_would_not(migrated: Catalogue) -> None:
    with written(migrated):
        command = migrated.start(BEFORE, *MAKE)
        with pytest.raises(subprocess.TimeoutExpired):
            command.wait(8)
    _, text = command.communicate(timeout=60)
    assert command.returncode == 0, text
    assert migrated.ask("select username from auth_user") == [("x",)]


@pytest.mark.parametrize("seconds", ["0", "-1", "4000"])
def test_nobody_is_told_to_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: str) -> None:
    monkeypatch.setenv("CATALOG_LOCK_TIMEOUT", seconds)
    status, text = Catalogue(f"sqlite:///{tmp_path / 'catalogue.sqlite3'}").run(BEFORE, "manage.py", "check")
    assert status != 0
    assert f"CATALOG_LOCK_TIMEOUT is '{seconds}'. Set it to a number above 0, at most 3600." in text
