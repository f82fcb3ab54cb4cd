"""The record decides: where the database takes no event, nothing is done; whatever changes something leaves one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection as database
from django.db import transaction

from connections.models import APIKey, Connection, Event, Membership, StatusCheck
from connections.services import connections
from connections.services.connections import Change
from connections.testing.leaks.silence import silence
from tests.catalogue import Tenant
from tests.routes import BODIES, Asker, Things, routes, things_of, with_keys

JSON = "application/json"
REFUSAL = "The disk is full."
SQLITE = f"create trigger refuse before insert on connections_event begin select raise(abort, '{REFUSAL}'); end"
POSTGRESQL = f"""
create function refuse() returns trigger language plpgsql as $$ begin raise exception '{REFUSAL}'; end $$;
create trigger refuse before insert on connections_event for each row execute function refuse();
"""
QUERY = {"query": {"sql": "select 1 as one"}}


@contextmanager
def no_event_is_taken() -> Iterator[None]:
    """The database itself refuses every event."""
    with database.cursor() as cursor:
        cursor.execute(POSTGRESQL if database.vendor == "postgresql" else SQLITE)
    try:
        yield
    finally:
        with database.cursor() as cursor:
            if database.vendor == "postgresql":
                cursor.execute("drop function refuse() cascade")
            else:
                cursor.execute("drop trigger refuse")


def stored() -> list[Any]:
    return [list(model.objects.order_by("pk").values()) for model in (Connection, Membership, StatusCheck)] + [
        list(APIKey.objects.order_by("pk").values("pk", "role", "revoked_at"))
    ]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("role", ["admin", "editor"])
def test_without_a_place_in_the_record_nothing_is_changed_and_no_source_is_reached(acme: Tenant, role: str) -> None:
    with silence() as far_side:
        config = {"host": "127.0.0.1", "port": far_side.port, "database": "d", "user": "u", "tls": {"mode": "disable"}}
        change = Change(name="Silent", config=config, secrets={"password": "x"})
        connections.create(acme.actor(), "postgresql", change)
        api = acme.api(role)
        before = stored()
        member = f"members/{Membership.objects.get(user=acme.people['viewer']).pk}/"
        with no_event_is_taken():
            answers = [
                api.post("connections/silent/preview/", QUERY),
                api.post("connections/silent/preview/?format=csv", QUERY),
                api.post("connections/silent/describe/", QUERY),
                api.get("connections/silent/tables/"),
                api.get("connections/silent/columns/?path=x"),
                api.post("connections/silent/status/"),
                api.post("connections/test/", {"source": "postgresql", "config": config}),
                api.post("connections/silent/secrets/stage/", {"secrets": {"password": "y"}}),
                api.post("connections/", {"name": "N", "source": "sqlite", "config": {"path": "x.sqlite3"}}),
                api.patch("connections/silent/", {"name": "N"}),
                api.post("connections/silent/pause/", {"reason": "r"}),
                api.post("connections/silent/clone/"),
                api.delete("connections/silent/"),
                api.delete("previews/some-request/"),
                acme.api("viewer").delete("connections/silent/"),
                acme.api("admin").post("members/", {"email": "a@b.example", "role": "viewer"}),
                acme.api("admin").patch(member, {"role": "admin"}),
                acme.api("admin").delete(member),
                acme.api("admin").post("api-keys/", {"name": "K", "role": "viewer"}),
            ]
        assert [answer.status_code for answer in answers] == [500] * len(answers)
        assert all(REFUSAL not in answer.content.decode() for answer in answers)
        assert stored() == before
        assert not far_side.reached.is_set()


NOTHING_CHANGES = {
    "api/v1/sources/<str:source>/parse-url/",  # reads a text and forgets it
    "api/v1/orgs/<slug:org>/connections/<slug:slug>/resume/",  # it is not paused
    "api/v1/orgs/<slug:org>/connections/<slug:slug>/revisions/<int:version>/restore/",  # it is at that version
}
"""What answers well here and leaves all as it was."""


@pytest.mark.django_db
def test_every_route_that_changes_or_does_something_leaves_an_event(
    acme: Tenant, globex: Tenant, superuser: Any
) -> None:
    things, asker = things_of(acme), with_keys(acme, globex)["admin"]
    silent = []
    done = 0
    for route in routes():
        for method in ("POST", "PATCH", "DELETE"):
            if not route.startswith("api/") or route in NOTHING_CHANGES:
                continue
            status, events = _asked(asker, method, route, things)
            if status < 400:
                done += 1
                silent += [f"{method} {route} ({status})"] if not events else []
    assert silent == []
    assert done > 15


def _asked(asker: Asker, method: str, route: str, things: Things) -> tuple[int, int]:
    """The status of the answer, and how many events there are more after it; all of it is undone."""
    with transaction.atomic():
        before = Event.objects.count()
        headers = {"Authorization": f"Bearer {asker.key}"}
        body: dict[str, Any] = {"data": json.dumps(BODIES.get(f"{method} {route}", {})), "content_type": JSON}
        answer = asker.client.generic(method, things.path(route), **body, headers=headers)
        if answer.streaming:
            answer.getvalue()
        more = Event.objects.count() - before
        transaction.set_rollback(True)
    return answer.status_code, more


def test_the_bodies_of_routes_are_those_of_routes_that_exist() -> None:
    known = set(routes())
    assert all(key.partition(" ")[2] in known for key in BODIES)
