"""Whoever loses the right to something loses what runs for them, and what waits to run."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from connections.api.formats import BrokenOff
from connections.models import APIKey, Connection, ConnectionSecrets, Event, Membership, Organisation
from connections.services import standing, tenancy, vault, visits
from connections.services.here import runner_here
from tests.api.test_running import SECONDS, SLEEP, in_background, wait_for
from tests.catalogue import API, Tenant
from tests.servers.pausable import PausableServer

pytestmark = pytest.mark.django_db(transaction=True)
PATH = "/api/v1/orgs/acme/connections/warehouse/preview/"
ENDLESS = {"query": {"sql": "select n, pg_sleep(0.0005) from generate_series(1, 1000000) n"}, "limit": 1_000_000}


@pytest.fixture
def warehouse(acme: Tenant, postgresql: PausableServer, settings: Any) -> Tenant:
    settings.CATALOG_RECHECK_SECONDS = 0.2
    standing.watch.doubt()  # whoever sleeps by the old interval wakes up
    acme.database("postgresql", postgresql)
    return acme


@pytest.fixture
def silent() -> Iterator[tuple[str, int]]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()


def key_of(tenant: Tenant, **body: Any) -> tuple[str, API]:
    """A key of an administrator who is not the last one: its id, and the API as it sees it."""
    Membership.objects.filter(organisation=tenant.organisation, user=tenant.people["editor"]).update(role="admin")
    made = tenant.browser("editor").post(
        f"/api/v1/orgs/{tenant.slug}/api-keys/",
        {"name": "Made", "role": "analyst", **body},
        content_type="application/json",
    )
    return made.json()["id"], API(tenant.slug, made.json()["key"])


def membership(tenant: Tenant, role: str) -> Any:
    return Membership.objects.filter(organisation=tenant.organisation, user=tenant.people[role])


End = Callable[[Tenant, str], Any]
BY_THE_CATALOGUE: dict[str, End] = {
    "the key is revoked": lambda acme, key: acme.api("admin").delete(f"api-keys/{key}/"),
    "its maker leaves": lambda acme, key: acme.api("admin").delete(f"members/{membership(acme, 'editor').get().pk}/"),
    "its maker's role is lowered": lambda acme, key: acme.api("admin").patch(
        f"members/{membership(acme, 'editor').get().pk}/", {"role": "viewer"}
    ),
    "the connection is paused": lambda acme, key: acme.api("admin").post(
        "connections/warehouse/pause/", {"reason": "Maintenance"}
    ),
    "the connection is deleted": lambda acme, key: acme.api("admin").delete("connections/warehouse/"),
    "the organisation is suspended": lambda acme, key: tenancy.configure(
        visits.as_platform(get_user_model()._default_manager.get(username="platform"), acme.organisation),
        {"suspended_at": timezone.now()},
    ),
}
BEHIND_ITS_BACK: dict[str, End] = {
    "the key expires": lambda acme, key: APIKey.objects.filter(pk=key).update(
        expires_at=timezone.now() - timedelta(seconds=1)
    ),
    "its maker is made inactive": lambda acme, key: (
        get_user_model()._default_manager.filter(pk=acme.people["editor"].pk).update(is_active=False)
    ),
    "the connection leaves its reach": lambda acme, key: APIKey.objects.get(pk=key).reach.all().delete(),
    "another process suspends the organisation": lambda acme, key: Organisation.objects.filter(
        pk=acme.organisation.pk
    ).update(suspended_at=timezone.now()),
    "another process pauses the connection": lambda acme, key: Connection.objects.filter(slug="warehouse").update(
        paused_at=timezone.now()
    ),
}


@pytest.mark.parametrize("ending", [*BY_THE_CATALOGUE, *BEHIND_ITS_BACK])
def test_a_preview_that_runs_is_cancelled_when(warehouse: Tenant, superuser: Any, ending: str) -> None:
    key, api = key_of(warehouse, connections=["warehouse"])
    with in_background(lambda: api.post("connections/warehouse/preview/", SLEEP)) as [asked]:
        wait_for(1)
        assert standing.watch.look() == 0
        started = time.monotonic()
        (BY_THE_CATALOGUE | BEHIND_ITS_BACK)[ending](warehouse, key)
        answer = asked.result(SECONDS)
        assert time.monotonic() - started < 5
    assert (answer.status_code, answer.json()["code"]) == (409, "cancelled")
    ends = Event.objects.filter(action="connection.preview", result="failed").values_list("code", flat=True)
    assert list(ends) == ["cancelled"]


def test_a_persons_preview_is_cancelled_when_they_leave(warehouse: Tenant) -> None:
    browser: Client = warehouse.browser("analyst")
    with in_background(lambda: browser.post(PATH, SLEEP, content_type="application/json")) as [asked]:
        wait_for(1)
        warehouse.api("admin").delete(f"members/{membership(warehouse, 'analyst').get().pk}/")
        assert asked.result(SECONDS).json()["code"] == "cancelled"
    assert browser.post(PATH, SLEEP, content_type="application/json").status_code == 404


def test_a_check_of_unsaved_settings_needs_an_editor_to_the_end(warehouse: Tenant, silent: tuple[str, int]) -> None:
    config = {"host": silent[0], "port": silent[1], "database": "x", "user": "x", "tls": {"mode": "disable"}}
    body = {"source": "postgresql", "config": config, "secrets": {"password": "something"}}
    browser = warehouse.browser("editor")
    call = lambda: browser.post("/api/v1/orgs/acme/connections/test/", body, content_type="application/json")  # noqa: E731
    with in_background(call) as [asked]:
        wait_for(1)
        warehouse.api("admin").patch(f"members/{membership(warehouse, 'editor').get().pk}/", {"role": "analyst"})
        assert asked.result(SECONDS).json()["code"] == "cancelled"


def test_new_secrets_are_tested_to_the_end_by_a_key_that_reaches_their_connection(warehouse: Tenant) -> None:
    _, api = key_of(warehouse, role="editor", connections=["warehouse"])
    assert api.patch("connections/warehouse/", {"probe": {"sql": "select pg_sleep(1.5)"}}).status_code == 200
    secret = vault.unseal(Connection.objects.get(slug="warehouse"))
    with in_background(lambda: api.post("connections/warehouse/secrets/stage/", {"secrets": secret})) as [asked]:
        assert asked.result(SECONDS).json()["rotation"]["pending"]["ok"] is True
    with in_background(lambda: api.post("connections/warehouse/secrets/stage/", {"secrets": secret})) as [asked]:
        wait_for(1)
        APIKey.objects.get(restricted=True).reach.all().delete()
        assert asked.result(SECONDS).json().get("code", "cancelled") in ("cancelled", "not_found")
    pending = ConnectionSecrets.objects.get(slot="pending")
    assert (pending.tested_ok, pending.tested_code) == (None, "cancelled")


def test_jobs_that_wait_for_their_turn_are_refused(warehouse: Tenant) -> None:
    limits = {"connection_jobs": 8, "organisation_jobs": 8}
    Organisation.objects.filter(pk=warehouse.organisation.pk).update(budgets=limits)
    key, api = key_of(warehouse)
    body = {"query": {"sql": "select pg_sleep(50)"}, "timeout": 50}
    secret = api._headers["Authorization"].removeprefix("Bearer ")
    calls = [lambda: API("acme", secret).post("connections/warehouse/preview/", body)] * 7  # six may run
    with in_background(*calls) as asked:
        wait_for(6)
        until = time.monotonic() + SECONDS
        while not runner_here().status()["workers"]["waiting"]:
            assert time.monotonic() < until
            time.sleep(0.02)
        started = time.monotonic()
        warehouse.api("admin").delete(f"api-keys/{key}/")
        codes = [answer.result(SECONDS).json()["code"] for answer in asked]
        assert codes.count("cancelled") >= 1
        assert set(codes) <= {"cancelled", "unauthenticated"}  # one that had not begun may be judged anew
        assert time.monotonic() - started < 10
    assert api.get("connections/").status_code == 401


def test_an_export_that_streams_over_http_ends_with_an_error_line(warehouse: Tenant, live_server: Any) -> None:
    key, api = key_of(warehouse)
    url = f"{live_server}{PATH}?format=ndjson"
    with httpx.stream("POST", url, json=ENDLESS, headers=api._headers, timeout=SECONDS) as answer:
        assert answer.status_code == 200
        parts = answer.iter_bytes()
        read = [next(parts)]
        started = time.monotonic()
        warehouse.api("admin").delete(f"api-keys/{key}/")
        read += parts
        assert time.monotonic() - started < 5
    assert orjson.loads(b"".join(read).splitlines()[-1])["error"]["code"] == "cancelled"
    assert httpx.get(f"{live_server}/api/v1/orgs/", headers=api._headers).status_code == 401


def test_an_export_without_error_lines_is_aborted(warehouse: Tenant) -> None:
    key, api = key_of(warehouse)
    answer = api.post("connections/warehouse/preview/?format=csv", ENDLESS)
    parts = iter(answer.streaming_content)
    assert next(parts)
    warehouse.api("admin").delete(f"api-keys/{key}/")
    with pytest.raises(BrokenOff, match=r"cancelled\.$"):
        list(parts)


def test_others_go_on_and_nobody_looks_when_nothing_runs(warehouse: Tenant) -> None:
    key, _ = key_of(warehouse)
    api = warehouse.api("analyst")
    body = {"query": {"sql": "select pg_sleep(1.5), 1 as one"}}
    with in_background(lambda: api.post("connections/warehouse/preview/", body)) as [asked]:
        wait_for(1)
        warehouse.api("admin").delete(f"api-keys/{key}/")
        assert asked.result(SECONDS).status_code == 200
    until = time.monotonic() + SECONDS
    while standing.watch._awake:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert any(thread.name == "catalog-standing" for thread in threading.enumerate())
