"""How much more memory this process holds than before it read anything, as the kernel counts it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_STATM: Final = Path("/proc/self/statm")
_first: int | None = None


def before() -> None:
    """Remember what this process holds, if it was not yet. A process that is forked first has figures of its own."""
    global _first
    if _first is None:
        _first = _resident()


def grown() -> int:
    """Bytes; 0 where the kernel does not tell."""
    return _resident() - _first if _first else 0


def _resident() -> int:
    try:
        pages = int(_STATM.read_bytes().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
