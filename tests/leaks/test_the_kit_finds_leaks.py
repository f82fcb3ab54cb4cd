"""The leak kit, shown on leaks that were made on purpose: one for each kind of output that it looks at."""

from __future__ import annotations

import base64
import json
import logging
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client
from django.urls import path
from django.utils import timezone

from connections.models import Connection, Event
from connections.runner.jobs import Job
from connections.services.reporting import Reporter
from connections.testing.leaks import Hunt, places
from connections.testing.leaks.canaries import ODD, Canaries, spellings
from connections.testing.leaks.doors import Doors, routes

SPELLED: dict[str, Callable[[str], str]] = {
    "it": str,
    "quoted": urllib.parse.quote,
    "json": json.dumps,
    "python": repr,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 in a longer text": lambda text: base64.b64encode(f"x{text}".encode()).decode(),
    "base64 in another": lambda text: base64.b64encode(f"yz{text}yz".encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(f"user:{text}".encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "HTML": lambda text: text.replace("&", "&amp;").replace("<", "&lt;").replace("'", "&#x27;"),
}


@pytest.mark.parametrize("spelled", SPELLED)
def test_a_secret_is_found_in_every_spelling(spelled: str) -> None:
    canaries = Canaries()
    text = SPELLED[spelled](canaries.make())
    with pytest.raises(AssertionError, match="A secret is in the answer"):
        canaries.look("the answer", f"before {text} after")
    canaries.look("the answer", "before and after")


def test_each_kit_has_words_of_its_own_and_tells_the_spelling() -> None:
    one, other = Canaries(), Canaries()
    secret = one.make()
    other.make()
    other.look("the answer", secret)
    assert set(spellings(secret).values()) >= {"as it is", "in base64", "as hex"}
    assert secret.endswith(ODD)


@pytest.fixture
def hunt(leak_hunt: Hunt) -> Hunt:
    """A hunt with one secret."""
    leak_hunt.canaries.make()
    return leak_hunt


def in_a_row(secret: str) -> None:
    Event.objects.create(actor_kind="system", actor_label="x", action="x", result="ok", detail={"text": secret})


def in_a_session(secret: str) -> None:
    session = SessionStore()
    session["typed"] = secret + " " * 1000  # so that it is stored compressed
    session.save()


def in_the_cache(secret: str) -> None:
    cache.set("page", {"typed": secret})


def in_a_cache_key(secret: str) -> None:
    cache.set(urllib.parse.quote(secret, safe=""), 1)


def in_the_log(secret: str) -> None:
    logging.getLogger("a.library").debug("connecting with %s", base64.b64encode(secret.encode()).decode())


def in_an_exception_of_the_log(secret: str) -> None:
    try:
        raise RuntimeError(f"bad password {secret}")
    except RuntimeError:
        logging.getLogger("a.library").exception("failed")


def in_print(secret: str) -> None:
    sys.stdout.write(secret)


def in_errors(secret: str) -> None:
    subprocess.run([sys.executable, "-c", "import sys; sys.stderr.write(sys.stdin.read())"], input=secret.encode())


@pytest.mark.parametrize(
    ("leak", "place"),
    [
        (in_a_row, "dumpdata"),
        (in_a_session, "a session"),
        (in_the_cache, "the cache default"),
        (in_a_cache_key, "the cache default"),
        (in_the_log, "a line of the log"),
        (in_an_exception_of_the_log, "a line of the log"),
        (in_print, "standard output"),
        (in_errors, "standard error"),
    ],
)
def test_what_stays_or_is_told_is_found(hunt: Hunt, leak: Callable[[str], None], place: str) -> None:
    leak(hunt.canaries.made[0])
    try:
        with pytest.raises(AssertionError, match=f"A secret is in {place}"):
            hunt.look()
    finally:
        cache.clear()


def test_a_hunt_after_nothing_leaked_finds_nothing(hunt: Hunt) -> None:
    hunt.look()
    assert hunt.canaries.seen >= {
        "dumpdata",
        "a command line",
        "an environment",
        "standard output",
        "the cache default",
    }


def test_a_table_that_dumpdata_leaves_out_is_found(hunt: Hunt) -> None:
    row = Connection(organisation=hunt.tenant.organisation, slug="x", name="x", source="sqlite")
    row.created_at = timezone.now() - timedelta(days=1)
    row.description = base64.b64encode(hunt.canaries.made[0].encode()).decode()
    row.save()
    with pytest.raises(AssertionError, match="A secret is in"):
        places.stored(hunt.canaries)


def test_a_temporary_file_is_found(hunt: Hunt) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "certificate.pem").write_text(hunt.canaries.made[0])
        with pytest.raises(AssertionError, match=r"A secret is in a file \(certificate.pem\)"):
            places.files(hunt.canaries, hunt.since)
        places.files(hunt.canaries, time.time() + 60)


@contextmanager
def program(*arguments: str, **environment: str) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", "input()", *arguments], stdin=subprocess.PIPE, env=environment)
    try:
        deadline = time.monotonic() + 10
        while b"input()" not in Path(f"/proc/{process.pid}/cmdline").read_bytes() and time.monotonic() < deadline:
            time.sleep(0.01)
        yield
    finally:
        process.communicate(b"\n", timeout=30)


def test_a_command_line_and_an_environment_are_found(hunt: Hunt) -> None:
    secret = hunt.canaries.made[0]
    with program(f"--password={secret}"), pytest.raises(AssertionError, match="A secret is in a command line"):
        places.processes(hunt.canaries)
    with program(PGPASSWORD=secret), pytest.raises(AssertionError, match="A secret is in an environment"):
        places.processes(hunt.canaries)
    places.processes(hunt.canaries)


def test_a_job_is_found(hunt: Hunt) -> None:
    job = Job.__new__(Job)
    for name in Job.__dataclass_fields__:
        object.__setattr__(job, name, None)
    object.__setattr__(job, "arguments", {"parameters": {"typed": hunt.canaries.made[0]}})
    with pytest.raises(AssertionError, match="A secret is in a job"):
        job.to_bytes()


def echo(request: Any) -> HttpResponse:
    """A door that repeats what it is sent: in its body, or in a header."""
    if not request.body:
        return HttpResponse("fine")
    body = json.loads(request.body)
    if "header" in request.path:
        return HttpResponse("fine", headers={"X-Echo": urllib.parse.quote(json.dumps(body["secrets"]))})
    return HttpResponse(base64.b64encode(request.body))


def bug(request: Any) -> HttpResponse:
    typed = request.body.decode()
    raise RuntimeError(f"Cannot read {typed}.")


@pytest.fixture
def doors(hunt: Hunt, settings: Any) -> Doors:
    from connections.adapters.registry import registry

    config = {"host": "127.0.0.1", "port": 1, "database": "d", "user": "u"}
    secrets = {"password": hunt.canaries.made[0]}
    made = Doors(hunt.tenant, hunt.canaries, registry["postgresql"], config, secrets, {"sql": "select 1"})
    slug = made.ask("POST", "connections/", made.whole).json()["slug"]
    assert slug == "driven"
    return made


@pytest.mark.parametrize(
    ("name", "place"), [("body", "the answer to POST"), ("header", "the headers of the answer to")]
)
def test_a_new_route_that_repeats_a_secret_is_walked_through_and_found(
    doors: Doors, settings: Any, monkeypatch: pytest.MonkeyPatch, name: str, place: str
) -> None:
    from catalog_project import urls

    monkeypatch.setattr(urls, "urlpatterns", [path(f"api/v1/echo-{name}/", echo), *urls.urlpatterns])
    with fresh_routes():
        assert f"api/v1/echo-{name}/" in list(routes())
        with pytest.raises(AssertionError, match=f"A secret is in {place} .*/echo-{name}/"):
            doors.every_route("driven")


@contextmanager
def fresh_routes() -> Iterator[None]:
    from django.urls import clear_url_caches

    clear_url_caches()
    try:
        yield
    finally:
        clear_url_caches()


@pytest.mark.parametrize(
    "reporter", ["connections.services.reporting.Reporter", "django.views.debug.ExceptionReporter"]
)
def test_a_debug_page_shows_a_secret_unless_it_is_ours(
    hunt: Hunt, settings: Any, monkeypatch: pytest.MonkeyPatch, reporter: str
) -> None:
    from catalog_project import urls

    settings.DEBUG = True
    settings.DEFAULT_EXCEPTION_REPORTER = reporter
    monkeypatch.setattr(urls, "urlpatterns", [path("bug/", bug), *urls.urlpatterns])
    with fresh_routes():
        client = Client(raise_request_exception=False)
        answer = client.post("/bug/", hunt.canaries.made[0], content_type="text/plain")
    assert answer.status_code == 500
    assert b"RuntimeError" in answer.content
    if reporter.endswith("reporting.Reporter"):
        hunt.canaries.look("the debug page", answer.content)
        assert b"test_the_kit_finds_leaks" in answer.content
    else:
        with pytest.raises(AssertionError, match="A secret is in the debug page"):
            hunt.canaries.look("the debug page", answer.content)


def test_a_mail_about_a_bug_shows_no_secret(hunt: Hunt, rf: Any) -> None:
    secret = hunt.canaries.made[0]
    request = rf.post(f"/bug/?token={secret}", {"typed": secret}, headers={"X-Token": secret})
    try:
        bug(request)
    except RuntimeError as exc:
        reporter = Reporter(request, type(exc), exc, exc.__traceback__, is_email=True)
    hunt.canaries.look("the mail", reporter.get_traceback_text())
    hunt.canaries.look("the mail", reporter.get_traceback_html())
    assert "RuntimeError" in reporter.get_traceback_text()
