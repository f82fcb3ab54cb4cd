"""Opening the very file that was found beneath the organisation's folder."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from connections.adapters.errors import AuthorizationError

PATH_FIELD = "/config/path"


def open_read_only(file: int) -> sqlite3.Connection:
    """A read-only connection to the very file that is open as ``file``."""
    connection = sqlite3.connect(
        f"file:/dev/fd/{file}?mode=ro&immutable=1",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=0,
    )
    if not _holds(file):
        connection.close()
        raise AuthorizationError("The file was replaced while it was opened.", field=PATH_FIELD)
    connection.executescript("pragma trusted_schema = off; pragma cell_size_check = on; pragma temp_store = memory")
    return connection


def _holds(file: int) -> bool:
    """Whether another descriptor of this process is the same file: SQLite opens by name what we opened safely."""
    meant = os.fstat(file)
    for entry in Path("/dev/fd").iterdir():
        if entry.name.isdigit() and int(entry.name) != file:
            try:
                found = os.fstat(int(entry.name))
            except OSError:  # the listing's own descriptor
                continue
            if (found.st_dev, found.st_ino) == (meant.st_dev, meant.st_ino):
                return True
    return False
