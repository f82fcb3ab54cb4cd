"""Counting uses: in memory at once, in the database once in a while, by as many processes as there are."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError

from connections.models import Connection, ConnectionUse
from connections.services import uses
from tests.catalogue import Tenant


@pytest.fixture(autouse=True)
def counting(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.CATALOG_USE_INTERVAL = 3600.0
    monkeypatch.setattr(uses, "_tally", uses._Tally())
    monkeypatch.setattr(uses._behind, "_thread", threading.current_thread())  # nothing writes but the test
    yield
    uses._tally.take()


def note(row: Connection, label: str = "ann", times: int = 1) -> None:
    for _ in range(times):
        uses.note(row.pk, row.organisation_id, label)


def test_uses_are_added_up_and_written_together(
    acme: Tenant, django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    row, other = acme.sqlite("Shop"), acme.sqlite("Other")
    with django_assert_num_queries(0):
        note(row, times=3)
        note(row, "etl")
        note(other)
    assert uses.of(acme.actor("viewer"), row) is None
    with django_assert_max_num_queries(4):  # one a connection, in one transaction
        assert uses.flush() == 2
    use = uses.of(acme.actor("viewer"), row)
    assert use is not None
    assert (use.uses, use.last_used_by, use.organisation_id) == (4, "etl", acme.organisation.pk)
    note(row, "x" * 300)
    uses.flush()
    use.refresh_from_db()
    assert (use.uses, use.last_used_by) == (5, "x" * 200)
    with django_assert_num_queries(0):
        assert uses.flush() == 0


def test_what_another_process_wrote_is_added_to_and_its_later_use_stays_the_last(acme: Tenant) -> None:
    row = acme.sqlite()
    note(row, "early")
    at = uses._tally.waiting[row.pk].last_at
    ConnectionUse.objects.create(
        connection=row,
        organisation=acme.organisation,
        uses=10,
        last_used_at=at + timedelta(seconds=5),
        last_used_by="late",
    )
    uses.flush()
    use = ConnectionUse.objects.get(connection=row)
    assert (use.uses, use.last_used_by, use.last_used_at) == (11, "late", at + timedelta(seconds=5))


def test_a_connection_that_is_gone_or_anothers_is_not_counted(acme: Tenant, globex: Tenant) -> None:
    row = acme.sqlite()
    uses.note(uuid4(), acme.organisation.pk, "ann")
    uses.note(row.pk, globex.organisation.pk, "ann")
    uses.flush()
    assert not ConnectionUse.objects.exists()


def test_what_could_not_be_written_is_written_the_next_time(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    row = acme.sqlite()
    note(row, times=2)
    with monkeypatch.context() as broken:
        broken.setattr(uses, "_write", _locked)
        with pytest.raises(OperationalError):
            uses.flush()
    note(row)
    uses.flush()
    assert ConnectionUse.objects.get(connection=row).uses == 3


def _locked(*args: Any) -> None:
    raise OperationalError("database is locked")


def test_what_is_held_in_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(uses, "MOST", 3)
    known = [uuid4() for _ in range(5)]
    for pk in (*known, *known):
        uses.note(pk, pk, "ann")
    assert len(uses._tally.waiting) == 3
    assert sum(use.count for use in uses._tally.take().values()) == 6
    assert "4 uses were not counted" in caplog.text


def test_nothing_is_counted_where_counting_is_off(settings: Any) -> None:
    settings.CATALOG_USE_INTERVAL = 0
    uses.note(uuid4(), uuid4(), "ann")
    assert not uses._tally.waiting


def test_no_use_is_lost_between_threads() -> None:
    pk, taken = uuid4(), []
    done = threading.Event()

    def take() -> None:
        while not done.is_set():
            taken.append(uses._tally.take())

    def add() -> None:
        for _ in range(2000):
            uses.note(pk, pk, "ann")

    reader = threading.Thread(target=take)
    writers = [threading.Thread(target=add) for _ in range(4)]
    reader.start()
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join(30)
    done.set()
    reader.join(30)
    taken.append(uses._tally.take())
    assert sum(found[pk].count for found in taken if pk in found) == 8000


def test_a_thread_of_its_own_writes_when_it_is_due_and_ends(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(uses._behind, "_thread", None)
    written: list[dict[Any, Any]] = []
    settings.CATALOG_USE_INTERVAL = 0.2
    monkeypatch.setattr(uses, "_tally", uses._Tally())
    monkeypatch.setattr(uses, "flush", lambda: written.append(uses._tally.take()))
    pk = uuid4()
    uses.note(pk, pk, "ann")
    thread = uses._behind._thread
    assert thread is not None
    assert thread.daemon
    uses.note(pk, pk, "ann")
    assert uses._behind._thread is thread
    assert not written
    thread.join(20)
    assert not thread.is_alive()
    assert [found[pk].count for found in written] == [2]
    assert uses._behind._thread is None


PROCESS = """
import django
django.setup()
from connections.models import Connection
from connections.services import uses
row = Connection.objects.get()
for _ in range(7):
    uses.note(row.pk, row.organisation_id, "process")
"""


@pytest.mark.parametrize("processes", [2])
def test_processes_that_end_write_what_they_counted(tmp_path: Any, processes: int) -> None:

    env = {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{tmp_path}/own.sqlite3",
        "CATALOG_USE_INTERVAL": "3600",
        "DJANGO_SETTINGS_MODULE": "catalog_project.settings",
    }

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], env=env, capture_output=True, text=True, timeout=120, check=True
        )
        return done.stdout

    run("manage.py", "migrate", "-v0")
    make = (
        "from connections.services import tenancy; from connections.models import Connection;"
        "o = tenancy.create_organisation('acme', 'Acme');"
        "Connection.objects.create(organisation=o, slug='s', name='S', source='sqlite')"
    )
    run("manage.py", "shell", "-v0", "-c", make)
    running = [subprocess.Popen([sys.executable, "-c", PROCESS], env=env) for _ in range(processes)]
    deadline = time.monotonic() + 120
    assert [process.wait(deadline - time.monotonic()) for process in running] == [0] * processes
    shown = "from connections.models import ConnectionUse as U; u = U.objects.get(); print(u.uses, u.last_used_by)"
    assert run("manage.py", "shell", "-v0", "-c", shown).split() == [str(7 * processes), "process"]
