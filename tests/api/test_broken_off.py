"""Exports that fail midway are broken off on the wire; whole ones, and those beside them, end properly."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow
import pytest

from benchmarks import stage
from catalog_project.demo import server
from connections.api import hanging_up
from connections.api.hanging_up import Caller, hang_up
from tests.servers.pausable import PausableServer

PATH = "/api/v1/orgs/acme/connections/db/preview/"
LIST = "/admin/connections/connection/"
ROWS = 60_000
SECONDS = 60
FAILING = "select 1/(n - 50000) as n from generate_series(1, 100000) n"
SLOW = "select n, case when n > 20000 then pg_sleep(0.01)::text end as slept from generate_series(1, 100000) n"
WHOLE = f"select n from generate_series(1, {ROWS}) n"
TRICKLING = f"select n, case when n % 2000 = 0 then pg_sleep(0.05)::text end as slept from generate_series(1, {ROWS}) n"
FORMATS = ("csv", "arrow", "parquet")


@dataclass(frozen=True)
class Served:
    """The catalogue behind the web server that a deployment uses. It believes one proxy."""

    url: str
    key: str
    pid: int

    def export(self, format_: str, sql: str, begun: Callable[[str], object] = bool, **body: Any) -> bytes:
        """A whole export; ``begun`` is told its request's id. Raises httpx's TransportError when it is broken off."""
        headers = {"Authorization": f"Bearer {self.key}", "X-Forwarded-For": "192.0.2.7"}
        url = f"{self.url}{PATH}?format={format_}"
        sent = {"query": {"sql": sql}, "limit": 100_000, **body}
        with httpx.stream("POST", url, json=sent, headers=headers, timeout=SECONDS) as answer:
            assert answer.status_code == 200
            begun(answer.headers["X-Request-ID"])
            return b"".join(answer.iter_bytes())


@pytest.fixture(scope="module")
def served(postgresql: PausableServer) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CATALOG_PROXIES", "1")
        patched.setenv("CATALOG_ORGANISATION_JOBS", "32")
        patched.setenv("CATALOG_CONNECTION_JOBS", "32")
        with stage.catalogue(postgresql, threads=32) as (web, keys):
            yield Served(f"http://127.0.0.1:{web.port}", keys["acme"], web.pid)


def failing(served: Served, format_: str) -> bytes:
    return served.export(format_, FAILING)


def late(served: Served, format_: str) -> bytes:
    return served.export(format_, SLOW, timeout=4)


def cancelled(served: Served, format_: str) -> bytes:
    def cancel(rid: str) -> None:
        url = f"{served.url}/api/v1/orgs/acme/previews/{rid}/"
        assert httpx.delete(url, headers={"Authorization": f"Bearer {served.key}"}).status_code == 204

    return served.export(format_, SLOW, cancel)


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("end", [failing, late, cancelled])
def test_an_export_that_ends_midway_is_broken_off(
    served: Served, end: Callable[[Served, str], bytes], format_: str
) -> None:
    with ThreadPoolExecutor(1) as beside:
        healthy = beside.submit(served.export, "csv", TRICKLING)
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            end(served, format_)
        assert len(healthy.result().splitlines()) == ROWS + 1


@pytest.mark.parametrize("format_", [*FORMATS, "ndjson"])
def test_an_export_that_comes_to_its_end_ends_properly(served: Served, format_: str) -> None:
    body = served.export(format_, WHOLE)
    if format_ == "arrow":
        assert pyarrow.ipc.open_stream(body).read_all().num_rows == ROWS
    elif format_ != "parquet":
        assert len(body.splitlines()) == ROWS + (format_ == "csv")


def test_of_many_exports_of_one_address_only_those_that_fail_are_broken_off(served: Served) -> None:
    with ThreadPoolExecutor(12) as asked:
        healthy = [asked.submit(served.export, "csv", TRICKLING) for _ in range(6)]
        broken = [asked.submit(failing, served, "csv") for _ in range(6)]
        assert {type(each.exception(SECONDS)) for each in broken} == {httpx.RemoteProtocolError}
        assert {len(each.result(SECONDS).splitlines()) for each in healthy} == {ROWS + 1}


def test_it_takes_no_lock_away_from_the_catalogues_own_database(served: Served) -> None:
    """Without SQLite's locks another process takes the log for left behind, and what is saved then is lost."""
    database = Path(_environment(served)["DATABASE_URL"].removeprefix("sqlite:///"))
    headers = {"Authorization": f"Bearer {served.key}"}
    served.export("csv", "select 1")
    before = _locked(database)
    with pytest.raises(httpx.RemoteProtocolError):
        failing(served, "csv")
    assert _locked(database) == before == {"-shm", ""}
    subprocess.run(
        [sys.executable, "manage.py", "events", "seal"],
        cwd=stage.ROOT,
        env=_environment(served),
        timeout=SECONDS,
        check=True,
    )
    made = {"name": "After that", "source": "sqlite", "config": {"path": "after.sqlite3"}}
    url = f"{served.url}/api/v1/orgs/acme/connections/"
    assert httpx.post(url, json=made, headers=headers, timeout=SECONDS).status_code == 201
    with closing(sqlite3.connect(database)) as another:
        slugs = another.execute("select slug from connections_connection").fetchall()
    assert ("after-that",) in slugs
    assert httpx.delete(f"{url}after-that/", headers=headers, timeout=SECONDS).status_code == 204


