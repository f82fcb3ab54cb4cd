"""The leak kit: drives a canary secret for every secret setting of a source through every door, and looks everywhere.

A pytest plugin, for packages that bring sources. In their ``conftest.py`` and in a test module:

    pytest_plugins = ["connections.testing.leaks"]

    class TestLeaks(SourceLeaks):
        sources = ("acme",)
        query = {"sql": "select 1"}

It looks at answers and headers of every route of the API and of every page of the admin, also of failures with DEBUG
on, at what the source says when it is checked, previewed, described and browsed, at rotations and restores that
succeed, what superusers see on a visit, exports, what commands print, logs of all libraries at DEBUG, standard output
and error, jobs, every table, ``dumpdata``, sessions, caches, temporary files, and command lines and environments of
processes; for the secret as it is, URL-quoted, in base64, as hex, JSON-escaped. A door that must open and does not
fails, too, as does one that leads to the source and is refused before it gets there. It needs the extra ``testing``,
pytest-django, the source's driver, and a database that tests may use.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from connections.adapters.base import Adapter
from connections.adapters.registry import registry
from connections.adapters.schema import Nested
from connections.models import Connection
from connections.services import connections, vault
from connections.services.connections import Change
from connections.services.vault import sealing
from connections.testing.emptying import emptied_with_the_rest
from connections.testing.leaks import commands, places, reading, walks
from connections.testing.leaks.canaries import Canaries
from connections.testing.leaks.doors import Doors
from connections.testing.leaks.listening import Listener, listening, looking_at_jobs
from connections.testing.leaks.samples import form_data, secret_paths, variants
from connections.testing.leaks.silence import silence
from connections.testing.leaks.tenant import Tenant, make

__all__ = ["Canaries", "SourceLeaks"]

NOWHERE = {"host": "127.0.0.1", "port": 1, "base_url": "http://127.0.0.1:1/"}
"""Where nobody answers, by the names that settings have."""
PATIENCE = 30.0  # seconds until a worker must have connected


@dataclass
class Hunt:
    """One hunt: canaries, an organisation, and what is listened to."""

    canaries: Canaries
    tenant: Tenant
    listener: Listener
    capfd: pytest.CaptureFixture[str]
    since: float

    def look(self) -> None:
        """Look at all that was printed, logged and left behind."""
        self.listener.look(self.canaries)
        self.look_at_prints()
        places.look(self.canaries, self.since)

    def look_at_prints(self) -> None:
        for stream, content in zip(("output", "error"), self.capfd.readouterr(), strict=True):
            self.canaries.look(f"standard {stream}", content)


@pytest.fixture
def the_record_is_emptied() -> Iterator[None]:
    """For what comes after a hunt, whose events are committed."""
    with emptied_with_the_rest():
        yield


@pytest.fixture
def leak_hunt(the_record_is_emptied: None, transactional_db: None, capfd: pytest.CaptureFixture[str]) -> Iterator[Hunt]:
    """A hunt of one's own: make canaries, drive them through what is to be looked at, and call ``look``."""
    canaries = Canaries()
    with listening() as listener, looking_at_jobs(canaries):
        yield Hunt(canaries, make(), listener, capfd, time.time() - 1)


