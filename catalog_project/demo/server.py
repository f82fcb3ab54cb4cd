"""Database servers as children of this process: on loopback, without root's rights, gone when their parent is."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

HOST = "127.0.0.1"

# Database servers refuse to run as root, and should. Root gives theirs a user id of their own that no account has:
# it lies in the range that systemd's allocation leaves unused (https://systemd.io/UIDS-GIDS/).
SERVER_UID = 60_900

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class ServerError(Exception):
    """A server that did not start or stop; the message ends with its log's last lines."""


@dataclass
class Server:
    """A running server, its two roles and their passwords.

    ``superuser`` may do everything; ``reader`` may only SELECT from ``database``.
    """

    host: str
    port: int
    database: str
    superuser: str
    superuser_password: str = field(repr=False)
    reader: str
    reader_password: str = field(repr=False)
    folder: Path
    process: subprocess.Popen[bytes] = field(repr=False)

    def login(self, role: str = "reader") -> dict[str, Any]:
        """Return host, port, database, user and password of ``reader`` or ``superuser``."""
        user, password = {
            "reader": (self.reader, self.reader_password),
            "superuser": (self.superuser, self.superuser_password),
        }[role]
        return {"host": self.host, "port": self.port, "database": self.database, "user": user, "password": password}

    def stop(self, timeout: float = 20) -> None:
        """Ask the server to stop; kill it after ``timeout`` seconds. Its folder stays."""
        stop(self.process, timeout)


def as_root() -> bool:
    return os.geteuid() == 0


def identity() -> dict[str, Any]:
    """Return the arguments that make subprocess start a server without root's rights."""
    return {"user": SERVER_UID, "group": SERVER_UID, "extra_groups": []} if as_root() else {}


def hand_over(path: Path, uid: int = SERVER_UID) -> None:
    """Give ``path``, and all below it, to the servers' own user id, when this process is root."""
    if not as_root():
        return
    os.chown(path, uid, uid)
    for folder, folders, files in os.walk(path):
        for name in [*folders, *files]:
            os.chown(Path(folder, name), uid, uid, follow_symlinks=False)


def free_port() -> int:
    """Return a port of the loopback address that nothing uses now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int, host: str = HOST) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a port in TIME_WAIT is free
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def start(
    command: Sequence[str | Path],
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    end_with: int = signal.SIGINT,
) -> subprocess.Popen[bytes]:
    """Start ``command`` with its output in ``folder/log``; it gets the signal ``end_with`` when this process ends.

    Call it from the main thread: Linux counts the end of the starting thread as the parent's end.
    """
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env=minimal_environment(folder) | dict(environment or {}),
            start_new_session=True,  # a Ctrl-C in the terminal is for the parent, which stops its servers in order
            preexec_fn=tie_to_parent(end_with),
            **identity(),
        )


def minimal_environment(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], folder: Path, timeout: float = 60) -> None:
    """Return when ``ready()`` is true. Raises ServerError when the process ends or ``timeout`` seconds pass."""
    deadline = time.monotonic() + timeout
    while not ready():
        if process.poll() is not None:
            raise ServerError(f"The server ended with status {process.returncode}.\n{log_tail(folder)}")
        if time.monotonic() > deadline:
            stop(process, 5)
            raise ServerError(f"The server did not answer within {timeout:.0f} s.\n{log_tail(folder)}")
        time.sleep(0.05)


def stop(process: subprocess.Popen[bytes], timeout: float, sign: int = signal.SIGINT) -> None:
    """Send ``sign``, then SIGKILL after ``timeout`` seconds. Does nothing to a process that has ended."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGCONT)  # a paused server takes no other signal
    process.send_signal(sign)
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout)


def log_tail(folder: Path, lines: int = 15) -> str:
    log = folder / "log"
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    file: IO[str]
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def tie_to_parent(end_with: int) -> Callable[[], None] | None:
    """Return what a child calls before its program starts, so that it gets ``end_with`` when this process ends."""
    if sys.platform != "linux":
        return None  # there, stop() alone ends the server
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, end_with)
        if os.getppid() != parent:  # it ended before the tie was made
            os._exit(1)

    return tie
