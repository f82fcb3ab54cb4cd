"""Two organisations with people, keys and files, and a client for the API: what tests of the catalogue share."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from connections.models import Event, Membership, Organisation, Role
from connections.services import api_keys, connections, jobs, tenancy
from connections.services.actor import Actor
from connections.services.connections import Change
from connections.testing.emptying import guard_the_record

CANARY = "C4n4ry-%40'\"\\é{}"


@dataclass
class Tenant:
    """An organisation with one person and one API key for each role."""

    organisation: Organisation
    people: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        return self.organisation.slug

    def actor(self, role: str = "editor") -> Actor:
        return tenancy.actor_of(self.people[role], self.slug, request_id="test-request")

    def api(self, role: str = "editor") -> API:
        return API(self.slug, self.keys[role])

    def browser(self, role: str = "editor") -> Client:
        """A Django test client that is logged in."""
        client = Client()
        client.force_login(self.people[role], backend="connections.admin.backend.MembershipBackend")
        return client

    def sqlite(self, name: str = "Shop", rows: int = 3, **config: Any) -> Any:
        """A connection to a SQLite file of the organisation: a table ``orders`` with ``id`` and ``item``."""
        path = jobs.files_root(self.organisation) / f"{name.lower()}.sqlite3"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("create table orders (id integer primary key, item text)")
            database.executemany("insert into orders values (?, ?)", [(n, f"item {n}") for n in range(1, rows + 1)])
        change = Change(name=name, config={"path": path.name, **config})
        return connections.create(self.actor("editor"), "sqlite", change)

    def database(self, source: str, server: Any, name: str = "Warehouse", **config: Any) -> Any:
        """A connection to one of the tests' servers, as its reader."""
        login = server.login()
        secrets = {"password": login.pop("password")}
        change = Change(name=name, config={**login, "tls": {"mode": "disable"}, **config}, secrets=secrets)
        return connections.create(self.actor("editor"), source, change)


class API:
    """The REST API as one key sees it. Answers are Django test responses; ``.json()`` as usual."""

    def __init__(self, org: str, key: str | None) -> None:
        self.org = org
        self._client = Client()
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """``path`` is under ``/api/v1/orgs/<org>/`` unless it starts with a slash."""
        url = f"/api/v1{path}" if path.startswith("/") else f"/api/v1/orgs/{self.org}/{path}"
        content: dict[str, Any] = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        return self._client.generic(method, url, **content, headers={**self._headers, **headers})

    def get(self, path: str, **headers: str) -> Any:
        return self("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self("POST", path, {} if body is None else body, **headers)

    def patch(self, path: str, body: Any, **headers: str) -> Any:
        return self("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self("DELETE", path, **headers)


def make_tenant(slug: str, name: str) -> Tenant:
    tenant = Tenant(tenancy.create_organisation(slug, name))
    for role in Role.values:
        person = get_user_model()._default_manager.create_user(
            f"{slug}-{role}", email=f"{role}@{slug}.example", password=f"{slug} {role} pass", is_staff=True
        )
        Membership.objects.create(organisation=tenant.organisation, user=person, role=role)
        tenant.people[role] = person
    for role in Role.values:
        _, tenant.keys[role] = api_keys.create(tenant.actor("admin"), f"{role} key", role)
    return tenant


def forget_events() -> None:
    """Empty the record: what follows in a test is then all there is."""
    guard_the_record(False)
    Event.objects.all()._raw_delete("default")
    guard_the_record(True)


@pytest.fixture
def acme(db: None) -> Tenant:
    return make_tenant("acme", "Acme Air")


@pytest.fixture
def globex(db: None) -> Tenant:
    return make_tenant("globex", "Globex Travel")


@pytest.fixture
def superuser(db: None) -> Any:
    return get_user_model()._default_manager.create_superuser("platform", "platform@example.com", "platform pass")


@pytest.fixture
def log_lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything that any library logs, at DEBUG."""
    with caplog.at_level(0):
        yield caplog
