"""System calls that wait for another process: the kernel tells it of each, and the caller gets what it answers.

Whoever answers does the work itself, with copies of its own: what the caller changes meanwhile changes nothing. It
never lets the kernel go on with the call. https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from connections.runner.isolation.libc import LINUX, call, syscall

_PIDFD_GETFD: Final = 438

_NOTICE: Final = struct.Struct("<QIIiIQ6Q")
_ANSWER: Final = struct.Struct("<QqiI")
SIZES: Final = (_NOTICE.size, _ANSWER.size, 64)
"""Of a notice, of an answer, and of what a notice tells of its call: what the numbers below are made of."""
_RECEIVE: Final = 0xC0502100
_SEND: Final = 0xC0182101
_VALID: Final = 0x40082102


@dataclass(frozen=True, slots=True)
class Notice:
    """A call that waits: its number and its arguments, which may be addresses in its caller's memory."""

    id: int
    number: int
    arguments: tuple[int, ...]


def receive(listener: int) -> Notice | None:
    """The next call that waits; None when its caller gave it up, or ended, before this was asked."""
    content = bytearray(_NOTICE.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, content, True)
    except (FileNotFoundError, InterruptedError):
        return None
    identity, _, _, number, _, _, *arguments = _NOTICE.unpack(content)
    return Notice(identity, number, tuple(arguments))


def waits(listener: int, notice: Notice) -> bool:
    """Whether its caller still waits; else its process id and memory may be another's by now."""
    try:
        fcntl.ioctl(listener, _VALID, struct.pack("<Q", notice.id))
    except FileNotFoundError:
        return False
    return True


def answer(listener: int, notice: Notice, error: int, value: int = 0) -> None:
    """End the call: with ``value``, or with the error of this number. Nothing happens when its caller has gone."""
    with suppress(FileNotFoundError, BlockingIOError):  # the second: it has its answer
        fcntl.ioctl(listener, _SEND, _ANSWER.pack(notice.id, value, -error, 0))


def taken(pidfd: int, number: int) -> int:
    """A descriptor of this process for what ``number`` is in the process of ``pidfd``.

    Raises ``OSError``: EBADF when it is nothing there, EPERM when this process may not look into that one.
    """
    if not LINUX:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return syscall(_PIDFD_GETFD, pidfd, number, 0)


def memory(pid: int, address: int, length: int) -> bytes:
    """A copy of ``length`` bytes of another process. Raises ``OSError`` when they are not there to be read."""
    copy = ctypes.create_string_buffer(length)
    here = struct.pack("@PN", ctypes.addressof(copy), length)
    there = struct.pack("@PN", address, length)
    one = ctypes.c_ulong(1)
    if call("process_vm_readv", pid, here, one, there, one, ctypes.c_ulong(0)) != length:
        raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
    return copy.raw
