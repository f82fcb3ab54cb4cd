"""Whatever is done to a connection through the API, in whatever order: its secrets open afterwards."""

from __future__ import annotations

import random
from collections.abc import Callable
from io import StringIO
from typing import Any, Final

import pytest
from django.core.management import call_command

from connections.models import ConnectionSecrets, Slot
from connections.services import connections, expiry, vault
from tests.catalogue import API, Tenant

PATH: Final = "connections/w/"
KINDS: Final[dict[str, list[str]]] = {"none": [], "basic": ["password"], "bearer": ["token"]}
STEPS: Final = 50
DATABASE: Final = {"host": "db.example.com", "port": 1, "database": "d", "user": "u", "tls": {"mode": "disable"}}


class Walk:
    """One connection to an HTTP API, and a hand that does something with it at random."""

    def __init__(self, tenant: Tenant, seed: int) -> None:
        self.api: API = tenant.api("editor")
        self.random = random.Random(seed)
        made = {"name": "W", "source": "http_api", "config": {"base_url": "https://127.0.0.1:1", "auth": BASIC}}
        assert self.api.post("connections/", {**made, "secrets": {"auth": {"password": "first"}}}).status_code == 201

    def step(self) -> str:
        """Do one thing. Returns its name and what was answered."""
        name = self.random.choice([*THINGS])
        answer = THINGS[name](self)
        assert answer is None or answer.status_code < 500, (name, answer.content)
        return f"{name}: {answer.status_code if answer is not None else 'done'}"

    def shown(self) -> Any:
        return self.api.get(PATH).json()

    def change(self, **body: Any) -> Any:
        return self.api.patch(PATH, body)

    def auth(self, kind: str | None = None) -> dict[str, Any]:
        kind = kind or self.random.choice([*KINDS])
        return {"kind": kind, **({"user": "u"} if kind == "basic" else {})}

    def secrets(self, kind: str | None = None, value: Any = "") -> dict[str, Any]:
        """For each secret of ``kind``, that of today's settings or another: ``value``, or a new text."""
        names = KINDS[kind or self.shown()["config"]["auth"]["kind"]]
        new = {name: value if value != "" else f"secret {self.random.random()}" for name in names}
        return {"secrets": {"auth": new} if new else {}}

    def elsewhere(self) -> dict[str, Any]:
        return {"config": {"base_url": f"https://127.0.0.1:{self.random.randrange(1, 5)}"}}

    def of_another_kind(self) -> Any:
        kind = self.random.choice([*KINDS])
        return self.change(config={"auth": self.auth(kind)}, **self.secrets(kind))

    def restored(self, **body: Any) -> Any:
        versions = [each["version"] for each in self.api.get(f"{PATH}revisions/").json()["results"]]
        return self.api.post(f"{PATH}revisions/{self.random.choice(versions)}/restore/", body)

    def promoted(self) -> Any:
        ConnectionSecrets.objects.filter(slot=Slot.PENDING).update(tested_ok=True)
        return self.api.post(f"{PATH}secrets/promote/", {})


BASIC: Final = {"kind": "basic", "user": "u"}
THINGS: Final[dict[str, Callable[[Walk], Any]]] = {
    "another setting": lambda walk: walk.change(config={"connect_timeout": walk.random.randrange(1, 9)}),
    "another endpoint": lambda walk: walk.change(**walk.elsewhere()),
    "another endpoint, secrets entered": lambda walk: walk.change(**walk.elsewhere(), **walk.secrets()),
    "secrets entered": lambda walk: walk.change(**walk.secrets()),
    "secrets cleared": lambda walk: walk.change(**walk.secrets(value=None)),
    "secrets kept elsewhere": lambda walk: walk.change(**walk.secrets(value={"ref": "env:WALK_X"})),
    "another kind of login": lambda walk: walk.change(config={"auth": walk.auth()}),
    "another kind of login, secrets entered": Walk.of_another_kind,
    "staged": lambda walk: walk.api.post(f"{PATH}secrets/stage/", walk.secrets()),
    "none staged": lambda walk: walk.api.post(f"{PATH}secrets/stage/", walk.secrets(value=None)),
    "promoted": Walk.promoted,
    "rolled back": lambda walk: walk.api.post(f"{PATH}secrets/rollback/", {}),
    "discarded": lambda walk: walk.api.delete(f"{PATH}secrets/stage/"),
    "restored": Walk.restored,
    "restored, secrets entered": lambda walk: walk.restored(**walk.secrets()),
    "renamed": lambda walk: walk.change(name=f"W {walk.random.random()}"),
    "re-keyed": lambda walk: call_command("keys", "rekey", "--all", stdout=StringIO()),
}


@pytest.mark.parametrize("seed", range(4))
def test_no_way_through_the_doors_locks_a_connection(acme: Tenant, settings: Any, seed: int) -> None:
    settings.CATALOG_REFERENCES = ["env:WALK_*"]
    acme.organisation.references = ["env:WALK_*"]
    acme.organisation.save()
    walk = Walk(acme, seed)
    way = []
    for _ in range(STEPS):
        way.append(walk.step())
        row = connections.get(acme.actor(), "w")
        assert vault.problem(row) is None, way[-5:]
        for stored in row.secrets_rows.all():
            vault.unseal(row, Slot(stored.slot))
        assert row.secrets_expire_at == expiry.earliest(expiry.known(row)), way[-5:]


def test_without_its_last_secret_a_connection_moves_on(acme: Tenant) -> None:
    """The sealed row stays, with nothing in it, and goes where the connection goes."""
    api = acme.api("editor")
    made = {"name": "W", "source": "postgresql", "config": DATABASE, "secrets": {"password": "first"}}
    assert api.post("connections/", made).status_code == 201
    assert api.patch(PATH, {"secrets": {"password": None}}).status_code == 200
    for host in ("two.example.com", "three.example.com"):
        assert api.patch(PATH, {"config": {"host": host}}).status_code == 200
        assert api.get(PATH).json()["state"] == "unchecked"
    assert api.patch(PATH, {"secrets": {"password": "again"}}).status_code == 200
    assert vault.unseal(connections.get(acme.actor(), "w")) == {"password": "again"}
