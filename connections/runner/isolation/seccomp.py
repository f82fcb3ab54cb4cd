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
from collections.abc import Collection, Iterable
from typing import Final

from connections.runner.isolation import notices
from connections.runner.isolation.libc import LINUX, prctl, syscall
from connections.runner.isolation.syscalls import LAST, NUMBERS, REFUSED

_PR_GET_SECCOMP: Final = 21
_PR_SET_SECCOMP: Final = 22
_MODE_FILTER: Final = 2
_SET_MODE_FILTER: Final = 1
_GET_NOTICE_SIZES: Final = 3
_NEW_LISTENER: Final = 1 << 3
_WAIT_KILLABLE: Final = 1 << 5  # Linux 5.19: no signal makes a call that was told be made, and told, again

_ALLOW: Final = 0x7FFF0000
_TELL: Final = 0x7FC00000
_ERRNO: Final = 0x00050000
_KILL: Final = 0x80000000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN, _AND = 0x20, 0x15, 0x35, 0x45, 0x06, 0x54
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16


_ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_CLONE_THREAD: Final = 0x00010000
_MSG_FASTOPEN: Final = 0x20000000
_MAP_SHARED_ANONYMOUS: Final = 0x21  # counts against no limit on data
_MAP_GROWSDOWN: Final = 0x0100  # nor does this: the kernel takes it for a stack
_SOCKET_TYPE: Final = 0x0F
_PRCTL_REFUSED: Final = (1, 4, 22, 35, 36, 0x59616D61)  # PDEATHSIG, DUMPABLE, SECCOMP, MM, CHILD_SUBREAPER, PTRACER
_FCNTL_REFUSED: Final = (
    *(8, 10, 15),  # F_SETOWN, F_SETSIG, F_SETOWN_EX: signals to others
    *(1024, 1026),  # F_SETLEASE, F_NOTIFY: to hold up who opens a file for writing, to watch a folder
    1031,  # F_SETPIPE_SZ: of the pages that a user's pipes may have, all
)
_OPTIONS_REFUSED: Final = {
    1: (15,),  # SO_REUSEPORT: a part of what comes to another's port
    0: (4,),  # IP_OPTIONS: source routes lead a packet to a host that is not its address
    41: (6, 57),  # IPV6_2292PKTOPTIONS, IPV6_RTHDR: the same
}
_OPTIONS_IGNORED: Final = {1: (7, 8, 32, 33)}
"""SO_SNDBUF, SO_RCVBUF and their likes that force: what is queued counts against no limit of this process. They are
answered with success, as drivers do not expect to be refused them, and the kernel takes them for wishes as well."""
_IOCTL_REFUSED: Final = (
    *(0x5412, 0x541C, 0x8901, 0x8902),  # TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP
    # A file's flags, version, attributes and seal, which its owner sets through a descriptor for reading.
    *(0x40086602, 0x40046602, 0x40087602, 0x40047602),  # FS_IOC_SETFLAGS, FS_IOC_SETVERSION; of 64 bits and of 32
    *(0x401C5820, 0x40806685),  # FS_IOC_FSSETXATTR, FS_IOC_ENABLE_VERITY
)


def refuse(*, network: bool) -> bool:
    """Install the filter for this process and its threads. False where the kernel or the machine has no filters.

    Refused are new processes and programs, other processes' memory, limits and signals, sockets but TCP and UDP
    (all, without ``network``), shared memory, changes to files' owners and modes, and what only the system's
    administrators need. Raises ``OSError`` when a filter is refused that should work.
    """
    if not LINUX or platform.machine() not in _ARCHITECTURES:
        return False
    try:
        prctl(_PR_GET_SECCOMP)
    except OSError as exc:
        if exc.errno == errno.EINVAL:
            return False
        raise
    _, header = _assembled(network=network, told=False)
    prctl(_PR_SET_SECCOMP, _MODE_FILTER, header)
    return True


def refuse_and_tell() -> int:
    """Install the filter for the class that has the network; returns what tells of each ``connect``.

    It waits for whoever holds the descriptor that is returned, and so do ``bind``, ``listen``, and ``sendmsg``, which
    can carry an address. Other ways to send along none but a connection are refused. Raises ``OSError`` where that is
    not to be had.
    """
    numbers = NUMBERS.get(platform.machine())
    if not LINUX or numbers is None or platform.machine() not in _ARCHITECTURES:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    sizes = ctypes.create_string_buffer(6)
    syscall(numbers["seccomp"], _GET_NOTICE_SIZES, 0, sizes)
    if struct.unpack("<3H", sizes.raw) != notices.SIZES:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    _, header = _assembled(network=True, told=True)
    try:
        return syscall(numbers["seccomp"], _SET_MODE_FILTER, _NEW_LISTENER | _WAIT_KILLABLE, header)
    except OSError as exc:
        if exc.errno != errno.EINVAL:
            raise
        return syscall(numbers["seccomp"], _SET_MODE_FILTER, _NEW_LISTENER, header)


