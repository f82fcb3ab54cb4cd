"""The demo's own PostgreSQL: its data, port and passwords outlive a run."""

from __future__ import annotations

import hashlib
import json
import secrets
from pathlib import Path
from typing import Any

from catalog_project.demo import flights, postgres, server
from catalog_project.demo.server import Server, ServerError

DATABASE = "flights"
READER = "flights_reader"

# Where root's demo keeps its data: the server's own user id may be unable to reach the checkout.
ROOT_HOME = Path("/var/lib/connection-catalogue")
PORTS = range(15_432, 15_532)  # below what systems hand out by themselves, so that a kept port stays free


def start(var: Path) -> Server:
    """Start the demo's PostgreSQL with the flights in it. Its logins are kept in ``var``, its data in ``home(var)``."""
    folder = home(var)
    kept = _read(var)
    if kept is None:
        # Data whose passwords are lost (somebody removed ``var``) opens to nobody; the flights are loaded again.
        server.remove(folder)
        kept = {"superuser_password": secrets.token_urlsafe(24), "reader_password": secrets.token_urlsafe(24)}
    _refuse_second(folder, kept)
    port = _port(kept.get("port"))
    server.write_private(var / "demo" / "home", f"{folder}\n")  # for `make clean`
    _write(var, kept | {"port": port})  # before the data has these passwords, so that none is ever lost
    started = postgres.start(
        folder,
        superuser_password=kept["superuser_password"],
        reader=READER,
        reader_password=kept["reader_password"],
        database=DATABASE,
        port=port,
        durable=True,
    )
    try:
        flights.load_postgresql(started)
    except BaseException:
        started.stop()
        raise
    return started


def login(var: Path) -> dict[str, Any]:
    """Return host, port, database, user and password of the role that may only SELECT.

    Raises ServerError when the demo's PostgreSQL was never started.
    """
    kept = _read(var)
    if kept is None or "port" not in kept:
        raise ServerError("The demo's PostgreSQL was never started. Run: make run")
    return {
        "host": server.HOST,
        "port": kept["port"],
        "database": DATABASE,
        "user": READER,
        "password": kept["reader_password"],
    }


def home(var: Path) -> Path:
    """Return the folder of the server's data and log."""
    if not server.as_root():
        return var / "demo" / "postgresql"
    name = hashlib.sha256(str(var.resolve()).encode()).hexdigest()[:12]
    return ROOT_HOME / name


def _port(last: int | None) -> int:
    """Return the port of the last run, so that connections made to it still work, or else a free one."""
    if last and server.port_is_free(last):
        return last
    return next(filter(server.port_is_free, PORTS), None) or server.free_port()


def _refuse_second(folder: Path, kept: dict[str, Any]) -> None:
    if (folder / "data" / "postmaster.pid").exists() and kept.get("port") and not server.port_is_free(kept["port"]):
        raise ServerError("The demo's PostgreSQL is running already. Stop the other `make run` first.")


def _path(var: Path) -> Path:
    return var / "demo" / "postgresql.json"


def _read(var: Path) -> dict[str, Any] | None:
    try:
        kept: dict[str, Any] = json.loads(_path(var).read_text())
    except FileNotFoundError:
        return None
    return kept


def _write(var: Path, kept: dict[str, Any]) -> None:
    server.write_private(_path(var), json.dumps(kept))
