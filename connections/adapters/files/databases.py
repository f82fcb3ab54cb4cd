"""A database that is one file beneath the organisation's folder, and a library that opens files by their names."""

from __future__ import annotations

import os
from pathlib import Path

from connections.adapters.contract import Environment
from connections.adapters.errors import AuthorizationError
from connections.adapters.files.beneath import open_beneath

PATH_FIELD = "/config/path"


def open_file(environment: Environment, path: str) -> int:
    """A descriptor of the file, for the caller to close. Give the library ``/dev/fd/<it>``.

    Raises ``AuthorizationError`` where there is no such file, or no folder at all, and as ``open_beneath`` does.
    """
    if environment.root is None:
        raise AuthorizationError("This organisation has no folder for files.", field=PATH_FIELD)
    return open_beneath(environment.root, path, field=PATH_FIELD, error=AuthorizationError)


def require_opened(file: int) -> None:
    """Raise ``AuthorizationError`` unless the library opened the very file that is open as ``file``."""
    if not _held_twice(file):
        raise AuthorizationError("The file was replaced while it was opened.", field=PATH_FIELD)


def _held_twice(file: int) -> bool:
    """Whether another descriptor of this process is the same file."""
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
