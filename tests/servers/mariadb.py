"""MariaDB from Debian, on a data folder of its own. TLS is offered and not demanded."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

import pymysql

from catalog_project.demo import postgres, server
from catalog_project.demo.server import HOST, Server, ServerError
from tests.servers.authority import Certificate
from tests.servers.pausable import DATABASE, PausableServer, new_folder, new_password

SUPERUSER = "owner"
READER = "reader"

# Run before the server listens, so that no login without a password is ever open. One statement a line.
FIRST_STATEMENTS = """\
CREATE DATABASE {database} CHARACTER SET utf8mb4;
CREATE USER {superuser}@'%' IDENTIFIED BY '{superuser_password}';
GRANT ALL ON *.* TO {superuser}@'%' WITH GRANT OPTION;
CREATE USER {reader}@'%' IDENTIFIED BY '{reader_password}';
GRANT SELECT ON {database}.* TO {reader}@'%';
DROP USER IF EXISTS root@localhost, root@'127.0.0.1', root@'::1', ''@localhost;
"""


def missing() -> str | None:
    """Return what is missing and how to get it, or None."""
    if shutil.which("mariadbd", path=_path()) and shutil.which("mariadb-install-db", path=_path()):
        return None
    return "MariaDB is missing. Run: apt-get install mariadb-server"


def start(certificate: Certificate) -> PausableServer:
    """Start MariaDB, which shows ``certificate`` to those who ask for TLS."""
    if reason := missing():
        raise FileNotFoundError(reason)
    folder = new_folder("mariadb")
    postgres.make_folder(folder)
    started_with = {"superuser_password": new_password(), "reader_password": new_password()}
    statements = FIRST_STATEMENTS.format(database=DATABASE, superuser=SUPERUSER, reader=READER, **started_with)
    files = {"first.sql": statements, "server.crt": certificate.certificate, "server.key": certificate.key}
    for name, text in files.items():
        server.write_private(folder / name, text)
    server.hand_over(folder)
    _install(folder)
    return _run(folder, **started_with)


class MariaDB(PausableServer):
    def stop(self, timeout: float = 20) -> None:
        if self.process.poll() is None:
            self.resume()
        server.stop(self.process, timeout, signal.SIGTERM)  # mariadbd ignores SIGINT
        server.remove(self.folder)


def _install(folder: Path) -> None:
    command = ["mariadb-install-db", "--no-defaults", f"--datadir={folder / 'data'}", "--skip-test-db", "--force"]
    command += ["--auth-root-authentication-method=normal", "--innodb-log-file-size=8M"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=folder,
        env=server.minimal_environment(folder) | {"PATH": _path()},
        timeout=120,
        check=False,
        **server.identity(),
    )
    if done.returncode:
        raise ServerError(f"mariadb-install-db failed:\n{done.stdout}{done.stderr}")


def _run(folder: Path, *, superuser_password: str, reader_password: str) -> PausableServer:
    port = server.free_port()
    options = {
        "datadir": folder / "data",
        "tmpdir": folder,
        "socket": folder / "socket",
        "pid-file": folder / "pid",
        "init-file": folder / "first.sql",
        "port": port,
        "bind-address": HOST,
        "ssl-cert": folder / "server.crt",
        "ssl-key": folder / "server.key",
        "character-set-server": "utf8mb4",
        "innodb-buffer-pool-size": "32M",
        "innodb-log-file-size": "8M",
        "innodb-flush-log-at-trx-commit": 0,
        "performance-schema": "OFF",
    }
    command = ["mariadbd", "--no-defaults", "--skip-name-resolve", *(f"--{k}={v}" for k, v in options.items())]
    process = server.start(command, folder, environment={"PATH": _path()}, end_with=signal.SIGTERM)
    started = MariaDB(
        HOST, port, DATABASE, SUPERUSER, superuser_password, READER, reader_password, folder, process
    )  # fmt: skip
    server.wait_until(lambda: _answers(started), process, folder)
    (folder / "first.sql").unlink()
    return started


def _answers(started: Server) -> bool:
    try:
        pymysql.connect(**started.login("superuser"), connect_timeout=5).close()
    except pymysql.OperationalError:
        return False
    return True


def _path() -> str:
    """The search path, with the folders of Debian's servers, which a plain user's path may lack."""
    return server.minimal_environment(Path())["PATH"] + ":/usr/sbin:/usr/bin"
