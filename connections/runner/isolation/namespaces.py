"""Namespaces and capabilities: a scratch folder with a bottom, no network, and nothing of root but its name."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Final

from connections.runner.isolation.libc import LINUX, call, prctl

SCRATCH: Final = "size=16m,nr_inodes=1024,mode=0700"
"""What a worker can write at most: certificates are all that anything writes."""

_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_MS_NOSUID_NODEV_NOEXEC: Final = 0b1110
_MS_REC_SLAVE: Final = 1 << 14 | 1 << 19

_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_CAPABILITY_VERSION_3: Final = 0x20080522

# Containers refuse namespaces with the first two; kernels that lack them, or have given out all, with the others.
_UNAVAILABLE: Final = frozenset({errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EINVAL, errno.ENOSPC, errno.EUSERS})


def bounded_scratch(folder: str) -> bool:
    """Lay a small file system of this process's own over ``folder``; it goes with the process. False if refused."""
    if not LINUX:
        return False
    user, group = os.geteuid(), os.getegid()
    try:
        call("unshare", _CLONE_NEWNS if user == 0 else _CLONE_NEWUSER | _CLONE_NEWNS)
    except OSError as exc:
        if exc.errno in _UNAVAILABLE:
            return False
        raise
    if user != 0:  # a user without rights has them in a user namespace of its own, where it stays itself
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")
    try:
        call("mount", None, b"/", None, ctypes.c_ulong(_MS_REC_SLAVE), None)
        where, options = os.fsencode(folder), SCRATCH.encode()
        call("mount", b"tmpfs", where, b"tmpfs", ctypes.c_ulong(_MS_NOSUID_NODEV_NOEXEC), options)
    except OSError as exc:
        if exc.errno in _UNAVAILABLE:
            return False
        raise
    return True


def no_network() -> bool:
    """Move to a network namespace where nothing is, not even loopback. False if the system refuses."""
    if not LINUX:
        return False
    for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET):
        try:
            call("unshare", flags)
        except OSError as exc:
            if exc.errno not in _UNAVAILABLE:
                raise
        else:
            return True
    return False


def drop_capabilities() -> bool:
    """Give up all capabilities. What is left of root is its files, by their mode. False where there are none."""
    if not LINUX:
        return False
    prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header = ctypes.create_string_buffer(struct.pack("<Ii", _CAPABILITY_VERSION_3, 0), 8)
    call("capset", header, ctypes.create_string_buffer(24))
    return True


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
