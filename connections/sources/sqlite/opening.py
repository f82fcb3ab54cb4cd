"""Opening the very file that was found beneath the organisation's folder."""

from __future__ import annotations

import sqlite3

from connections.adapters.files.databases import require_opened


def open_read_only(file: int) -> sqlite3.Connection:
    """A read-only connection to the very file that is open as ``file``."""
    connection = sqlite3.connect(
        f"file:/dev/fd/{file}?mode=ro&immutable=1",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=0,
    )
    try:
        require_opened(file)
    except BaseException:
        connection.close()
        raise
    connection.executescript("pragma trusted_schema = off; pragma cell_size_check = on; pragma temp_store = memory")
    return connection
