"""An object where a secret belongs is refused at every door that takes secrets, and nothing of it is repeated."""

from __future__ import annotations

from typing import Any

import pytest

from connections.models import ConnectionSecrets
from connections.services import connections
from connections.services.connections import Change
from tests.catalogue import API, CANARY, Tenant
from tests.routes import with_secrets_in_every_slot

DATABASE = {"host": "127.0.0.1", "port": 1, "database": "sales", "user": "reader", "tls": {"mode": "disable"}}
WEB = {"base_url": "https://example.com/v1", "auth": {"kind": "bearer"}}
WORDS = "A secret is a text, or a reference."

OBJECTS: list[Any] = [
    {},
    {"x": 1},
    {"x": CANARY},
    {CANARY: "x"},
    {"ref": "env:ACME_PW", "x": 1},
    {"password": {}},
    {"token": {"q": {}}},
]


@pytest.fixture
def api(acme: Tenant) -> API:
    with_secrets_in_every_slot(acme)
    change = Change(name="Web", config=WEB, secrets={"auth": {"token": "first"}})
    connections.create(acme.actor(), "http_api", change)
    return acme.api("editor")


def doors(sent: Any) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Each door with what is sent to it: to a source whose secret is at the top, and to one whose secret is nested."""
    one, nested = {"password": sent}, {"auth": {"token": sent}}
    return {
        "create": ("POST", "connections/", {"name": "New", "source": "postgresql", "config": DATABASE, "secrets": one}),
        "create nested": (
            "POST",
            "connections/",
            {"name": "N", "source": "http_api", "config": WEB, "secrets": nested},
        ),
        "patch": ("PATCH", "connections/rotating/", {"secrets": one}),
        "patch nested": ("PATCH", "connections/web/", {"secrets": nested}),
        "stage": ("POST", "connections/rotating/secrets/stage/", {"secrets": one}),
        "stage nested": ("POST", "connections/web/secrets/stage/", {"secrets": nested}),
        "test": ("POST", "connections/test/", {"source": "postgresql", "config": DATABASE, "secrets": one}),
        "test saved": ("POST", "connections/test/", {"connection": "rotating", "secrets": one}),
        "test saved nested": ("POST", "connections/test/", {"connection": "web", "secrets": nested}),
        "restore": ("POST", "connections/rotating/revisions/1/restore/", {"secrets": one}),
        "restore nested": ("POST", "connections/web/revisions/1/restore/", {"secrets": nested}),
    }


@pytest.mark.parametrize("door", doors({}))
def test_an_object_in_place_of_a_secret_is_refused(api: API, door: str) -> None:
    before = list(ConnectionSecrets.objects.order_by("pk").values_list("pk", "generation", "names"))
    for sent in OBJECTS:
        answer = api(*doors(sent)[door])
        place = "/secrets/auth/token" if "nested" in door else "/secrets/password"
        assert answer.status_code == 400, (sent, answer.content)
        assert answer.json()["errors"] == [{"pointer": place, "code": "invalid", "detail": WORDS}]
        assert CANARY not in str(answer.json())
    assert list(ConnectionSecrets.objects.order_by("pk").values_list("pk", "generation", "names")) == before


@pytest.mark.parametrize("sent", ["x", 1, True, [], ["x"], {"token": ["x"]}, {"x": {"y": 1}}])
def test_what_lies_across_a_secret_that_is_kept_is_refused(api: API, sent: Any) -> None:
    for method, path in (
        ("PATCH", "connections/web/"),
        ("POST", "connections/web/secrets/stage/"),
        ("POST", "connections/web/revisions/1/restore/"),
    ):
        answer = api(method, path, {"secrets": {"auth": sent}})
        assert answer.status_code == 400, answer.content
        assert answer.json()["errors"][0]["pointer"].startswith("/secrets/auth")
