"""Who previews again is admitted and put on record by one statement, which sees all that the first admission saw."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.contrib.auth import get_user_model
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connections.adapters.errors import BusyError
from connections.models import APIKey, Connection, Event, Membership, Organisation
from connections.services import admission, api_keys, jobs, walls
from tests.api.test_wsgi import Server
from tests.catalogue import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(acme: Tenant) -> Server:
    acme.sqlite("Shop", rows=5)
    found = Server(acme.keys["analyst"])
    assert found.post().status == "200 OK"
    return found


def started() -> int:
    return Event.objects.filter(action="connection.preview", result="started").count()


def test_a_second_preview_takes_one_statement(server: Server) -> None:
    with CaptureQueriesContext(database) as seen:
        answer = server.post()
    assert (answer.status, answer.by_django) == ("200 OK", False)
    found = [query["sql"] for query in seen.captured_queries if "connections_" in query["sql"]]
    before = [sql for sql in found if "started" in sql]
    assert len(before) == 1
    assert before[0].startswith("INSERT")
    assert not [sql for sql in found if sql.startswith("SELECT") and "connections_apikey" in sql]


CHANGES: dict[str, tuple[Callable[[], Any], str]] = {
    "the key was revoked": (lambda: APIKey.objects.update(revoked_at=timezone.now()), "401"),
    "the key has expired": (lambda: APIKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1)), "401"),
    "the key is another's now": (lambda: APIKey.objects.filter(role="analyst").update(digest="0" * 64), "401"),
    "the key reaches less": (lambda: APIKey.objects.update(restricted=True), "404"),
    "the key may only look": (lambda: APIKey.objects.update(role="viewer"), "403"),
    "its maker may only look": (lambda: Membership.objects.update(role="viewer"), "403"),
    "its maker has left": (lambda: get_user_model().objects.update(is_active=False), "401"),
    "the organisation is suspended": (lambda: Organisation.objects.update(suspended_at=timezone.now()), "401"),
    "the organisation has another name": (lambda: Organisation.objects.update(slug="ajax"), "404"),
    "the connection is gone": (lambda: Connection.objects.all().delete(), "404"),
    "the connection is paused": (lambda: Connection.objects.update(paused_at=timezone.now()), "409"),
    "the source is unknown": (lambda: Connection.objects.update(source="nothing"), "409"),
    "the settings do not fit": (lambda: Connection.objects.update(config={"path": 5}), "409"),
    "it has other settings": (lambda: Connection.objects.update(config={"path": "none.sqlite"}), "424"),
    "the organisation may have less": (lambda: Organisation.objects.update(budgets={"preview_rows": 1}), "400"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_meanwhile_counts(server: Server, change: str) -> None:
    made, status = CHANGES[change]
    before = started()
    made()
    answer = server.post()
    now = started()
    admission._known.clear()
    anew = server.post()
    assert answer.status[:3] == anew.status[:3] == status
    assert answer.json["code"] == anew.json["code"]
    assert now - before == started() - now  # what is refused before it begins is not said to have started


def test_a_longer_name_or_note_makes_no_difference(server: Server) -> None:
    Connection.objects.update(name="Store", version=7, status_code="deadline")
    answer = server.post()
    assert answer.json["connection"]["version"] == 7
    assert Event.objects.filter(result="started").latest("at").object_label == "Store"


def test_the_use_of_a_key_is_still_noted(server: Server) -> None:
    long_ago = timezone.now() - timedelta(hours=1)
    APIKey.objects.update(last_used_at=long_ago)
    server.post()
    assert APIKey.objects.get(role="analyst").last_used_at == long_ago  # noted within this minute, as far as is known
    for known in admission._known.values():
        object.__setattr__(known, "at", known.at - api_keys.USE_RESOLUTION)
    server.post()
    noted = APIKey.objects.get(role="analyst").last_used_at
    assert noted is not None
    assert noted > long_ago


def test_a_refusal_of_one_who_is_recalled_is_on_record_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise BusyError("Full.", retry_after=1)

    monkeypatch.setattr(jobs, "submit", full)
    before = Event.objects.count()
    assert server.post().json["code"] == "busy"
    found = Event.objects.order_by("at")[before:]
    assert [(event.result, event.code, event.detail["begun"]) for event in found] == [("failed", "busy", False)]


def test_one_whose_right_ended_while_waiting_is_told_so(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        with walls.platform():
            APIKey.objects.update(revoked_at=timezone.now())
        raise BusyError("Full.", retry_after=1)

    monkeypatch.setattr(jobs, "submit", full)
    assert server.post().status.startswith("401")


def test_what_was_waited_already_counts(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place was waited for, and then the connection was another one."""
    left: list[float] = []
    submit = jobs.submit

    def slow(*args: Any, **kwargs: Any) -> Any:
        left.append(kwargs["timeout"])
        if len(left) == 1:
            time.sleep(0.5)
            with walls.platform():
                Connection.objects.update(version=9)
        return submit(*args, **kwargs)

    monkeypatch.setattr(jobs, "submit", slow)
    assert server.post().status == "200 OK"
    assert left[1] <= left[0] - 0.5


def test_a_connection_to_the_database_that_was_lost_is_opened_anew(server: Server) -> None:
    lost = database.connection
    if database.vendor == "postgresql":
        with psycopg.connect(**database.get_connection_params() | {"cursor_factory": psycopg.Cursor}) as other:
            other.execute("select pg_terminate_backend(%s, 5000)", (lost.info.backend_pid,))
    else:
        database.close()
    assert server.post().status == "200 OK"
    assert database.connection is not lost
