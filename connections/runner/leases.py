"""Slots that all processes of a host share, so that a limit holds for all of them together.

A slot is one byte of one file, and to have it is to hold the kernel's lock on that byte: nothing is written, nobody
waits, and whatever a process held is free the moment it is gone, however it went. Processes on other hosts have slots
of their own. Where the system has no such locks (they belong to an open file: Linux), slots are this process's alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import struct
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

MOST_SLOTS: Final = 4096
_SET_LOCK: Final[int | None] = getattr(fcntl, "F_OFD_SETLK", None)
_FLOCK: Final = struct.Struct("hhqqi4x")  # struct flock: type, whence, start, length, process (0 for such locks)

Want = tuple[str, str, int]
"""What slots are for: a kind, a name, and how many there are."""


class NoSlotError(Exception):
    """All slots of ``want`` are taken."""

    def __init__(self, want: Want) -> None:
        super().__init__(f"{want[0]} {want[1]} has all its {want[2]} slots in use")
        self.want = want


class Leases:
    """The slots that this process holds, and a hand on those of the host. Thread-safe.

    ``path`` is the file that the host's processes share; None for slots of this process alone.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._held: set[int] = set()
        self._lock = threading.Lock()
        self._file = None if path is None or _SET_LOCK is None else os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def take(self, wants: Sequence[Want]) -> list[int]:
        """One slot of each, to be given back. Raises ``NoSlotError``, and holds none, where one has no slot free."""
        taken: list[int] = []
        with self._lock:
            for want in wants:
                slot = self._free(want)
                if slot is None:
                    self._let_go(taken)
                    raise NoSlotError(want)
                taken.append(slot)
        return taken

    def give_back(self, slots: list[int]) -> None:
        """Free these slots, and empty the list: to give it back again does nothing."""
        with self._lock:
            self._let_go(slots)
            slots.clear()

    def close(self) -> None:
        """Free all slots. The file stays, for others."""
        with self._lock:
            self._held.clear()
            if self._file is not None and _SET_LOCK is not None:
                # All of it: a child that was forked may have the file open still, and that would hold the locks.
                fcntl.fcntl(self._file, _SET_LOCK, _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0))
                os.close(self._file)
                self._file = None

    def forget(self) -> None:
        """After a fork, in the child: let go of the parent's slots, which stay taken. Takes no lock."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _free(self, want: Want) -> int | None:
        """A slot that was free and is ours now. Starts anywhere, so that processes do not queue up for the first."""
        kind, name, count = want
        base, count = _base(kind, name), min(count, MOST_SLOTS)
        start = int(random.random() * count)  # noqa: S311
        for step in range(count):
            slot = base + (start + step) % count
            if slot not in self._held and self._locked(slot):
                self._held.add(slot)
                return slot
        return None

    def _let_go(self, slots: Sequence[int]) -> None:
        for slot in slots:
            self._held.discard(slot)
            if self._file is not None and _SET_LOCK is not None:
                fcntl.fcntl(self._file, _SET_LOCK, _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, slot, 1, 0))

    def _locked(self, slot: int) -> bool:
        if self._file is None or _SET_LOCK is None:
            return True
        try:
            fcntl.fcntl(self._file, _SET_LOCK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, slot, 1, 0))
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES: another process has it
            return False
        return True


@lru_cache(4096)
def _base(kind: str, name: str) -> int:
    """Where in the file the slots of this name are: a hash of 48 bits, and room for all its slots."""
    digest = hashlib.blake2b(f"{kind}\0{name}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") * MOST_SLOTS
