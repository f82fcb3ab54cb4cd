"""Walks that end where they should: pages that must open, secrets that are rotated, settings that are restored.

What a refusal shows is little. So these go through to the end, as an administrator and as a superuser on a visit, and
a door on the way that stays shut is an error.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.test import Client
from django.urls import reverse

from connections.models import APIKey, Connection, ConnectionSecrets, Event, Membership, Organisation, Slot
from connections.services import slots, vault
from connections.testing.leaks.doors import Doors, opened
from connections.testing.leaks.samples import form_data

API = ("", "members/", "api-keys/", "events/", "connections/")
OF_A_CONNECTION = ("", "status/", "status/history/", "revisions/")
LISTS = (
    "index",
    "settings",
    *(f"connections_{name}_changelist" for name in ("connection", "apikey", "membership", "event")),
    *(f"connections_{name}_add" for name in ("connection", "apikey", "membership")),
)
PAGES = ("change", "preview", "history", "expiry", "pause", "clone", "delete")
PLATFORM = ("auth_user_changelist", "auth_user_add", "connections_organisation_changelist")
REASON = "To hunt for leaks in here."


def all_of(doors: Doors, slug: str) -> None:
    """Every walk there is, about the connection ``slug``."""
    answers(doors, slug)
    rotation(doors, slug)
    restores(doors, slug)
    visit(doors)
    for browser in (doors.tenant.browser, doors.tenant.platform):
        pages(doors, slug, browser)
        typed_rotation(doors, slug, browser)
        typed_restore(doors, slug, browser)
    platform(doors)


def answers(doors: Doors, slug: str) -> None:
    """What the API shows of an organisation and of one of its connections."""
    opened("the check", doors.ask("POST", f"connections/{slug}/status/", {}))
    for path in ("/sources/", f"/sources/{doors.adapter.id}/", "/orgs/", *API):
        opened(path, doors.ask("GET", path))
    for path in OF_A_CONNECTION:
        opened(path, doors.ask("GET", f"connections/{slug}/{path}"))


def pages(doors: Doors, slug: str, browser: Client) -> None:
    """Every page of the admin that an administrator has."""
    for path in _pages(doors, _row(doors, slug)):
        opened(f"GET {path}", doors.get(path, browser))


def visit(doors: Doors) -> None:
    """Let the superuser in, for a reason."""
    said = {"organisation": doors.tenant.organisation.slug, "reason": REASON}
    switch = reverse("admin:switch")
    opened("the switch", doors.post(switch, {**said, "reason": "", "password": doors.one}, doors.tenant.platform))
    entered = opened("the switch", doors.post(switch, said, doors.tenant.platform))
    assert entered.status_code == 302, "The superuser gave a reason and is not let in."


def platform(doors: Doors) -> None:
    """The pages that a superuser has besides."""
    for name in PLATFORM:
        opened(name, doors.get(reverse(f"admin:{name}"), doors.tenant.platform))
    organisation = Organisation.objects.get(pk=doors.tenant.organisation.pk)
    for name, pk in (("connections_organisation", organisation.pk), ("auth_user", doors.tenant.person.pk)):
        opened(name, doors.get(reverse(f"admin:{name}_change", args=[pk]), doors.tenant.platform))


def rotation(doors: Doors, slug: str) -> None:
    """New secrets by the API: staged, promoted, taken back, discarded."""
    if not doors.secrets:
        return
    path = f"connections/{slug}/secrets/"
    opened("staging", doors.ask("POST", f"{path}stage/", {"secrets": doors.secrets}))
    _passed(doors, slug)
    opened("promoting", doors.ask("POST", f"{path}promote/", {}))
    if settings.CATALOG_PREVIOUS_SECRETS_HOURS > 0:
        opened("taking back", doors.ask("POST", f"{path}rollback/", {}))
    opened("staging", doors.ask("POST", f"{path}stage/", {"secrets": doors.secrets}))
    opened("discarding", doors.ask("DELETE", f"{path}stage/"))


def typed_rotation(doors: Doors, slug: str, browser: Client) -> None:
    """As ``rotation``, by the panel of the admin."""
    if not doors.secrets:
        return
    data = _typed(doors, slug)
    page = reverse("admin:connections_connection_change", args=[_row(doors, slug).pk])

    def press(button: str) -> None:
        done = doors.post(page, {**data, button: "1"}, browser)
        assert done.status_code == 302, f"The button {button} of the panel did not do its work ({done.status_code})."
        opened(page, doors.get(page, browser))

    def stage() -> None:
        opened("staging", doors.post(page, {**data, "_stage": "1"}, browser))
        _pending(doors, slug)

    opened("a wrong staging", doors.post(page, {**data, "_stage": "1", "version": "999"}, browser))
    stage()
    if not _pending(doors, slug).tested_ok:
        opened("a refused promotion", doors.post(page, {**data, "_promote": "1"}, browser))
    _passed(doors, slug)
    press("_promote")
    if settings.CATALOG_PREVIOUS_SECRETS_HOURS > 0:
        press("_rollback")
    stage()
    press("_discard")


def restores(doors: Doors, slug: str) -> None:
    """Earlier settings by the API, with the secrets entered again."""
    version = _earlier(doors, slug, 3)
    restored = doors.ask("POST", f"connections/{slug}/revisions/{version}/restore/", {"secrets": doors.secrets})
    opened("restoring", restored)


def typed_restore(doors: Doors, slug: str, browser: Client) -> None:
    """As ``restores``, by the page of the admin."""
    version = _earlier(doors, slug, 4)
    page = reverse("admin:connections_connection_restore", args=[_row(doors, slug).pk, version])
    opened(page, doors.get(page, browser))
    opened(page, doors.post(page, {**_typed(doors, slug), "version": "999"}, browser))
    done = doors.post(page, _typed(doors, slug), browser)
    assert done.status_code == 302, f"The settings of version {version} were not restored ({done.status_code})."


def _pages(doors: Doors, row: Connection) -> Iterator[str]:
    yield from (reverse(f"admin:{name}") for name in LISTS)
    yield reverse("admin:app_list", args=["connections"])
    yield reverse("admin:connections_connection_add_source", args=[doors.adapter.id])
    yield from (reverse(f"admin:connections_connection_{name}", args=[row.pk]) for name in PAGES)
    yield reverse("admin:connections_connection_restore", args=[row.pk, 1])
    for model in (APIKey, Membership, Event):
        thing = model._default_manager.filter(organisation=row.organisation).first()
        assert thing is not None
        yield reverse(f"admin:connections_{model._meta.model_name}_change", args=[thing.pk])


def _row(doors: Doors, slug: str) -> Connection:
    return Connection.objects.get(organisation=doors.tenant.organisation, slug=slug)


def _typed(doors: Doors, slug: str) -> dict[str, str]:
    """What a browser sends of inputs for new secrets."""
    data = form_data(doors.adapter.config_class, _row(doors, slug).config, doors.secrets)
    return {f"new-{name}": text for name, text in data.items()}


def _passed(doors: Doors, slug: str) -> None:
    """The pending secrets as if their source had been there and had taken them."""
    slots.keep_result(_row(doors, slug), _pending(doors, slug), ok=True, code="")


def _pending(doors: Doors, slug: str) -> ConnectionSecrets:
    pending = vault.find(_row(doors, slug), Slot.PENDING)
    assert pending is not None, "No secrets were staged."
    return pending


def _earlier(doors: Doors, slug: str, attempts: int) -> int:
    """Change a setting; the version before that."""
    version = _row(doors, slug).version
    delay = {"retry": {"attempts": attempts, "delay": version / 100}}
    opened("changing a setting", doors.ask("PATCH", f"connections/{slug}/", {"config": delay}))
    found = opened("the revisions", doors.ask("GET", f"connections/{slug}/revisions/")).json()["results"]
    return int(found[1]["version"])
