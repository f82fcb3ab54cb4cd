"""What another process takes of what all processes of this computer share: 0 where the system does not tell."""

from __future__ import annotations

import os
import time
from typing import Final

_OF_FOLDERS: Final = 2
"""What a folder's count of links is more than the folders in it."""


def computed(pid: int) -> float:
    """Seconds that all its threads have computed."""
    clock = ~pid << 3 | 2  # of a process, by its id (clock_getcpuclockid(3)): one call, and no file
    try:
        return time.clock_gettime(clock)
    except OSError:
        return 0.0


def threads(pid: int) -> int:
    """How many it has. One call, whatever the number."""
    try:
        return os.stat(f"/proc/{pid}/task").st_nlink - _OF_FOLDERS
    except OSError:
        return 0


def descriptors(pid: int) -> int:
    """How many it has open. One call since Linux 6.2; before, a listing, which is not everybody's to see."""
    try:
        return os.stat(f"/proc/{pid}/fd").st_size or len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0