def _locked(database: Path) -> set[str]:
    """Which of a SQLite database's files a process has locked."""
    names = {str(os.stat(f"{database}{end}").st_ino): end for end in ("", "-shm")}
    held = [line.split()[5].split(":")[2] for line in Path("/proc/locks").read_text().splitlines()]
    return {names[inode] for inode in held if inode in names}


def test_a_client_that_is_slow_to_read_is_hung_up_on_too(served: Served) -> None:
    wide = "select 1/(n - 50000) as n, repeat('x', 400) as x from generate_series(1, 100000) n"
    with closing(_asked(served, wide, "HTTP/1.1")) as client:
        time.sleep(2)
        body = _rest(client)
    assert len(body) > 10_000_000
    assert not body.endswith(b"0\r\n\r\n")


def test_over_http_1_0_where_a_body_ends_with_its_connection_the_connection_is_reset(served: Served) -> None:
    with closing(_asked(served, FAILING, "HTTP/1.0")) as client, pytest.raises(ConnectionResetError):
        _rest(client)
    with closing(_asked(served, WHOLE, "HTTP/1.0")) as client:
        assert _rest(client).endswith(b"60000\r\n")


def _asked(served: Served, sql: str, protocol: str) -> socket.socket:
    body = json.dumps({"query": {"sql": sql}, "limit": 100_000}).encode()
    port = int(served.url.rpartition(":")[2])
    client = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
    head = f"POST {PATH}?format=csv {protocol}\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {served.key}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    client.sendall(head.encode() + body)
    return client


def _rest(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(1 << 20), b""))


def _environment(served: Served) -> dict[str, str]:
    """What the server that runs was started with."""
    return psutil.Process(served.pid).environ()


def test_a_download_in_the_admin_that_fails_midway_is_broken_off(served: Served) -> None:
    with closing(_browser(served)) as browser:
        found = re.search(r"/admin/connections/connection/[0-9a-f-]{36}/", browser.get(LIST).text)
        assert found
        hidden = re.findall(r'name="(\w+)" value="([\w-]+)"', browser.get(f"{found[0]}preview/").text)
        own = {name: value for name, value in hidden if name in ("csrfmiddlewaretoken", "page_organisation")}
        assert len(own) == 2
        form = {**own, "limit": "50", "format": "csv"}
        export = f"{found[0]}export/"
        assert len(browser.post(export, data={**form, "query__sql": WHOLE}).content.splitlines()) == ROWS + 1
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            browser.post(export, data={**form, "query__sql": FAILING})


def _wait_for(client: httpx.Client) -> None:
    ends = time.monotonic() + SECONDS
    while True:
        try:
            assert client.get("http://127.0.0.1/healthz").status_code == 200
            return
        except httpx.ConnectError:
            assert time.monotonic() < ends
            time.sleep(0.1)


