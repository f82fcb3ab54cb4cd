"""Where secrets may stay: tables, dumps, sessions, caches, other processes, files."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISREG
from typing import Any

from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.cache import caches
from django.core.management import call_command
from django.db import connection as database

from connections.testing.leaks.canaries import Canaries

PROC = Path("/proc")
DEPTH = 4
LARGEST = 20 * 1024 * 1024  # bytes of a file that is looked at
LEFT_OUT = frozenset({".git", ".venv", "node_modules", "site-packages", "__pycache__"})


def look(canaries: Canaries, since: float) -> None:
    """Look everywhere. ``since`` is when the hunt began, in seconds since the epoch: older files are left alone."""
    stored(canaries)
    cached(canaries)
    processes(canaries)
    files(canaries, since)


def stored(canaries: Canaries) -> None:
    """Every table, raw and as ``dumpdata`` has it, and what sessions hold."""
    dump = io.StringIO()
    call_command("dumpdata", stdout=dump)
    canaries.look("dumpdata", dump.getvalue())
    with database.cursor() as cursor:
        for table in database.introspection.table_names():
            cursor.execute(f"select * from {database.ops.quote_name(table)}")  # noqa: S608  names of our own tables
            canaries.look(f"the table {table}", repr(cursor.fetchall()))
    if database.vendor == "sqlite":
        canaries.look("the database's bytes", database.connection.serialize())
    for session in Session.objects.all():
        canaries.look("a session", repr(session.get_decoded()))


def cached(canaries: Canaries) -> None:
    """Every cache: those in this process, in Redis, and in the database or files, which are looked at as such."""
    for name in settings.CACHES:
        cache: Any = caches[name]
        canaries.look(f"the cache {name}", repr(getattr(cache, "_cache", "")))
        for key, value in dict(getattr(cache, "_cache", None) or {}).items() if hasattr(cache, "_expire_info") else ():
            canaries.look(f"the cache {name}", key)
            canaries.look(f"the cache {name}", value)
        if hasattr(cache, "_cache") and hasattr(cache._cache, "get_client"):
            client = cache._cache.get_client(None)
            for key in client.scan_iter():
                canaries.look(f"the cache {name}", key)
                canaries.look(f"the cache {name}", client.dump(key) or b"")


def processes(canaries: Canaries) -> None:
    """The command line and the environment of this process and of all that it started, where the system shows them."""
    for pid in [os.getpid(), *_children(os.getpid())]:
        for name, words in (("cmdline", "a command line"), ("environ", "an environment")):
            try:
                canaries.look(words, (PROC / str(pid) / name).read_bytes())
            except OSError:  # it has ended, or is shut to us too
                continue


def files(canaries: Canaries, since: float) -> None:
    """Files that were written since: temporary ones, and those of the organisations."""
    for root in {Path(tempfile.gettempdir()), Path(settings.CATALOG_FILES_ROOT)}:
        for path in _written(root, since):
            try:
                canaries.look(f"a file ({path.name})", path.read_bytes())
            except OSError:
                continue


def _children(pid: int) -> Iterator[int]:
    parents: dict[int, list[int]] = {}
    for stat in PROC.glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    waiting = [pid]
    while waiting:
        found = parents.get(waiting.pop(), [])
        waiting += found
        yield from found


def _written(root: Path, since: float) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        deep = len(Path(folder).relative_to(root).parts) >= DEPTH
        folders[:] = [] if deep else [name for name in folders if name not in LEFT_OUT]
        for name in names:
            path = Path(folder, name)
            try:
                found = path.lstat()
            except OSError:
                continue
            own = found.st_uid == os.getuid() and S_ISREG(found.st_mode)
            if own and found.st_mtime >= since and found.st_size <= LARGEST:
                yield path
