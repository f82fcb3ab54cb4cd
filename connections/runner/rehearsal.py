"""Whether connecting on a worker's behalf works on this machine: it is done once, with a process of its own."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from connections.adapters.egress import EgressPolicy
from connections.runner.dialling import Dialler
from connections.runner.frames import DESCRIPTOR
from connections.runner.isolation import HandOver
from connections.runner.leave import Leave

SECONDS: Final = 5.0
_TAKEN: Final = b"T"
_REFUSALS: Final = (errno.EACCES, errno.EPERM, errno.ENOSYS)

Confine = Callable[[HandOver], dict[str, bool]]


def rehearsed(confine: Confine, clean: Callable[[int], None]) -> dict[str, bool] | None:
    """The report of a process that ``confine`` confined, whose connecting was done for it; None where it cannot be.

    It cannot where the kernel lacks it, a container forbids it, or the C library looks up names by messages that are
    sent to an address. ``clean`` removes what the process of this id left.
    """
    if not _connects_to_nameservers() or not hasattr(os, "pidfd_open"):
        return None
    try:
        with socket.create_server(("127.0.0.1", 0)) as far:
            return _rehearsed(confine, clean, far.getsockname())
    except (OSError, ValueError):
        return None


def _rehearsed(confine: Confine, clean: Callable[[int], None], far: Any) -> dict[str, bool] | None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        pid = os.fork()
        if not pid:
            try:
                ours.close()
                _try(theirs, confine, far)
            finally:
                os._exit(0)
        theirs.close()
        pidfd = os.pidfd_open(pid)
        try:
            ours.settimeout(SECONDS)
            leave = Leave()
            leave.grant(EgressPolicy(loopback=True).as_dict())
            told = ours.recv(DESCRIPTOR.size, socket.MSG_WAITALL)
            dialler = Dialler(pid, pidfd, DESCRIPTOR.unpack(told)[0], leave)
            ours.sendall(_TAKEN)
            report, error = json.loads(_all(ours))
        except struct.error:  # it ended before it had anything to give
            return None
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(pidfd)
            clean(pid)
        # Before Linux 5.9 nobody is told that the last one who could connect has gone.
        return report if error not in _REFUSALS and dialler.over(SECONDS) else None


def _try(theirs: socket.socket, confine: Confine, far: Any) -> None:
    theirs.settimeout(SECONDS)

    def hand_over(listener: int) -> None:
        theirs.sendall(DESCRIPTOR.pack(listener))
        if theirs.recv(1) != _TAKEN:
            raise ConnectionError("Nobody took it.")

    report = confine(hand_over)
    with socket.socket() as sock:
        error = sock.connect_ex(far)
    theirs.sendall(json.dumps([report, error]).encode())


def _all(sock: socket.socket) -> bytes:
    with sock.makefile("rb") as file:
        return file.read()


def _connects_to_nameservers() -> bool:
    """Whether the C library is one that does; others send to them without."""
    try:
        return "glibc" in (os.confstr("CS_GNU_LIBC_VERSION") or "")
    except (ValueError, OSError):
        return False
