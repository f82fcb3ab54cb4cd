"""A catalogue in SQLite that somebody else writes for long: who asks is told within their own time."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from connections.models import APIKey, Event
from tests.catalogue import Tenant

pytestmark = pytest.mark.django_db(transaction=True)
QUERY = {"query": {"sql": "select id from orders"}, "limit": 2}


@contextmanager
def locked() -> Iterator[None]:
    """Somebody else has begun to write, and does not end."""
    with closing(sqlite3.connect(connection.get_connection_params()["database"], uri=True)) as other:
        other.execute("begin immediate")
        yield


@pytest.fixture
def shop(acme: Tenant) -> Tenant:
    acme.sqlite("Shop", rows=5)
    assert acme.api("analyst").post("connections/shop/preview/", QUERY).status_code == 200
    return acme


def test_a_preview_waits_for_the_lock_no_longer_than_it_has(shop: Tenant) -> None:
    before = Event.objects.count()
    with locked():
        began = time.monotonic()
        answer = shop.api("analyst").post("connections/shop/preview/", {**QUERY, "timeout": 1})
        took = time.monotonic() - began
    assert (answer.status_code, answer.json()["code"], answer.json()["transient"]) == (503, "busy", True)
    assert answer.headers["Retry-After"]
    assert 0.9 < took < 3
    assert Event.objects.count() == before
    with connection.cursor() as cursor:
        assert cursor.execute("pragma busy_timeout").fetchone() == (10_000,)
    assert shop.api("analyst").post("connections/shop/preview/", QUERY).status_code == 200


def test_noting_that_a_key_is_in_use_holds_nobody_up(shop: Tenant) -> None:
    long_ago = timezone.now() - timedelta(days=1)
    APIKey.objects.update(last_used_at=long_ago)
    with locked():
        began = time.monotonic()
        answer = shop.api("analyst").get("connections/")
        assert time.monotonic() - began < 3
    assert answer.status_code == 200
    assert not APIKey.objects.exclude(last_used_at=long_ago).exists()
    shop.api("analyst").get("connections/")
    assert APIKey.objects.filter(last_used_at__gt=long_ago).count() == 1
