"""The secrets of every source go through the API; they are in nothing that comes out, and nothing that stays."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import psutil
import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection as database

from connections.adapters.registry import registry
from connections.models import Connection
from connections.services import connections, drafts, queries, vault
from connections.services.connections import Change
from connections.services.logs import JSONFormatter
from tests.catalogue import Tenant
from tests.leaks.canaries import Canaries, secret_paths, variants

pytestmark = pytest.mark.django_db(transaction=True)
SOURCES = sorted(adapter.id for adapter in registry.healthy() if secret_paths(adapter.config_class))
QUERY = {"query": {"sql": "select 1"}}


@pytest.fixture
def canaries() -> Canaries:
    return Canaries()


def drive(tenant: Tenant, canaries: Canaries, source: str, config: Any, secrets: Any) -> str | None:
    """Send these secrets wherever the API takes or refuses them. Returns the slug of what was made."""
    api = tenant.api("admin")
    answers = []

    def ask(method: str, path: str, body: Any = None) -> Any:
        answers.append(api(method, path, body))
        content = answers[-1].getvalue()
        canaries.look(f"the answer to {method} {path}", content)
        canaries.look(f"the headers of {method} {path}", str(answers[-1].headers))
        return answers[-1]

    one = canaries.made[-1]
    right = {"name": "Driven", "source": source, "config": config, "secrets": secrets}
    made = ask("POST", "connections/", right)
    for wrong in (
        {**right, "config": {**config, **secrets}},
        {**right, "secrets": {"nonsense": one, **secrets}},
        {**right, "secrets": {name: [one] for name in secrets}},
        {**right, "secrets": {name: {one: one} for name in secrets}},
        {**right, "secrets": one},
        {**right, "config": {**config, "host": one, "port": one, "base_url": one}},
        {**right, "source": one},
        {**right, "config": {}, "url": f"postgresql://u:{one}@h:x/"},
        {**right, "slug": one},
    ):
        assert ask("POST", "connections/", wrong).status_code == 400
        ask("POST", "connections/test/", {name: value for name, value in wrong.items() if name != "name"})
    ask("POST", f"/sources/{source}/parse-url/", {"url": f"{source}://user:{one}@127.0.0.1:1/x?option={one}"})
    ask("POST", "connections/test/", {"source": source, "config": config, "secrets": secrets})
    if made.status_code != 201:
        return None
    slug = made.json()["slug"]
    path = f"connections/{slug}/"
    for method, rest, body in (
        ("GET", "", None),
        ("PATCH", "", {"secrets": secrets}),
        ("PATCH", "", {"config": {"host": "other.example"}}),
        ("PATCH", "", {"secrets": {"nonsense": one}}),
        ("POST", "status/", None),
        ("GET", "status/", None),
        ("GET", "status/history/", None),
        ("POST", "preview/", QUERY),
        ("POST", "preview/?format=csv", QUERY),
        ("POST", "describe/", QUERY),
        ("GET", "tables/", None),
        ("GET", "columns/?path=x", None),
        ("OPTIONS", "", None),
        ("POST", "clone/", {}),
        ("PATCH", "?check=true", {"secrets": secrets}),
    ):
        ask(method, path + rest, body)
    for listing in ("connections/", "events/?page_size=200", "/sources/", "/schema/"):
        ask("GET", listing)
    return str(slug)


@pytest.mark.parametrize("source", SOURCES)
def test_no_secret_comes_out_of_the_api_or_stays_behind(
    acme: Tenant,
    canaries: Canaries,
    source: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    kept = set()
    adapter = registry[source]
    with caplog.at_level(logging.NOTSET):
        for config, secrets in variants(adapter.config_class, canaries):
            slug = drive(acme, canaries, source, config, secrets)
            if slug is not None:
                kept |= {tuple(name.split(".")) for name in vault.names(connections.get(acme.actor(), slug))}
        look_at_objects(acme, canaries)
    assert kept == secret_paths(adapter.config_class), "Each secret of the source was stored once."
    look_at_rest(canaries)
    look_at_logs(canaries, caplog, capfd)


def look_at_objects(tenant: Tenant, canaries: Canaries) -> None:
    """What the services give and take."""
    actor = tenant.actor()
    canaries.look_at("an actor", actor)
    for row in connections.visible(actor):
        if not vault.names(row):  # a clone
            continue
        adapter = registry[row.source]
        settings = drafts.settings_of(adapter, row)
        canaries.look_at("a connection", row)
        canaries.look_at("its rows of secrets", list(row.secrets_rows.all()))
        canaries.look_at("an adapter's config", adapter.config_class.model_validate(settings).__repr__())
        canaries.look_at("a draft", drafts.changed(adapter, row, {}, {}))
        change = Change(config=row.config, secrets=vault.unseal(row))
        canaries.look("repr of a change", repr(change))
        canaries.look_at("a request", queries.Request(query={"sql": "select 1"}))


def look_at_rest(canaries: Canaries) -> None:
    """All that is stored, and all that other processes can be asked."""
    dump = io.StringIO()
    call_command("dumpdata", stdout=dump)
    canaries.look("dumpdata", dump.getvalue())
    with database.cursor() as cursor:
        for table in database.introspection.table_names():
            cursor.execute(f"select * from {database.ops.quote_name(table)}")
            canaries.look(f"the table {table}", repr(cursor.fetchall()))
    if database.vendor == "sqlite":
        canaries.look("the database's bytes", database.connection.serialize())
    canaries.look("the cache", repr(getattr(cache, "_cache", {})))
    for process in psutil.Process().children(recursive=True):
        try:
            canaries.look("a command line", repr(process.cmdline()))
            canaries.look("an environment", repr(process.environ()))
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue


def look_at_logs(canaries: Canaries, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    canaries.look("the log", caplog.text)
    formatter = JSONFormatter()
    for record in caplog.records:
        canaries.look("the log's lines", formatter.format(record))
        canaries.look("a log record", repr({name: value for name, value in vars(record).items() if name != "request"}))
    for stream in capfd.readouterr():
        canaries.look("standard output", stream)


@pytest.mark.parametrize("debug", [True, False])
def test_a_bug_in_the_middle_of_saving_shows_no_secret(
    acme: Tenant,
    canaries: Canaries,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    debug: bool,
) -> None:
    def broken(connection: Connection, secrets: Any, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(f"Could not seal {secrets}.")

    monkeypatch.setattr(vault, "seal", broken)
    settings.DEBUG = debug
    config = {"host": "127.0.0.1", "port": 1, "database": "d", "user": "u"}
    body = {"name": "X", "source": "postgresql", "config": config, "secrets": {"password": canaries.make()}}
    with caplog.at_level(logging.NOTSET):
        answer = acme.api("editor").post("connections/", body)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    canaries.look("the answer", answer.content)
    formatter = JSONFormatter()
    for record in caplog.records:
        canaries.look("the log's lines", formatter.format(record))
    assert any(json.loads(formatter.format(record)).get("exception") == "RuntimeError" for record in caplog.records)
    assert not Connection.objects.exists()


@pytest.mark.parametrize("place", ["it", "quoted", "json"])
def test_the_canaries_are_found_where_they_are(canaries: Canaries, place: str) -> None:
    secret = canaries.make()
    text = {"it": secret, "quoted": secret.replace("%", "%25"), "json": json.dumps({"a": secret})}[place]
    with pytest.raises(AssertionError, match="A secret is in"):
        canaries.look("here", f"before {text} after")