def _assembled(*, network: bool, told: bool) -> tuple[ctypes.Array[ctypes.c_char], ctypes.Array[ctypes.c_char]]:
    """The filter, and what the kernel is given for it; the first must live as long as the second is used."""
    machine = platform.machine()
    program = _program(NUMBERS[machine], _ARCHITECTURES[machine], network=network, told=told)
    content = ctypes.create_string_buffer(b"".join(program), 8 * len(program))
    header = struct.pack("@HP", len(program), ctypes.addressof(content))
    return content, ctypes.create_string_buffer(header, len(header))


def _program(numbers: dict[str, int], architecture: int, *, network: bool, told: bool) -> list[bytes]:
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
    lines += _at(numbers["mmap"], _counted_as_data())
    lines += _at(numbers["socket"], _sockets() if network else [_refusal(errno.EACCES)])
    # Other pairs can be turned to any Unix socket.
    lines += _at(numbers["socketpair"], _with(1, _SOCKET_TYPE, [socket.SOCK_STREAM]))
    if told:
        for name in ("connect", "bind", "listen", "sendmsg"):
            lines += _at(numbers[name], [_line(_RETURN, _TELL)])
    if told or not network:
        lines += _at(numbers["sendto"], _along_connections())
        lines += _at(numbers["sendmmsg"], [_refusal(errno.EACCES)])
    if not network:
        for name in ("connect", "listen", "bind", "sendmsg"):
            lines += _at(numbers[name], [_refusal(errno.EACCES)])
    lines += _at(numbers["setsockopt"], _options())
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


def _among(values: Collection[int], otherwise: bytes) -> list[bytes]:
    """Go on when what is loaded is one of ``values``."""
    return [*(_line(_EQUAL, value, len(values) - at, 0) for at, value in enumerate(values)), otherwise]


def _with(position: int, mask: int, values: Collection[int]) -> list[bytes]:
    return [
        *_argument(position),
        _line(_AND, mask),
        *_among(values, _refusal(errno.EACCES)),
        _line(_RETURN, _ALLOW),
    ]


def _sockets() -> list[bytes]:
    """TCP and UDP over IP. Resolving names does without the others: they are its caches and its view of interfaces.

    Other protocols have ways of their own to connect (SCTP's options, the addresses that MPTCP is told).
    """
    return [
        *_argument(0),
        *_among([socket.AF_INET, socket.AF_INET6], _refusal(errno.EAFNOSUPPORT)),
        *_argument(2),
        *_among([0, socket.IPPROTO_TCP, socket.IPPROTO_UDP], _refusal(errno.EACCES)),
        *_with(1, _SOCKET_TYPE, [socket.SOCK_STREAM, socket.SOCK_DGRAM]),
    ]


def _along_connections() -> list[bytes]:
    """``sendto`` without an address, which is ``send``; and not the kind that connects."""
    lower, upper = _ARGUMENTS_AT + 8 * 4, _ARGUMENTS_AT + 8 * 4 + 4
    return [
        _line(_LOAD, lower),
        *_among([0], _refusal(errno.EACCES)),
        _line(_LOAD, upper),
        *_among([0], _refusal(errno.EACCES)),
        *_argument(3),
        _line(_ANY_BIT, _MSG_FASTOPEN, 0, 1),
        _refusal(errno.EACCES),
        _line(_RETURN, _ALLOW),
    ]


def _options() -> list[bytes]:
    """``setsockopt`` but for options that change whom a socket speaks to, or how much waits in it."""
    nothing = _line(_RETURN, _ERRNO)  # answers success
    lines = _argument(1)
    for level, names in _OPTIONS_REFUSED.items():
        ignored = [line for name in _OPTIONS_IGNORED.get(level, ()) for line in (_line(_EQUAL, name, 0, 1), nothing)]
        then = [*_argument(2), *ignored, *_all_but(2, names)]
        lines += [_line(_EQUAL, level, 0, len(then)), *then]
    return [*lines, _line(_RETURN, _ALLOW)]


def _counted_as_data() -> list[bytes]:
    return [
        *_argument(3),
        _line(_ANY_BIT, _MAP_GROWSDOWN, 0, 1),
        _refusal(errno.ENOMEM),
        _line(_AND, _MAP_SHARED_ANONYMOUS),
        _line(_EQUAL, _MAP_SHARED_ANONYMOUS, 0, 1),
        _refusal(errno.ENOMEM),
        _line(_RETURN, _ALLOW),
    ]