def _browser(served: Served) -> httpx.Client:
    """A browser in which somebody of the organisation is logged in."""
    made = "from django.contrib.auth.models import User; u = User.objects.get(username='acme'); "
    made += f"u.set_password({served.key!r}); u.is_staff = True; u.save()"
    command = [sys.executable, "manage.py", "shell", "-v0", "-c", made]
    subprocess.run(command, cwd=stage.ROOT, env=_environment(served), timeout=SECONDS, check=True)
    browser = httpx.Client(base_url=served.url, timeout=SECONDS)
    browser.get("/admin/login/")
    login = {"username": "acme", "password": served.key, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
    assert browser.post("/admin/login/", data=login).status_code == 302
    return browser


def test_behind_a_unix_socket_the_log_says_that_the_body_is_short_and_arrow_cannot_be_read(
    served: Served, tmp_path: Path
) -> None:
    path, log = tmp_path / "web.sock", tmp_path / "log"
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--uds", str(path), "--no-ws"]
    command += ["--blocking-threads", "4"]
    with log.open("wb") as written:
        process = subprocess.Popen(
            [*command, "catalog_project.wsgi:application"],
            cwd=stage.ROOT,
            env=_environment(served),
            stdout=written,
            stderr=written,
            start_new_session=True,
            preexec_fn=server.tie_to_parent(signal.SIGTERM),
        )
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=SECONDS) as client:
            _wait_for(client)
            body = client.post(
                f"http://127.0.0.1{PATH}?format=arrow",
                json={"query": {"sql": FAILING}, "limit": 100_000},
                headers={"Authorization": f"Bearer {served.key}", "X-Request-ID": "short-on-a-unix-socket"},
            ).content
    finally:
        process.terminate()
        process.wait(SECONDS)
    assert "The body of request short-on-a-unix-socket failed midway" in log.read_text()
    with pytest.raises(pyarrow.ArrowInvalid):
        pyarrow.ipc.open_stream(body).read_all()


@dataclass(frozen=True)
class Pair:
    """Both ends of a connection to a server in this process."""

    client: socket.socket
    server: socket.socket

    def take(self, count: int) -> None:
        """Have the client sent so many bytes, and eleven more."""
        self.server.sendall(b"." * (count + 11))
        while count > -11:
            count -= len(self.client.recv(count + 11))

    def is_open(self) -> bool:
        try:
            self.server.sendall(b"?")
            return self.client.recv(1) == b"?"
        except OSError:
            return False


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    with ExitStack() as held:
        listening = held.enter_context(socket.create_server(("127.0.0.1", 0)))
        yield [
            Pair(
                held.enter_context(socket.create_connection(listening.getsockname(), timeout=SECONDS)),
                held.enter_context(listening.accept()[0]),
            )
            for _ in range(6)
        ]


def hung_up(caller: Caller, send: Callable[[bytes], object]) -> bool:
    pieces = hang_up(caller, b"")
    try:
        while True:
            send(next(pieces))
    except StopIteration as done:
        return bool(done.value)


def caller(pairs: list[Pair], address: str = "127.0.0.1") -> Caller:
    return Caller(address, pairs[0].server.getsockname()[1], "HTTP/1.1")


def test_of_connections_that_are_all_busy_only_the_one_that_takes_the_pieces_is_shut(pairs: list[Pair]) -> None:
    for ours in (pairs[3], pairs[0]):

        def send(piece: bytes, ours: Pair = ours) -> None:
            for each in pairs:
                if each.is_open():
                    each.take(len(piece) if each is ours else secrets.randbelow(4096))

        assert hung_up(caller(pairs), send)
        assert not ours.is_open()
    assert [each.is_open() for each in pairs] == [False, True, True, False, True, True]


@pytest.mark.parametrize("taking", [0, 2])
def test_nobody_is_hung_up_on_without_proof(pairs: list[Pair], monkeypatch: pytest.MonkeyPatch, taking: int) -> None:
    """Neither the only one that there is, nor one of two that take the same."""
    monkeypatch.setattr(hanging_up, "LONGEST", 1.0)
    for each in pairs[max(taking, 1) :]:
        each.server.close()

    def send(piece: bytes) -> None:
        for each in pairs[:taking]:
            each.take(len(piece))

    assert not hung_up(caller(pairs), send)
    assert all(each.is_open() for each in pairs[: max(taking, 1)])


def test_nobody_with_another_address_or_port_is_hung_up_on(pairs: list[Pair]) -> None:
    sent: list[bytes] = []
    assert not hung_up(caller(pairs, "127.0.0.2"), sent.append)
    assert not hung_up(Caller("127.0.0.1", 1, "HTTP/1.1"), sent.append)
    assert not hung_up(caller(pairs, ""), sent.append)
    assert sent == [b"", b"", b""]
    assert all(each.is_open() for each in pairs)
