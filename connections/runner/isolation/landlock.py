"""Landlock: which files this process can open, for good. Linux 5.13 and later.

https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterable
from functools import cache
from typing import Final

from connections.runner.isolation.libc import LINUX, syscall

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION: Final = 1
_PATH_BENEATH: Final = 1

_WRITE_FILE: Final = 1 << 1
_READ_FILE: Final = 1 << 2
_READ_DIR: Final = 1 << 3
_REMOVE_FILE: Final = 1 << 5
_MAKE_REG: Final = 1 << 8
_TRUNCATE: Final = 1 << 14
_OF_FILES: Final = _WRITE_FILE | _READ_FILE | _TRUNCATE

READ: Final = _READ_FILE | _READ_DIR
WRITE: Final = READ | _WRITE_FILE | _TRUNCATE | _REMOVE_FILE | _MAKE_REG
"""Plain files in a flat folder: no folder, link, pipe, socket or device is made."""

_HANDLED: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_HANDLED_LATER: Final = (1 << 16) - 1
_TCP: Final = 0b11  # bind and connect
_SCOPES: Final = 0b11  # abstract Unix sockets and signals: only within this process's own domain


@cache
def version() -> int:
    """The kernel's Landlock version; 0 where there is none, or a container refuses it."""
    if not LINUX:
        return 0
    try:
        return syscall(_CREATE_RULESET, None, 0, _VERSION)
    except OSError as exc:
        if exc.errno in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
            return 0
        raise


def confine(readable: Iterable[str], writable: Iterable[str], *, network: bool) -> bool:
    """Leave this process, and what it starts, only these files and folders; those it cannot reach are left out.

    Without ``network``, no TCP either. False where the kernel has no Landlock. Raises ``OSError`` when it has and
    refuses. Call it before the first thread, under no_new_privs: it holds for the calling thread and its children.
    """
    number = version()
    if not number:
        return False
    files = _HANDLED.get(number, _HANDLED_LATER)
    tcp = _TCP if number >= 4 and not network else 0
    content = struct.pack("<QQQ", files, tcp, _SCOPES)[: 8 if number < 4 else 16 if number < 6 else 24]
    ruleset = syscall(_CREATE_RULESET, ctypes.create_string_buffer(content, len(content)), len(content), 0)
    try:
        for paths, rights in ((readable, READ), (writable, WRITE)):
            for path in paths:
                with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                    _allow(ruleset, path, rights & files)
        syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return True


def _allow(ruleset: int, path: str, rights: int) -> None:
    """Add a rule, for the file as the kernel knows it now.

    When it is short of memory it forgets files of /proc, and those that it makes anew are others. So these are held
    open for as long as the process lives.
    """
    file = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(file).st_mode):
            rights &= _OF_FILES
        syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.create_string_buffer(struct.pack("<Qi", rights, file), 12), 0)
    finally:
        if not path.startswith("/proc/"):
            os.close(file)
