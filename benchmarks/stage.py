"""The stage that benchmarks play on: a PostgreSQL with rows, a catalogue with one connection to it, web servers."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from catalog_project.demo import postgres, server
from catalog_project.demo.flights import load_postgresql
from catalog_project.demo.server import Server
from tests.servers.authority import LOOPBACK, Authority
from tests.servers.postgresql import start_tls

ROOT = Path(__file__).resolve().parent.parent
ROWS = """
create table {name} as select n as id, n * 7 % 1000 as quantity, (n * 13 % 100000) / 100.0 as price,
  'customer ' || n as customer, md5(n::text) as code, timestamptz '2024-01-01' + n * interval '1 minute' as at,
  case when n % 5 = 0 then null else n % 3 = 0 end as paid, date '2024-01-01' + n % 700 as due
from generate_series(1, {count}) n
"""
SETUP = """
import json, os
from connections.services import api_keys, connections, tenancy
from connections.services.connections import Change
from connections.models import Membership
from django.contrib.auth.models import User
login = json.loads(os.environ['BENCHMARK_LOGIN'])
found = {}
for slug in ('acme', 'globex'):
    organisation = tenancy.create_organisation(slug, slug.title())
    person = User.objects.create_user(slug)
    Membership.objects.create(organisation=organisation, user=person, role='admin')
    actor = tenancy.actor_of(person, slug, request_id='benchmark')
    _, found[slug] = api_keys.create(actor, 'benchmark', 'admin')
    config = {k: login[k] for k in ('host', 'port', 'database', 'user')}
    config['tls'] = json.loads(os.environ['BENCHMARK_TLS'])
    connections.create(actor, 'postgresql', Change(name='db', config=config, secrets={'password': login['password']}))
print('KEYS ' + json.dumps(found))
"""


@dataclass
class Web:
    """A web server with one keep-alive connection to it."""

    port: int
    pid: int

    def __post_init__(self) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def get(self, path: str) -> bytes:
        self._http.request("GET", path)
        return self._answer()

    def post(self, path: str, body: Any, key: str) -> bytes:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._http.request("POST", path, json.dumps(body), headers)
        return self._answer()

    def _answer(self) -> bytes:
        answer = self._http.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{answer.status} {content[:500]!r}")
        return content


@contextlib.contextmanager
def postgresql(*, durable: bool = False, **tables: int) -> Iterator[Server]:
    """A PostgreSQL with these tables of so many rows, readable by its reader.

    A ``durable`` one waits for its disk as a deployment's does.
    """
    home = Path("/var/tmp") if server.as_root() else Path(tempfile.gettempdir())
    folder = Path(tempfile.mkdtemp(prefix="catalogue-bench-", dir=home))
    folder.chmod(0o755)
    started = postgres.start(
        folder / "server",
        superuser_password=secrets.token_urlsafe(16),
        reader_password=secrets.token_urlsafe(16),
        database="bench",
        durable=durable,
    )
    try:
        with postgres.connect(started) as connection:
            for name, count in tables.items():
                connection.execute(ROWS.format(name=name, count=count).encode())
            connection.execute("grant select on all tables in schema public to reader")
            connection.execute("vacuum analyze")
        yield started
    finally:
        started.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def flights() -> Iterator[tuple[Server, str]]:
    """A PostgreSQL that takes TLS only, with all flights out of New York in 2013, and its authority's PEM file.

    ``flights`` has 336 776 rows of 19 columns. ``small`` has 100 rows of 8.
    """
    authority = Authority("Catalogue benchmarks")
    started = start_tls(authority.server(*LOOPBACK))
    try:
        load_postgresql(started)
        with postgres.connect(started) as connection:
            connection.execute(ROWS.format(name="small", count=100).encode())
            connection.execute(
                f"grant temporary on database {started.database} to {started.reader}".encode()
            )  # for ibis
            connection.execute("grant select on all tables in schema public to reader")
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(authority.certificate)
            file.flush()
            yield started, file.name
    finally:
        started.stop()


def dsn(source: Server, ca: str | None = None) -> str:
    """The reader's login as libpq's keywords: TLS checked against ``ca``, or none."""
    login = source.login()
    tls = {"sslmode": "verify-full", "sslrootcert": ca} if ca else {"sslmode": "disable"}
    return psycopg.conninfo.make_conninfo(
        host=login["host"],
        port=login["port"],
        dbname=login["database"],
        user=login["user"],
        password=login["password"],
        **tls,
    )


@contextlib.contextmanager
def catalogue(
    source: Server, database_url: str | None = None, threads: int = 4, ca: str | None = None
) -> Iterator[tuple[Web, dict[str, str]]]:
    """The catalogue, served, with organisations ``acme`` and ``globex``, each with a connection ``db`` and a key."""
    folder = Path(tempfile.mkdtemp(prefix="catalogue-bench-"))
    environment = os.environ | {
        "CATALOG_ENV": "development",
        "CATALOG_SECRET_KEY": secrets.token_urlsafe(64),
        "CATALOG_KEYS": "k1:" + base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "CATALOG_ALLOWED_HOSTS": "127.0.0.1",
        "CATALOG_EGRESS_LOOPBACK": "1",
        "CATALOG_FILES_ROOT": str(folder),
        "DATABASE_URL": database_url or f"sqlite:///{folder / 'catalogue.sqlite3'}",
        "DJANGO_SETTINGS_MODULE": "catalog_project.settings",
        "BENCHMARK_LOGIN": json.dumps(source.login()),
        "BENCHMARK_TLS": json.dumps({"ca": Path(ca).read_text()} if ca else {"mode": "disable"}),
    }
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
    made = subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", SETUP],
        cwd=ROOT,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    keys = json.loads(next(line for line in made.stdout.splitlines() if line.startswith("KEYS "))[5:])
    try:
        with served("catalog_project.wsgi:application", "/healthz", environment, threads) as web:
            yield web, keys
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def served(application: str, path: str, environment: dict[str, str], threads: int = 4) -> Iterator[Web]:
    """``application`` behind the web server that a deployment uses, until ``path`` answers."""
    port = server.free_port()
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--blocking-threads", str(threads), "--no-ws", "--log-level", "error", application]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        start_new_session=True,
        preexec_fn=server.tie_to_parent(signal.SIGTERM),
    )
    try:
        web = Web(port, process.pid)
        for _ in range(300):
            try:
                web.get(path)
                break
            except (OSError, http.client.HTTPException):
                web = Web(port, process.pid)
                time.sleep(0.1)
        yield web
    finally:
        process.terminate()
        process.wait(20)
