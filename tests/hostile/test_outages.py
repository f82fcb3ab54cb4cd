"""What is left when a part of the deployment dies in the middle of previews: real servers, and SIGKILL."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from benchmarks import stage
from catalog_project.demo import postgres
from catalog_project.demo.server import Server
from connections.services.sweeping import MARGIN
from connections.sources.postgresql.login import APPLICATION
from tests.servers.pausable import PausableServer, new_folder, new_password

PREVIEW = "/api/v1/orgs/acme/connections/db/preview/"
LONGEST = 5
"""Seconds that any work may take in these deployments."""


@pytest.fixture(autouse=True)
def short_work(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PREVIEW_TIMEOUT", "PREVIEW_TIMEOUT_MAX", "CHECK_TIMEOUT"):
        monkeypatch.setenv(f"CATALOG_{name}", str(LONGEST))
    monkeypatch.setenv("CATALOG_LOG_LEVEL", "CRITICAL")


@dataclass
class Asking:
    """Threads that preview over and over. ``answers`` has each answer's time, status and code."""

    port: int
    key: str
    answers: list[tuple[float, int, str]] = field(default_factory=list)
    slowest: float = 0.0

    @contextmanager
    def going_on(self, threads: int = 3) -> Iterator[None]:
        done = threading.Event()
        workers = [threading.Thread(target=self._ask, args=(done,)) for _ in range(threads)]
        for worker in workers:
            worker.start()
        try:
            yield
        finally:
            done.set()
            for worker in workers:
                worker.join(60)

    def _ask(self, done: threading.Event) -> None:
        while not done.is_set():
            started = time.monotonic()
            status, body = preview(self.port, self.key, "select 1 as a")
            self.slowest = max(self.slowest, time.monotonic() - started)
            self.answers.append((time.monotonic(), status, body.get("code", "ok")))
            time.sleep(0.02)

    def count(self, since: float = 0.0) -> Counter[tuple[int, str]]:
        return Counter((status, code) for at, status, code in self.answers if at >= since)


def preview(port: int, key: str, sql: str) -> tuple[int, dict[str, Any]]:
    """Status and body of one preview; 0 and nothing when the connection broke."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as client:
        try:
            client.request("POST", PREVIEW, json.dumps({"query": {"sql": sql}}), headers)
            answer = client.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            return 0, {}


def until(true: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def sleeping(server: PausableServer, mark: str) -> int:
    """How many of our sessions run at the server and hold ``mark``'s sleep."""
    with postgres.connect(server) as connection:
        row = connection.execute(
            "select count(*) from pg_stat_activity where application_name = %s and state <> 'idle' and wait_event = %s",
            [APPLICATION, mark],
        ).fetchone()
    return int(row[0]) if row else 0


def test_a_killed_web_process_leaves_no_process_no_query_and_no_open_event(
    postgresql: PausableServer, tmp_path: Path
) -> None:
    before = sleeping(postgresql, "PgSleep")
    url = f"sqlite:///{tmp_path / 'catalogue.sqlite3'}"
    with stage.catalogue(postgresql, url, threads=8) as (web, keys):
        asked = threading.Thread(target=preview, args=(web.port, keys["acme"], "select pg_sleep(60)"))
        asked.start()
        assert until(lambda: sleeping(postgresql, "PgSleep") > before, 10), "The query did not start."
        serving = psutil.Process(web.pid)
        below = serving.children(recursive=True)
        assert len(below) >= 3, "There is a server, a first process and a worker."
        environment = below[0].environ()  # the server's own, for the commands
        # The web server's own processes are killed; the runner's notice that they are gone.
        ours = [each for each in below if "granian" in " ".join(each.cmdline())]
        killed = time.monotonic()
        for process in (serving, *ours):
            process.send_signal(signal.SIGKILL)
        asked.join(30)
        assert until(lambda: not any(_lives(each) for each in below), 5), [each for each in below if _lives(each)]
        assert until(lambda: sleeping(postgresql, "PgSleep") == before, 5), "The query goes on at the source."

        # Less than half a minute later nothing that was started before can be running, wherever it ran.
        time.sleep(max(0.0, killed + LONGEST + MARGIN.total_seconds() + 1 - time.monotonic()))
        assert "1 interrupted jobs closed" in manage(environment, "events", "sweep")
        ask = "import json; from connections.models import Event; print(json.dumps(list("
        ask += "Event.objects.filter(action='connection.preview').order_by('pk').values_list('result', 'code'))))"
        ends = json.loads(manage(environment, "shell", "-v0", "-c", ask).splitlines()[-1])
        assert ends == [["started", ""], ["failed", "worker_crashed"]]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def manage(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=stage.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_restart_of_the_catalogues_database_is_survived_without_one_of_the_catalogue(
    postgresql: PausableServer,
) -> None:
    passwords: Any = {"superuser_password": new_password(), "reader_password": new_password()}
    folder = new_folder("catalogue-database")
    first = PausableServer.of(postgres.start(folder, database="catalogue", **passwords))
    servers: list[Server] = [first]
    try:
        login = first.login("superuser")
        url = f"postgresql://{login['user']}:{login['password']}@{first.host}:{first.port}/catalogue?sslmode=disable"
        with stage.catalogue(postgresql, url, threads=16) as (web, keys):
            asking = Asking(web.port, keys["acme"])
            with asking.going_on():
                assert until(lambda: asking.count()[200, "ok"] > 10, 20), asking.count()
                first.process.send_signal(signal.SIGINT)  # fast shutdown: sessions are cut in the middle
                first.process.wait(20)
                time.sleep(1)
                servers.insert(0, postgres.start(folder, database="catalogue", port=first.port, **passwords))
                back = time.monotonic()
                recovered = until(lambda: asking.count(back)[200, "ok"] > 20, 10)
                settled = time.monotonic()
                time.sleep(1)
            assert recovered, asking.count(back)
            assert set(asking.count(settled)) == {(200, "ok")}, asking.count(settled)
            # In between each answer is one of ours that says to try again, and none hangs.
            told = asking.count()
            assert set(told) == {(200, "ok"), (503, "busy")}, told
            assert asking.slowest < LONGEST + 2
            with psycopg.connect(url) as connection:
                rows = connection.execute(
                    "select result, count(distinct request_id) from connections_event "
                    "where action = 'connection.preview' group by result"
                ).fetchall()
            results: dict[str, int] = dict(rows)
            # No answer without a start on record: an event is whole, or not there.
            assert results["started"] >= told[200, "ok"]
    finally:
        for each in servers:
            each.stop()
