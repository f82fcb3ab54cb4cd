"""The other processes of this host that share a private folder, and what they tell one another."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

Message = dict[str, Any]

MOST_BYTES: Final = 64 * 1024
PATIENCE_SECONDS: Final = 0.5
_LONGEST: Final = 100  # bytes; the path of a socket has room for 107
_ENDING: Final = ".sock"


def private_folder(path: Path) -> Path:
    """``path`` as a folder that only we may enter, made if need be. Raises ``OSError`` when it is another's."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{path} is not a folder of this user.")
    if found.st_mode & 0o077:
        raise PermissionError(f"{path} can be entered by others. Run: chmod 700 {path}")
    return path


class Neighbours:
    """This process's ear in ``folder``, and its voice. ``hear`` is called with each message, in a thread of its own.

    Each process listens on a socket in the folder: whoever may enter it is one of us, and nobody else may. A socket
    that nobody listens on any more is removed by whoever next speaks to it.
    """

    def __init__(self, folder: Path, hear: Callable[[Message], None]) -> None:
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._path = folder
        self._hear = hear
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}{_ENDING}"
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ear.bind(self._address(self._name))
        self._closed = False
        threading.Thread(target=self._listen, name="catalog-neighbours", daemon=True).start()

    def tell(self, message: Message) -> int:
        """Send ``message`` to all others of this host. Returns how many got it; waits half a second for a busy one."""
        if self._closed:
            return 0
        content = json.dumps(message).encode()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as voice:
            voice.setblocking(False)
            return sum(self._sent(voice, content, name) for name in os.listdir(self._folder) if self._is_other(name))

    def close(self) -> None:
        """Listen no more."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as voice:
            voice.sendto(b"", self._address(self._name))  # wakes the listener, which then goes
        with contextlib.suppress(OSError):
            os.unlink(self._name, dir_fd=self._folder)
        self._let_go()

    def forget(self) -> None:
        """After a fork, in the child: let go of the parent's socket without touching it."""
        self._closed = True
        self._let_go()

    def _let_go(self) -> None:
        self._ear.close()
        os.close(self._folder)

    def _listen(self) -> None:
        while not self._closed:
            try:
                content = self._ear.recv(MOST_BYTES)
            except OSError:
                return
            if content and not self._closed:
                with contextlib.suppress(ValueError, KeyError, TypeError):  # of another version, or no message of ours
                    self._hear(json.loads(content))

    def _is_other(self, name: str) -> bool:
        return name.endswith(_ENDING) and name != self._name

    def _sent(self, voice: socket.socket, content: bytes, name: str) -> bool:
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                voice.sendto(content, self._address(name))
                return True
            except BlockingIOError:  # it has much to hear
                if time.monotonic() > until:
                    return False
                time.sleep(0.01)
            except (ConnectionRefusedError, FileNotFoundError):  # its process is gone
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=self._folder)
                return False

    def _address(self, name: str) -> str:
        """The path to a socket in the folder, by the folder's descriptor where it would be too long."""
        direct = str(self._path / name)
        return direct if len(os.fsencode(direct)) <= _LONGEST else f"/proc/self/fd/{self._folder}/{name}"
