"""What the wall in PostgreSQL costs: the same requests to the same catalogue, with row security on and off.

Two deployments with a database each on one PostgreSQL, as an owner that is no superuser. One client, in turn.
"""

from __future__ import annotations

import base64
import http.client
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack

from psycopg import sql

from benchmarks.stage import ROOT, catalogue, postgresql
from benchmarks.timing import Thing, alternate, table
from catalog_project.demo import postgres
from catalog_project.demo.server import Server

SETTINGS = ("off", "on")
ROUNDS = 600
REQUESTS = {
    "GET a connection": ("GET", "/api/v1/orgs/acme/connections/db/", None),
    "GET a list": ("GET", "/api/v1/orgs/acme/connections/", None),
    "POST a preview of 100 rows": (
        "POST",
        "/api/v1/orgs/acme/connections/db/preview/",
        b'{"query": {"sql": "select * from small"}, "limit": 100}',
    ),
}


def main() -> None:
    with ExitStack() as stack:
        source, own = stack.enter_context(postgresql(small=100)), stack.enter_context(postgresql())
        ask: dict[str, Callable[[str, str, bytes | None], bytes]] = {}
        for setting in SETTINGS:
            url = _database(own, f"wall_{setting}")
            _prepare(url, setting)
            os.environ["CATALOG_ROW_SECURITY"] = setting
            web, keys = stack.enter_context(catalogue(source, url))
            ask[setting] = _client(web.port, keys["acme"])
        del os.environ["CATALOG_ROW_SECURITY"]
        for name, request in REQUESTS.items():
            things: dict[str, Thing] = {
                f"row security {setting}": lambda asked=ask[setting], sent=request: asked(*sent)  # type: ignore[misc]
                for setting in SETTINGS
            }
            print(f"{name}\n\n{table(alternate(things, ROUNDS), 'row security off')}\n", flush=True)


def _database(server: Server, name: str) -> str:
    """A database, and an owner of the same name who is no superuser."""
    password = secrets.token_hex(16)
    with postgres.connect(server) as connection:
        connection.execute(
            sql.SQL("create role {} login password {}").format(sql.Identifier(name), sql.Literal(password))
        )
        connection.execute(sql.SQL("create database {0} owner {0}").format(sql.Identifier(name)))
    return f"postgresql://{name}:{password}@{server.host}:{server.port}/{name}"


def _prepare(url: str, setting: str) -> None:
    """Make the tables, and where that is wanted the wall."""
    environment = os.environ | {
        "CATALOG_ENV": "development",
        "CATALOG_SECRET_KEY": secrets.token_urlsafe(64),
        "CATALOG_KEYS": "k1:" + base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "DATABASE_URL": url,
        "CATALOG_ROW_SECURITY": setting,
    }
    commands = [["migrate", "-v0"], *([["rowsecurity", "enable"]] if setting == "on" else [])]
    for command in commands:
        subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=environment, check=True)


def _client(port: int, key: str) -> Callable[[str, str, bytes | None], bytes]:
    """Asks over one keep-alive connection."""
    http_ = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def ask(method: str, path: str, body: bytes | None) -> bytes:
        http_.request(method, path, body, headers)
        answer = http_.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} {content[:500]!r}")
        return content

    return ask


if __name__ == "__main__":
    main()
