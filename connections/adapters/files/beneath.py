"""Opening files beneath a folder, and nothing else.

A name is a relative path with ``/`` between its parts. The kernel resolves it (``openat2``, Linux 5.6 and later)
or, where that call is missing, a walk opens one part after the other from the folder's descriptor. Neither follows
a symbolic link. What was opened decides, by its own descriptor: nothing is checked by name first, so swapping a
file for a link between two looks gains nothing.

Only regular files with one name are opened. A hard link is refused: it can show another organisation's file inside
this folder, and no look at the path would tell.

The folder itself (``root``) is the deployment's word and may be reached through links.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from connections.adapters.errors import AdapterError, InvalidError, QueryError, QueryForbiddenError, TooLargeError
from connections.adapters.files.resolving import FILE, FOLDER, open_at

MAX_LENGTH = 1024
MAX_DEPTH = 16
MAX_FILES = 10_000
MAX_ENTRIES = 100_000
TRIES = 5
"""How often a file that is replaced while it is opened is opened anew."""

_ESCAPED = re.compile(r"%(?:00|25|2e|2f|5c)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def split_name(relative: str, *, field: str = "/query/table") -> tuple[str, ...]:
    """The parts of a relative name. Raises ``InvalidError`` for one that is not plainly beneath a folder.

    Refused: empty, absolute, ``.`` and ``..``, a leading ``~``, backslashes, control characters, text that is no
    UTF-8, URL-escaped dots and slashes, more than 16 parts or 1024 characters. Look-alikes of dots and slashes are
    ordinary letters of a name, as they are to the kernel.
    """
    parts = tuple(relative.split("/"))
    wrong = (
        not relative
        or len(relative) > MAX_LENGTH
        or len(parts) > MAX_DEPTH
        or any(part in ("", ".", "..") for part in parts)
        or relative.startswith("~")
        or "\\" in relative
        or _CONTROL.search(relative)
        or _ESCAPED.search(relative)
        or any(0xD800 <= ord(letter) <= 0xDFFF for letter in relative)
    )
    if wrong:
        raise InvalidError(
            "The name of a file is a path inside the folder, like 'sales/2024.csv'; this one is not.", field=field
        )
    return parts


def open_beneath(
    root: Path | int, relative: str, *, field: str = "/query/table", error: type[AdapterError] = QueryError
) -> int:
    """Open the regular file ``relative`` under ``root`` for reading; the caller closes the descriptor.

    ``root`` is a folder's path, or a descriptor of one. Raises ``InvalidError`` for a name that cannot be right,
    ``QueryForbiddenError`` when the system denies reading, and ``error`` when there is no such file or it is a
    link, folder, device, pipe or socket. ``field`` points at the setting that holds the name.
    """
    parts = split_name(relative, field=field)
    with _worded(relative, field, error), _folder(root) as folder:
        for _ in range(TRIES):
            opened = open_at(folder, parts, FILE)
            try:
                status = os.fstat(opened)
                _require_plain_file(status, relative, field, error)
                if _still_there(folder, parts, status):
                    return opened
            except BaseException:
                os.close(opened)
                raise
            os.close(opened)
    raise error(f"{relative!r} is being replaced all the time.", field=field)


def _still_there(folder: int, parts: tuple[str, ...], opened: os.stat_result) -> bool:
    """Whether the name still leads to the file that was opened, which has had no other name in between.

    The open file alone cannot tell: a hard link to a file from elsewhere may have been opened and removed again.
    """
    try:
        named = open_at(folder, parts, FILE)
    except OSError:
        return False
    try:
        found = os.fstat(named)
        same = (found.st_dev, found.st_ino, found.st_ctime_ns) == (opened.st_dev, opened.st_ino, opened.st_ctime_ns)
        return same and found.st_nlink == 1  # making and removing a name moves the time of change
    finally:
        os.close(named)


def open_folder(
    root: Path | int, relative: str = ".", *, field: str = "/config/folder", error: type[AdapterError] = QueryError
) -> int:
    """Open the folder ``relative`` under ``root``; ``.`` is ``root`` itself. Otherwise as ``open_beneath``."""
    parts = () if relative == "." else split_name(relative, field=field)
    with _folder(root) as folder, _worded(relative, field, error):
        return open_at(folder, parts, FOLDER) if parts else os.open(".", FOLDER, dir_fd=folder)


def walk_beneath(
    root: Path | int, *, depth: int = MAX_DEPTH, files: int = MAX_FILES, entries: int = MAX_ENTRIES
) -> Iterator[str]:
    """Names of the regular files under ``root``, folder by folder, each in the order of its names.

    Links, hidden names (a leading dot) and names that ``open_beneath`` would refuse are left out, and so is what
    lies deeper than ``depth`` parts. Raises ``TooLargeError`` after ``files`` files or ``entries`` entries.
    """
    counts = {"files": files, "entries": entries}
    with _folder(root) as folder:
        for name in _walk(folder, "", depth, counts):
            counts["files"] -= 1
            if counts["files"] < 0:
                raise _too_many(files)
            yield name


def _walk(folder: int, prefix: str, depth: int, counts: dict[str, int]) -> Iterator[str]:
    folders = []
    for name, is_folder in _entries(folder, counts):
        if is_folder:
            folders.append(name)
        elif _openable(prefix + name):
            yield prefix + name
    for name in folders if depth > 1 else ():
        try:
            inner = os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=folder)
        except OSError:  # gone, swapped for a link, or not ours to read
            continue
        try:
            yield from _walk(inner, f"{prefix}{name}/", depth - 1, counts)
        finally:
            os.close(inner)


def _entries(folder: int, counts: dict[str, int]) -> list[tuple[str, bool]]:
    """Files and folders of one folder as ``(name, is a folder)``, by name."""
    found = []
    with os.scandir(folder) as scan:
        for entry in scan:
            counts["entries"] -= 1
            if counts["entries"] < 0:
                raise _too_many(MAX_ENTRIES)
            if not entry.name.startswith(".") and not entry.is_symlink():
                is_folder = entry.is_dir(follow_symlinks=False)
                if is_folder or entry.is_file(follow_symlinks=False):
                    found.append((entry.name, is_folder))
    return sorted(found)


def _openable(name: str) -> bool:
    try:
        split_name(name)
    except InvalidError:
        return False
    return True


def _too_many(count: int) -> TooLargeError:
    return TooLargeError(
        f"The folder holds more than {count} files.", field="/config/folder", hint="Choose a folder further down."
    )


@contextmanager
def _folder(root: Path | int) -> Iterator[int]:
    """A descriptor of ``root``; opened and closed here when it is a path."""
    if isinstance(root, int):
        yield root
        return
    opened = os.open(root, FOLDER)
    try:
        yield opened
    finally:
        os.close(opened)


@contextmanager
def _worded(relative: str, field: str, error: type[AdapterError]) -> Iterator[None]:
    """Inside, the system's refusals become sentences about ``relative``."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.EACCES, errno.EPERM):
            raise QueryForbiddenError(f"The catalogue may not read {relative!r}.", field=field) from None
        if exc.errno in (errno.ELOOP, errno.EXDEV, errno.EMLINK):
            raise error(
                f"{relative!r} is a symbolic link, or lies behind one. Links are not followed.", field=field
            ) from None
        if exc.errno in (errno.ENXIO, errno.ENODEV):
            raise error(f"{relative!r} is not a regular file.", field=field) from None
        if exc.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            raise error(f"There is no {relative!r} in the folder.", field=field) from None
        raise


def _require_plain_file(status: os.stat_result, relative: str, field: str, error: type[AdapterError]) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise error(f"{relative!r} is not a regular file.", field=field)
    if status.st_nlink > 1:
        raise error(
            f"{relative!r} is a hard link, which could show a file from elsewhere.",
            field=field,
            hint="Put a copy of the file into the folder.",
        )
