"""Development settings: keys made once, kept in ``var/env`` for its owner alone."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

from catalog_project.demo import server


def ensure(var: Path) -> dict[str, str]:
    """Return the development settings of ``var/env``; write them first, with new keys, when there are none."""
    path = var / "env"
    if not path.exists():
        var.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = "".join(f"{name}={value}\n" for name, value in _settings(var).items())
        server.write_private(path, "# Made for development on this machine. Never commit it.\n" + lines)
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line and line[0] != "#")


def _settings(var: Path) -> dict[str, str]:
    return {
        "CATALOG_ENV": "development",
        "CATALOG_DEBUG": "0",
        "CATALOG_SECRET_KEY": secrets.token_urlsafe(64),
        "CATALOG_KEYS": "k1:" + base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "CATALOG_ALLOWED_HOSTS": "localhost,127.0.0.1,[::1]",
        "CATALOG_EGRESS_ALLOW": "127.0.0.0/8",
        "CATALOG_EGRESS_LOOPBACK": "1",
        "CATALOG_FILES_ROOT": str(var / "files"),
        "DATABASE_URL": f"sqlite:///{var / 'catalogue.sqlite3'}",
    }
