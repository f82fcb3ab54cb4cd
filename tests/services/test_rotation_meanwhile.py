"""What happens to a connection while its new secrets are tested, and what who staged them is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections as databases

from connections.models import Connection, ConnectionSecrets, Slot
from connections.services import connections
from connections.services.connections import Change
from connections.testing.leaks.silence import silence
from tests.catalogue import Tenant

PATH = "connections/w/"
Meanwhile = Callable[[Any], Any]
"""A request of another editor, made with their API client."""


def staged(tenant: Tenant, settings: Any, meanwhile: Meanwhile) -> tuple[int, dict[str, Any]]:
    """What staging answers when ``meanwhile`` happened during its test, of a source that says nothing."""
    settings.CATALOG_CHECK_TIMEOUT = 3.0
    answers: list[Any] = []

    def stage() -> None:
        try:
            answers.append(tenant.api("editor").post(f"{PATH}secrets/stage/", {"secrets": {"password": "second"}}))
        finally:
            databases.close_all()

    with silence() as far_side:
        config = {"host": "127.0.0.1", "port": far_side.port, "database": "d", "user": "u", "tls": {"mode": "disable"}}
        change = Change(name="W", config={**config, "retry": {"attempts": 1}}, secrets={"password": "first"})
        connections.create(tenant.actor(), "postgresql", change)
        asking = threading.Thread(target=stage)
        asking.start()
        try:
            assert far_side.reached.wait(30)
            done = meanwhile(tenant.api("editor"))
            assert 200 <= done.status_code < 300, done.content
        finally:
            asking.join(60)
    (answer,) = answers
    return answer.status_code, answer.json()


@pytest.mark.django_db(transaction=True)
def test_secrets_that_were_discarded_while_they_were_tested_are_told_as_such(acme: Tenant, settings: Any) -> None:
    status, told = staged(acme, settings, lambda api: api.delete(f"{PATH}secrets/stage/"))
    assert (status, told["code"]) == (409, "conflict")
    assert "not pending any more" in told["detail"]
    assert not ConnectionSecrets.objects.filter(slot=Slot.PENDING).exists()


@pytest.mark.django_db(transaction=True)
def test_secrets_of_a_connection_that_was_deleted_meanwhile_are_not_there(acme: Tenant, settings: Any) -> None:
    status, told = staged(acme, settings, lambda api: api.delete(PATH))
    assert (status, told["code"]) == (404, "not_found")
    assert not Connection.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_result_of_a_test_is_kept_though_the_connection_was_renamed_meanwhile(acme: Tenant, settings: Any) -> None:
    status, told = staged(acme, settings, lambda api: api.patch(PATH, {"name": "Other"}))
    assert status == 200
    assert (told["name"], told["check"]["code"]) == ("Other", "deadline")
    assert (told["rotation"]["pending"]["ok"], told["rotation"]["pending"]["code"]) == (False, "deadline")


@pytest.mark.django_db(transaction=True)
def test_a_result_for_settings_of_before_is_not_kept_and_whoever_asked_is_told(acme: Tenant, settings: Any) -> None:
    status, told = staged(acme, settings, lambda api: api.patch(PATH, {"probe": {"sql": "select 1"}}))
    assert (status, told["code"]) == (409, "version_conflict")
    assert ConnectionSecrets.objects.get(slot=Slot.PENDING).tested_ok is None
