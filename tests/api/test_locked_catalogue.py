"""A catalogue that somebody else writes for long: who asks is told within their own time, on either database."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.utils import timezone

from connections.models import APIKey, Connection, Event, StatusCheck
from connections.services import waiting
from tests.catalogue import Tenant

pytestmark = pytest.mark.django_db(transaction=True)
QUERY = {"query": {"sql": "select id from orders"}, "limit": 2}
USUAL = 3.0  # seconds that a session waits here
SQLITE = connection.vendor == "sqlite"
RECORD = "lock table connections_event in access exclusive mode"
SECONDS = "extract(epoch from current_setting('lock_timeout')::interval)"
CONNECTIONS = "select from connections_connection for update"


@contextmanager
def locked(what: str = RECORD) -> Iterator[None]:
    """Somebody else has begun to write, and does not end. In SQLite that is all of it, in PostgreSQL ``what``."""
    if SQLITE:
        with closing(sqlite3.connect(connection.get_connection_params()["database"], uri=True)) as other:
            other.execute("begin immediate")
            yield
        return
    named = {name: connection.settings_dict[name] for name in ("HOST", "PORT", "USER", "PASSWORD")}
    params = {name.lower(): value for name, value in named.items() if value}
    with closing(psycopg.connect(dbname=connection.settings_dict["NAME"], **params)) as other_session:
        other_session.execute("select set_config('catalog.scope', 'platform', false)")
        other_session.execute(what)
        yield


@pytest.fixture(autouse=True)
def _impatient(settings: Any, transactional_db: None) -> Iterator[None]:
    settings.CATALOG_LOCK_TIMEOUT = USUAL
    connection.close()
    yield
    connection.close()


@pytest.fixture
def shop(acme: Tenant) -> Tenant:
    acme.sqlite("Shop", rows=5)
    assert acme.api("analyst").post("connections/shop/preview/", QUERY).status_code == 200
    return acme


def timed(ask: Callable[[], Any], what: str = RECORD) -> tuple[Any, float]:
    """The answer while somebody else writes, and the seconds until it came."""
    with locked(what):
        began = time.monotonic()
        answer = ask()
        return answer, time.monotonic() - began


def is_told(answer: Any) -> bool:
    """Whether the answer is the problem that tells of a lock, and what to do."""
    body = answer.json()
    assert (answer.status_code, body["code"], body["transient"], body["title"]) == (
        *(503, "busy", True),
        "The catalogue is busy",
    )
    assert "held the catalogue's own database" in body["detail"]
    assert "Try again shortly" in body["hint"]
    assert "Traceback" not in answer.content.decode()
    return bool(int(answer.headers["Retry-After"]))


def patience() -> float:
    """How long this session waits, as the database has it, in seconds."""
    with connection.cursor() as cursor:
        cursor.execute(
            "pragma busy_timeout" if SQLITE else "select extract(epoch from current_setting('lock_timeout')::interval)"
        )
        return float(cursor.fetchone()[0]) / (1000 if SQLITE else 1)


# What has a deadline -------------------------------------------------------------------------------------------------


def test_a_preview_waits_for_the_lock_no_longer_than_it_has(shop: Tenant) -> None:
    """On PostgreSQL it may wait as long as the session does: telling that less would cost every preview."""
    before = Event.objects.count()
    answer, took = timed(lambda: shop.api("analyst").post("connections/shop/preview/", {**QUERY, "timeout": 1}))
    assert is_told(answer)
    assert took < (3 if SQLITE else USUAL + 2)
    assert Event.objects.count() == before
    assert patience() == USUAL
    assert shop.api("analyst").post("connections/shop/preview/", QUERY).status_code == 200


def test_a_preview_that_is_refused_is_on_record_or_answered_within_its_time(shop: Tenant, settings: Any) -> None:
    settings.CATALOG_HOST_JOBS = 0  # every job is refused
    ask = {**QUERY, "timeout": 1}
    answer, took = timed(lambda: shop.api("analyst").post("connections/shop/preview/", ask))
    assert is_told(answer)
    assert took < 2.5
    assert patience() == USUAL
    refused = shop.api("analyst").post("connections/shop/preview/", ask)
    assert (refused.status_code, refused.json()["title"]) == (503, "No worker is free")


@pytest.mark.parametrize("verb", ["describe", "tables", "columns"])
def test_browsing_waits_no_longer_than_it_has(shop: Tenant, verb: str) -> None:
    shop.organisation.budgets = {"preview_timeout": 1.0}
    shop.organisation.save()
    api = shop.api("analyst")
    asks: dict[str, Callable[[], Any]] = {
        "describe": lambda: api.post("connections/shop/describe/", {"query": QUERY["query"]}),
        "tables": lambda: api.get("connections/shop/tables/"),
        "columns": lambda: api.get("connections/shop/columns/?path=orders"),
    }
    answer, took = timed(asks[verb])
    assert is_told(answer)
    assert 0.9 < took < 2.5
    assert patience() == USUAL
    assert asks[verb]().status_code == 200


@pytest.mark.parametrize("saved", [True, False])
def test_a_status_check_waits_no_longer_than_it_has(shop: Tenant, saved: bool) -> None:
    shop.organisation.budgets = {"check_timeout": 1.0}
    shop.organisation.save()
    api = shop.api("editor")
    draft = {"source": "sqlite", "config": {"path": "shop.sqlite3"}}
    answer, took = timed(
        lambda: api.post("connections/shop/status/") if saved else api.post("connections/test/", draft)
    )
    assert is_told(answer)
    assert 0.9 < took < 2.5
    assert patience() == USUAL


def test_what_is_left_of_the_time_is_for_the_work(shop: Tenant) -> None:
    """A lock that is given back in time costs the work that time."""
    shop.organisation.budgets = {"preview_timeout": 2.5}
    shop.organisation.save()
    threading.Timer(1.0, (release := threading.Event()).set).start()
    held = threading.Event()

    def hold() -> None:
        with locked():
            held.set()
            release.wait(30)

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(30)
    answer = shop.api("analyst").post("connections/shop/describe/", {"query": QUERY["query"]})
    other.join(30)
    assert answer.status_code == 200
    assert list(Event.objects.filter(action="connection.describe").order_by("at").values_list("result", flat=True)) == [
        *("started", "ok"),
    ]


# What has none -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "connections/", {"name": "Other", "source": "sqlite", "config": {"path": "other.sqlite3"}}),
        ("PATCH", "connections/shop/", {"description": "new"}),
        ("POST", "connections/shop/pause/", {"reason": "r"}),
        ("DELETE", "connections/shop/", None),
        ("POST", "members/", {"email": "a@b.example", "role": "viewer"}),
        ("POST", "api-keys/", {"name": "K", "role": "viewer"}),
    ],
)
def test_a_write_waits_as_long_as_the_session_does_and_changes_nothing(
    shop: Tenant, method: str, path: str, body: Any
) -> None:
    role = "admin" if path.startswith(("members", "api-keys")) else "editor"
    before = list(Connection.objects.values())
    answer, took = timed(lambda: shop.api(role)(method, path, body))
    assert is_told(answer)
    assert USUAL - 1 < took < USUAL + 2
    assert list(Connection.objects.values()) == before


def test_a_refusal_that_cannot_be_put_on_record_is_no_server_error(shop: Tenant) -> None:
    answer, took = timed(lambda: shop.api("viewer").post("connections/shop/preview/", QUERY))
    assert is_told(answer)
    assert took < USUAL + 2


def test_noting_that_a_key_is_in_use_holds_nobody_up(shop: Tenant) -> None:
    long_ago = timezone.now() - timedelta(days=1)
    APIKey.objects.update(last_used_at=long_ago)
    answer, took = timed(lambda: shop.api("analyst").get("connections/"), "select from connections_apikey for update")
    assert took < 1.5
    assert answer.status_code == 200
    assert not APIKey.objects.exclude(last_used_at=long_ago).exists()
    shop.api("analyst").get("connections/")
    assert APIKey.objects.filter(last_used_at__gt=long_ago).count() == 1


def test_a_row_that_somebody_holds_is_waited_for_no_longer(shop: Tenant) -> None:
    shop.organisation.budgets = {"check_timeout": 2.0}
    shop.organisation.save()
    api = shop.api("editor")
    for ask, least, most in (
        (lambda: api.patch("connections/shop/", {"description": "new"}), USUAL - 1, USUAL + 2),
        (lambda: api.post("connections/shop/status/"), 0.9, 4.5),  # the check is made, and its status not stored
    ):
        answer, took = timed(ask, CONNECTIONS)
        assert is_told(answer)
        assert least < took < most
    assert not StatusCheck.objects.exists()
    if not SQLITE:
        assert list(Event.objects.filter(action="connection.check").order_by("at").values_list("result", "code")) == [
            ("started", ""),
            ("failed", "busy"),
        ]


# The admin -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["editor", "admin"])
def test_the_admin_shows_a_page_that_says_so(shop: Tenant, who: str, caplog: pytest.LogCaptureFixture) -> None:
    browser = shop.browser(who)
    browser.raise_request_exception = False
    row = Connection.objects.get()
    path = f"/admin/connections/connection/{row.pk}/pause/"
    answer, took = timed(lambda: browser.post(path, {"reason": "r"}))
    page = answer.content.decode()
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert took < USUAL + 2
    assert "<h1>The catalogue is busy</h1>" in page
    assert "Try again shortly" in page
    assert "before you send it again" in page
    assert "Traceback" not in page + caplog.text
    assert "locked" not in page
    row.refresh_from_db()
    assert row.paused_at is None
    assert browser.get(f"/admin/connections/connection/{row.pk}/change/").status_code == 200


def test_logging_in_is_answered_in_the_same_way(shop: Tenant) -> None:
    browser = Client(raise_request_exception=False)
    person = shop.people["viewer"]
    form = {"username": person.get_username(), "password": "acme viewer pass"}
    answer, _ = timed(lambda: browser.post("/admin/login/", form), "lock table django_session in access exclusive mode")
    assert answer.status_code == 503
    assert "The catalogue is busy" in answer.content.decode()


def test_what_the_middleware_cannot_write_is_a_problem_at_the_apis_door(shop: Tenant) -> None:
    browser = shop.browser("viewer")
    browser.raise_request_exception = False
    session = browser.session
    session.modified = True
    url = "/api/v1/orgs/acme/connections/"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.conf.settings.SESSION_SAVE_EVERY_REQUEST", True)
        answer, _ = timed(lambda: browser.get(url), "lock table django_session in share mode")
    assert is_told(answer)


# What is said to a session -------------------------------------------------------------------------------------------


def test_within_is_over_with_its_block_whatever_happens_in_it(shop: Tenant) -> None:
    with waiting.within(1):
        assert patience() == 1
        with waiting.within(2.5):
            assert patience() == 1
    assert patience() == USUAL
    with pytest.raises(DatabaseError), transaction.atomic(), waiting.within(1), connection.cursor() as cursor:
        cursor.execute("select from nowhere at all")
    assert patience() == USUAL
    with pytest.raises(DatabaseError), waiting.within(1), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("select from nowhere at all")
    assert patience() == USUAL
    with waiting.within(1):
        connection.close()
        assert patience() == USUAL
    assert patience() == USUAL


def test_commands_wait_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_at_terminal", True)
    connection.close()
    assert patience() == (60 if SQLITE else 0)  # to PostgreSQL, 0 is for ever
