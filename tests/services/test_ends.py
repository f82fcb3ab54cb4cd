"""Ends of work: kept for a moment, written many at a time, and lost only with the process that keeps them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import InterfaceError, InternalError, OperationalError, ProgrammingError, transaction
from django.utils import timezone

from connections.models import Event
from connections.models.base import uuid7
from connections.services import ends, events
from connections.services.rows import insert_many_unsynced
from tests.catalogue import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def keeping(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.CATALOG_ENDS_INTERVAL = 3600.0
    monkeypatch.setattr(ends._behind, "_thread", threading.current_thread())  # nothing writes but the test
    yield
    ends._kept.clear()


def end(tenant: Tenant, row: Any, code: str = "", actor: Any = None) -> None:
    actor = actor or tenant.actor("viewer")
    entry = events.Entry(actor, "connection.preview", row, {"limit": 5})
    entry.begun = True  # its start would only be in the way here
    entry.end("ok", code, rows=3)


def written() -> list[Event]:
    return list(Event.objects.filter(action="connection.preview").order_by("at"))


def test_ends_are_written_together_each_with_the_moment_it_was_of(
    acme: Tenant, globex: Tenant, django_assert_max_num_queries: Any
) -> None:
    row, other = acme.sqlite(), globex.sqlite()
    one, two = acme.actor("viewer"), globex.actor("viewer")
    with django_assert_max_num_queries(0):
        end(acme, row, actor=one)
        end(globex, other, actor=two)
    kept = timezone.now()
    time.sleep(0.05)
    assert not written()
    with django_assert_max_num_queries(6):
        ends.write()
    first, second = written()
    assert [first.organisation_id, second.organisation_id] == [acme.organisation.pk, globex.organisation.pk]
    assert [first.object_id, first.result, first.detail] == [str(row.pk), "ok", {"limit": 5, "rows": 3}]
    assert kept - timedelta(seconds=10) < first.at <= second.at <= kept
    ends.write()
    assert len(written()) == 2


def test_who_reads_the_record_finds_the_ends_that_this_process_keeps(acme: Tenant) -> None:
    end(acme, acme.sqlite())
    assert events.visible_events(acme.actor("admin")).filter(action="connection.preview").count() == 1


def test_what_cannot_be_written_now_is_written_the_next_time_in_order(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    row = acme.sqlite()
    for code in ("a", "b"):
        end(acme, row, code)
    with monkeypatch.context() as broken:
        broken.setattr(ends, "insert_many_unsynced", _locked)
        ends.write()
    assert "2 ends were not recorded, and will be tried again: OperationalError" in caplog.text
    end(acme, row, "c")
    ends.write()
    assert [event.code for event in written()] == ["a", "b", "c"]


def _locked(*args: Any) -> None:
    raise OperationalError("database is locked")


class Failing:
    """The insert, of which one call fails: instead of writing, or after it wrote."""

    def __init__(self, call: int, error: type[Exception], *, after: bool = False) -> None:
        self._left, self._error, self._after = call, error, after

    def __call__(self, model: Any, rows: Any) -> None:
        self._left -= 1
        if self._left or self._after:
            insert_many_unsynced(model, rows)
        if not self._left:
            raise self._error("the server closed the connection")


@pytest.mark.parametrize("error", [InternalError, ProgrammingError, InterfaceError])
def test_no_failure_of_the_database_loses_an_end(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    row = acme.sqlite()
    for code in ("a", "b"):
        end(acme, row, code)
    monkeypatch.setattr(ends, "insert_many_unsynced", Failing(1, error))
    ends.write()
    assert not written()
    ends.write()
    assert [event.code for event in written()] == ["a", "b"]


def test_a_commit_whose_answer_is_lost_doubles_no_end(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    row = acme.sqlite()
    for code in ("a", "b"):
        end(acme, row, code)
    monkeypatch.setattr(ends, "insert_many_unsynced", Failing(1, OperationalError, after=True))
    ends.write()
    end(acme, row, "c")
    ends.write()
    assert [event.code for event in written()] == ["a", "b", "c"]


def test_what_was_written_one_by_one_is_not_written_again(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    row = acme.sqlite()
    end(acme, row, "a")
    ends._kept.append({**ends._kept[0], "id": uuid7(), "action": None})
    end(acme, row, "b")
    # All together, the first, the bad one, the last:
    monkeypatch.setattr(ends, "insert_many_unsynced", Failing(4, OperationalError))
    ends.write()
    assert [event.code for event in written()] == ["a"]
    ends.write()
    assert [event.code for event in written()] == ["a", "b"]


def test_what_never_began_is_on_record_at_once(acme: Tenant) -> None:
    events.Entry(acme.actor("viewer"), "connection.preview", acme.sqlite(), {}).end("failed", "throttled")
    assert [event.code for event in written()] == ["throttled"]


def test_an_end_that_the_database_never_takes_holds_up_no_other(acme: Tenant, caplog: pytest.LogCaptureFixture) -> None:
    row = acme.sqlite()
    end(acme, row, "a")
    ends._kept.append({**ends._kept[0], "id": uuid7(), "action": None})
    end(acme, row, "b")
    ends.write()
    assert [event.code for event in written()] == ["a", "b"]
    assert "was not recorded: IntegrityError" in caplog.text
    assert not ends._kept


def test_nothing_is_written_into_a_transaction_that_might_be_undone(acme: Tenant) -> None:
    row = acme.sqlite()
    with pytest.raises(ZeroDivisionError):
        _end_in_a_transaction_that_fails(acme, row)
    ends.write()
    assert len(written()) == 1


@transaction.atomic
def _end_in_a_transaction_that_fails(acme: Tenant, row: Any) -> None:
    end(acme, row)
    ends.write()
    raise ZeroDivisionError


def test_more_than_is_kept_is_written_at_once(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends, "MOST", 2)
    row = acme.sqlite()
    for code in "abc":
        end(acme, row, code)
    assert [event.code for event in written()] == ["c"]


def test_where_ends_are_not_kept_each_is_written_at_once(acme: Tenant, settings: Any) -> None:
    settings.CATALOG_ENDS_INTERVAL = 0
    end(acme, acme.sqlite())
    assert len(written()) == 1


def test_a_thread_writes_them_in_a_moment(acme: Tenant, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CATALOG_ENDS_INTERVAL = 0.1
    monkeypatch.setattr(ends._behind, "_thread", None)
    monkeypatch.setattr(ends._behind, "_linger", 0.0)
    end(acme, acme.sqlite())
    thread = ends._behind._thread
    assert thread is not None
    thread.join(30)
    assert not thread.is_alive()
    assert len(written()) == 1


PROCESS = """
import django
django.setup()
from connections.models import Connection, Event
from connections.services import ends
row = Connection.objects.get()
for n in range(7):
    assert ends.keep({"organisation_id": row.organisation_id, "actor_kind": "system", "actor_label": "etl",
        "action": "connection.preview", "result": "ok", "request_id": f"r{n}"})
assert not Event.objects.filter(action="connection.preview").exists()
"""


def test_a_process_that_ends_writes_what_it_kept(tmp_path: Any) -> None:
    env = {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{tmp_path}/own.sqlite3",
        "CATALOG_ENDS_INTERVAL": "3600",
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
    run("-c", PROCESS)
    count = "from connections.models import Event; print(Event.objects.filter(action='connection.preview').count())"
    assert run("manage.py", "shell", "-v0", "-c", count).split() == ["7"]
