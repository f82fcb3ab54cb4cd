"""System calls that a worker does without, refused by a filter in the kernel, for good.

The filter is assembled here, in a few lines: the binding for libseccomp needs a library that a machine may lack, and
runs programs when it is imported. https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
from collections.abc import Iterable
from typing import Final

from connections.runner.isolation.libc import LINUX, prctl
from connections.runner.isolation.syscalls import LAST, NUMBERS, REFUSED

_PR_GET_SECCOMP: Final = 21
_PR_SET_SECCOMP: Final = 22
_MODE_FILTER: Final = 2

_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_KILL: Final = 0x80000000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN, _AND = 0x20, 0x15, 0x35, 0x45, 0x06, 0x54
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16


_ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_CLONE_THREAD: Final = 0x00010000
_MAP_SHARED_ANONYMOUS: Final = 0x21  # counts against no limit on data
_SOCKET_TYPE: Final = 0x0F
_PRCTL_REFUSED: Final = (1, 4, 35, 36, 0x59616D61)  # PDEATHSIG, DUMPABLE, MM, CHILD_SUBREAPER, PTRACER
_FCNTL_REFUSED: Final = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: signals to others
_IOCTL_REFUSED: Final = (0x5412, 0x541C, 0x8901, 0x8902)  # TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP


def refuse(*, network: bool) -> bool:
    """Install the filter for this process and its threads. False where the kernel or the machine has no filters.

    Refused are new processes and programs, other processes' memory, limits and signals, sockets but TCP and UDP
    (all, without ``network``), shared memory, changes to files' owners and modes, and what only the system's
    administrators need. Raises ``OSError`` when a filter is refused that should work.
    """
    architecture = _ARCHITECTURES.get(platform.machine())
    if not LINUX or architecture is None:
        return False
    try:
        prctl(_PR_GET_SECCOMP)
    except OSError as exc:
        if exc.errno == errno.EINVAL:
            return False
        raise
    program = _program(NUMBERS[platform.machine()], architecture, network=network)
    content = ctypes.create_string_buffer(b"".join(program), 8 * len(program))
    header = struct.pack("@HP", len(program), ctypes.addressof(content))
    prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.create_string_buffer(header, len(header)))
    return True


def _program(numbers: dict[str, int], architecture: int, *, network: bool) -> list[bytes]:
    own = os.getpid()
    lines = [
        _line(_LOAD, _ARCHITECTURE_AT),
        _line(_EQUAL, architecture, 1, 0),
        _line(_RETURN, _KILL),
        _line(_LOAD, _NUMBER_AT),
    ]
    # Calls that came later than this list are as if the kernel did not have them: the C library knows other ways.
    lines += [_line(_AT_LEAST, LAST + 1, 0, 1), _refusal(errno.ENOSYS)]
    lines += _at(numbers["clone3"], [_refusal(errno.ENOSYS)])  # its flags are out of sight; clone's are not
    lines += _at(
        numbers["clone"], [*_argument(0), _line(_ANY_BIT, _CLONE_THREAD, 1, 0), _refusal(), _line(_RETURN, _ALLOW)]
    )
    lines += _at(numbers["mmap"], _unless_shared_anonymous())
    lines += _at(numbers["socket"], _sockets() if network else [_refusal(errno.EACCES)])
    lines += _at(numbers["kill"], _only(0, [own]))
    lines += _at(numbers["tgkill"], _only(0, [own]))
    lines += _at(numbers["prlimit64"], _only(0, [0, own]))
    lines += _at(numbers["sched_setaffinity"], _only(0, [0, own]))
    lines += _at(numbers["prctl"], _all_but(0, _PRCTL_REFUSED))
    lines += _at(numbers["fcntl"], _all_but(1, _FCNTL_REFUSED))
    lines += _at(numbers["ioctl"], _all_but(1, _IOCTL_REFUSED))
    for name in REFUSED:
        if name in numbers:
            lines += _at(numbers[name], [_refusal()])
    lines.append(_line(_RETURN, _ALLOW))
    return lines


def _line(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One instruction; ``if_true`` and ``if_false`` are how many of those after it are skipped."""
    return struct.pack("<HBBI", code, if_true, if_false, value)


def _refusal(number: int = errno.EPERM) -> bytes:
    return _line(_RETURN, _ERRNO | number)


def _at(number: int, then: list[bytes]) -> list[bytes]:
    """Do ``then``, which returns, for this call."""
    return [_line(_EQUAL, number, 0, len(then)), *then]


def _argument(position: int) -> list[bytes]:
    """Load an argument's lower half: all that the kernel uses of an ``int``."""
    return [_line(_LOAD, _ARGUMENTS_AT + 8 * position)]


def _only(position: int, values: Iterable[int]) -> list[bytes]:
    allowed = [line for value in values for line in (_line(_EQUAL, value, 0, 1), _line(_RETURN, _ALLOW))]
    return [*_argument(position), *allowed, _refusal()]


def _all_but(position: int, values: Iterable[int]) -> list[bytes]:
    refused = [line for value in values for line in (_line(_EQUAL, value, 0, 1), _refusal())]
    return [*_argument(position), *refused, _line(_RETURN, _ALLOW)]


def _only_threads() -> list[bytes]:
    return [*_argument(0), _line(_ANY_BIT, _CLONE_THREAD, 1, 0), _refusal(), _line(_RETURN, _ALLOW)]


def _sockets() -> list[bytes]:
    """TCP and UDP over IP. Resolving names does without the others: they are its caches and its view of interfaces."""
    kinds = [*_argument(1), _line(_AND, _SOCKET_TYPE)]
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        kinds += [_line(_EQUAL, kind, 0, 1), _line(_RETURN, _ALLOW)]
    kinds.append(_refusal(errno.EACCES))
    return [
        *_argument(0),
        _line(_EQUAL, socket.AF_INET, 2, 0),
        _line(_EQUAL, socket.AF_INET6, 1, 0),
        _refusal(errno.EAFNOSUPPORT),
        *kinds,
    ]


def _unless_shared_anonymous() -> list[bytes]:
    return [
        *_argument(3),
        _line(_AND, _MAP_SHARED_ANONYMOUS),
        _line(_EQUAL, _MAP_SHARED_ANONYMOUS, 0, 1),
        _refusal(errno.ENOMEM),
        _line(_RETURN, _ALLOW),
    ]
