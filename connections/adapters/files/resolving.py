"""Resolving a name beneath an open folder, by the kernel or part by part. Neither follows a symbolic link."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys
from functools import cache

FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK  # O_NONBLOCK: a fifo must not hold us
FOLDER = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY

# linux/openat2.h
_SYS_OPENAT2 = 437  # the same on every architecture but alpha
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08
_MISSING_CALL = (errno.ENOSYS, errno.EPERM, errno.EINVAL)  # an old kernel, or a filter that does not know the call


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_at(folder: int, parts: tuple[str, ...], flags: int) -> int:
    """Open what ``parts`` lead to beneath ``folder``, a descriptor. Raises ``OSError``, also for a link on the way."""
    opened = _openat2(folder, parts, flags)
    return _step_by_step(folder, parts, flags) if opened is None else opened


def _openat2(folder: int, parts: tuple[str, ...], flags: int) -> int | None:
    """The kernel's own resolution beneath ``folder``; None where the call is missing."""
    call = _syscall()
    if call is None:
        return None
    how = _OpenHow(flags, 0, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS)
    name = ctypes.c_char_p("/".join(parts).encode())
    opened: int = call(_SYS_OPENAT2, folder, name, ctypes.byref(how), ctypes.sizeof(how))
    if opened >= 0:
        return opened
    code = ctypes.get_errno()
    if code in _MISSING_CALL or code == errno.EAGAIN:  # EAGAIN: a rename on the way; the walk settles it
        return None
    raise OSError(code, os.strerror(code))


@cache
def _syscall() -> ctypes._NamedFuncPointer | None:
    if sys.platform != "linux" or platform.machine() == "alpha":
        return None
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    call.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(_OpenHow), ctypes.c_size_t)
    return call


def _step_by_step(folder: int, parts: tuple[str, ...], flags: int) -> int:
    """Open one part after the other, none of them a link: the same promise without ``openat2``."""
    current = folder
    try:
        for name in parts[:-1]:
            inner = os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=current)
            if current != folder:
                os.close(current)
            current = inner
        return os.open(parts[-1], flags | os.O_NOFOLLOW, dir_fd=current)
    finally:
        if current != folder:
            os.close(current)
