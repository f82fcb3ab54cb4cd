"""The leak kit goes through to the end: it finds what leaks there, and fails where it is not let in."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse

from connections.adapters.registry import registry
from connections.admin import rotating
from connections.services import restoring, vault
from connections.services.keys import verifying
from connections.testing.leaks import Hunt, commands, walks
from connections.testing.leaks.doors import Doors, opened, unbroken
from connections.testing.leaks.samples import variants

HERE = {"host": "127.0.0.1", "port": 1, "tunnel": None}


@pytest.fixture
def driven(leak_hunt: Hunt) -> tuple[Doors, str]:
    """The doors, with a connection made."""
    adapter = registry["postgresql"]
    config, secrets = next(variants(adapter.config_class, leak_hunt.canaries, HERE))
    doors = Doors(leak_hunt.tenant, leak_hunt.canaries, adapter, config, secrets, {"sql": "select 1"})
    made = doors.ask("POST", "connections/", doors.whole)
    assert made.status_code == 201, made.content
    return doors, str(made.json()["slug"])


Driven = tuple[Doors, str]


def test_every_walk_ends_where_nothing_leaks(driven: Driven, leak_hunt: Hunt) -> None:
    walks.all_of(*driven)
    commands.run(leak_hunt.canaries, leak_hunt.tenant.organisation.slug)
    leak_hunt.look()
    assert {"the output of manage.py keys verify", "the output of manage.py events verify"} <= leak_hunt.canaries.seen


@pytest.mark.parametrize("button", ["_stage", "_promote", "_rollback", "_discard"])
def test_a_button_of_the_rotation_panel_that_repeats_what_was_typed_is_found(
    driven: Driven, monkeypatch: pytest.MonkeyPatch, button: str
) -> None:
    act = rotating.act

    def echo(visit: Any, connection: Any) -> Any:
        answer = act(visit, connection)
        return HttpResponse(repr(dict(visit.request.POST)), status=302) if button in visit.request.POST else answer

    monkeypatch.setattr(rotating, "act", echo)
    with pytest.raises(AssertionError, match=r"A secret is in the answer to POST /admin/.*/change/"):
        walks.typed_rotation(*driven, driven[0].tenant.browser)


def restored_in_the_admin(doors: Doors, slug: str) -> None:
    walks.typed_restore(doors, slug, doors.tenant.browser)


@pytest.mark.parametrize("walk", [walks.restores, restored_in_the_admin])
def test_a_restore_that_logs_what_was_entered_is_found(
    driven: Driven, leak_hunt: Hunt, monkeypatch: pytest.MonkeyPatch, walk: Callable[..., None]
) -> None:
    restore = restoring.restore

    def told(*args: Any, secrets: Any = None, **kwargs: Any) -> Any:
        restored = restore(*args, secrets=secrets, **kwargs)
        logging.getLogger("a.restore").debug("restored with %s", secrets)
        return restored

    monkeypatch.setattr(restoring, "restore", told)
    walk(*driven)
    with pytest.raises(AssertionError, match=r"A secret is in a (line|record) of the log"):
        leak_hunt.look()


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_command_that_prints_what_it_opened_is_found(
    driven: Driven, leak_hunt: Hunt, monkeypatch: pytest.MonkeyPatch, stream: str
) -> None:
    row = walks._row(*driven)
    verify = verifying.verify

    def told(*args: Any, **kwargs: Any) -> Any:
        sys.__dict__[stream].write(str(vault.unseal(row)))
        return verify(*args, **kwargs)

    monkeypatch.setattr(verifying, "verify", told)
    commands.run(leak_hunt.canaries, leak_hunt.tenant.organisation.slug)
    with pytest.raises(AssertionError, match=r"A secret is in standard (output|error)"):
        leak_hunt.look()


def test_what_a_command_writes_to_its_own_output_is_found(
    driven: Driven, leak_hunt: Hunt, monkeypatch: pytest.MonkeyPatch
) -> None:
    from connections.management.commands.keys import Command

    row = walks._row(*driven)

    def told(self: Any, **options: Any) -> None:
        self.stdout.write(repr(vault.unseal(row)))

    monkeypatch.setattr(Command, "_status", told)
    with pytest.raises(AssertionError, match=r"A secret is in the output of manage.py keys status"):
        commands.run(leak_hunt.canaries, leak_hunt.tenant.organisation.slug)


def test_a_command_that_does_not_do_its_work_fails_the_hunt(
    driven: Driven, leak_hunt: Hunt, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.core.management import CommandError

    from connections.management.commands.schemas import Command

    def refused(self: Any, **options: Any) -> None:
        raise CommandError("Not today.")

    monkeypatch.setattr(Command, "_check", refused)
    with pytest.raises(AssertionError, match=r"manage\.py schemas check did not do its work: Not today"):
        commands.run(leak_hunt.canaries, leak_hunt.tenant.organisation.slug)


def test_a_page_that_shows_a_secret_to_a_visiting_superuser_only_is_found(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    from connections.admin import editing

    about, row = editing.about, walks._row(*driven)

    def told(visit: Any, connection: Any) -> Any:
        shown = about(visit, connection)
        return {**shown, "explanation": str(vault.unseal(row))} if visit.request.user.is_superuser else shown

    monkeypatch.setattr(editing, "about", told)
    doors, slug = driven
    walks.pages(doors, slug, doors.tenant.browser)
    walks.visit(doors)
    with pytest.raises(AssertionError, match="A secret is in the answer to GET /admin/"):
        walks.pages(doors, slug, doors.tenant.platform)


def test_pages_without_their_templates_fail_the_hunt(driven: Driven, settings: Any) -> None:
    (engine,) = settings.TEMPLATES
    settings.TEMPLATES = [{**engine, "DIRS": [], "APP_DIRS": False}]
    doors, slug = driven
    with pytest.raises(AssertionError, match=r"GET /admin/.* failed \(500\)"):
        walks.pages(doors, slug, doors.tenant.browser)
    with pytest.raises(AssertionError, match=r"GET /.* failed \(500\)"):
        doors.every_route(slug)


def test_a_door_that_refuses_an_administrator_fails_the_hunt(driven: Driven) -> None:
    doors, slug = driven
    doors.tenant.person.memberships.update(role="viewer")
    with pytest.raises(AssertionError, match=r"GET /admin/.* is to open, and answered 403"):
        walks.pages(doors, slug, doors.tenant.browser)
    with pytest.raises(AssertionError, match="is to open, and answered 403"):
        walks.rotation(doors, slug)


def test_only_a_failure_of_the_catalogues_own_is_one() -> None:
    for status in (200, 302, 400, 404, 422, 502, 503):
        unbroken("it", HttpResponse(status=status))
    with pytest.raises(AssertionError, match="it failed"):
        unbroken("it", HttpResponse(status=500))
    with pytest.raises(AssertionError, match="it is to open, and answered 404"):
        opened("it", HttpResponse(status=404))