class SourceLeaks:
    """Tests that no secret of a source comes out. ``sources`` are ids; empty for all that have secrets.

    ``query`` is what previews ask for, and ``queries`` that of sources which take another, by id. ``settings`` are
    values for settings by their names, where the model's own examples and defaults do not make a connection. ``table``
    is the path of what is asked for its columns where the source lists no table, or is not there to list any.
    """

    sources: ClassVar[tuple[str, ...]] = ()
    query: ClassVar[dict[str, Any]] = {"sql": "select 1"}
    queries: ClassVar[Mapping[str, dict[str, Any]]] = {}
    settings: ClassVar[dict[str, Any]] = {}
    table: ClassVar[tuple[str, ...]] = ("hunted",)

    def test_no_secret_comes_out_of_a_door_or_stays_behind(self, leak_hunt: Hunt, leaking_source: str) -> None:
        adapter = registry[leaking_source]
        stored: set[tuple[str, ...]] = set()
        typed = False
        for config, secrets in variants(adapter.config_class, leak_hunt.canaries, {**NOWHERE, **self.settings}):
            doors = self._doors(leak_hunt, adapter, config, secrets)
            slug = doors.api()
            if slug is not None:
                reading.by_api(doors, slug)
                if not stored:
                    doors.every_route(slug)
                    walks.all_of(doors, slug)
                row = connections.get(leak_hunt.tenant.actor, slug)
                stored |= {tuple(name.split(".")) for name in vault.names(row)}
                leak_hunt.canaries.look_at("a connection", row)
                leak_hunt.canaries.look_at("its rows of secrets", list(row.secrets_rows.all()))
            saved = doors.admin()
            if saved is not None:
                reading.by_admin(doors, saved.pk)
            typed = typed or saved is not None
        commands.run(leak_hunt.canaries, leak_hunt.tenant.organisation.slug)
        leak_hunt.look()
        assert typed or not stored, "The form of the admin was never saved: it shows nothing of what it would keep."
        missing = secret_paths(adapter.config_class) - stored
        assert not missing, f"These secrets were never stored, so nothing is known of them: {sorted(missing)}"

    def test_a_worker_in_the_middle_of_its_work_shows_none(self, leak_hunt: Hunt, leaking_source: str) -> None:
        adapter = registry[leaking_source]
        if not adapter.needs_network:
            return  # it has nobody to wait for
        with silence() as far_side:
            given = {**far_side.settings(), **self.settings}
            config, secrets = next(variants(adapter.config_class, leak_hunt.canaries, given))
            change = Change(name="Silent", config=config, secrets=secrets)
            slug = connections.create(leak_hunt.tenant.actor, adapter.id, change).slug
            asked = threading.Thread(target=self._check, args=(leak_hunt.tenant, slug))
            asked.start()
            try:
                assert far_side.reached.wait(PATIENCE), "The worker did not connect."
                places.processes(leak_hunt.canaries)
            finally:
                asked.join(PATIENCE * 4)
        leak_hunt.look()

    @pytest.mark.parametrize("debug", [True, False], ids=["debug", "production"])
    def test_a_bug_in_the_middle_of_saving_shows_none(
        self, leak_hunt: Hunt, leaking_source: str, debug: bool, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(connection: Connection, row: Any, secrets: Any, key: Any) -> None:
            raise RuntimeError(f"Could not seal {secrets}.")

        adapter: type[Adapter[Any, Any]] = registry[leaking_source]
        config, secrets = next(variants(adapter.config_class, leak_hunt.canaries, {**NOWHERE, **self.settings}))
        doors = self._doors(leak_hunt, adapter, config, secrets)
        monkeypatch.setattr(sealing, "write", broken)
        settings.DEBUG = debug
        typed = {"name": "Typed", **form_data(adapter.config_class, config, secrets)}
        for asked, answer in (
            ("POST connections/", leak_hunt.tenant.ask("POST", "connections/", doors.whole)),
            ("POST add/", leak_hunt.tenant.browser.post(f"/admin/connections/connection/add/{adapter.id}/", typed)),
        ):
            assert answer.status_code == 500
            doors.look(asked, answer)
        leak_hunt.listener.look(leak_hunt.canaries, texts_of_exceptions=False)
        leak_hunt.look_at_prints()
        places.stored(leak_hunt.canaries)

    def _doors(self, hunt: Hunt, adapter: type[Adapter[Any, Any]], config: Nested, secrets: Nested) -> Doors:
        query = self.queries.get(adapter.id, self.query)
        return Doors(hunt.tenant, hunt.canaries, adapter, config, secrets, query, self.table)

    def _check(self, tenant: Tenant, slug: str) -> None:
        from django.db import connections as databases

        try:
            tenant.ask("POST", f"connections/{slug}/status/", {})
        finally:
            databases.close_all()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of a ``SourceLeaks`` once for each of its sources."""
    if "leaking_source" in metafunc.fixturenames and metafunc.cls is not None:
        sources = metafunc.cls.sources or [
            adapter.id for adapter in registry.healthy() if secret_paths(adapter.config_class)
        ]
        metafunc.parametrize("leaking_source", sorted(sources))
