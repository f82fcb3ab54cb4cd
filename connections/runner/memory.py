"""How much more memory this process holds than before it read anything, as the kernel counts it."""

from __future__ import annotations

import os
from typing import Final

_STATM: Final = "/proc/self/statm"
_first: int | None = None
_file: int | None = None


def before() -> None:
    """Remember what this process holds, if it was not yet. A process that is forked first has figures of its own."""
    global _first, _file
    if _first is None:
        try:
            _file = os.open(_STATM, os.O_RDONLY | os.O_CLOEXEC)  # of the process that opens it
        except OSError:
            _file = None
        _first = _resident()


def grown() -> int:
    """Bytes; 0 where the kernel does not tell."""
    return _resident() - _first if _first else 0


def _resident() -> int:
    if _file is None:
        return 0
    try:
        return int(os.pread(_file, 128, 0).split()[1]) * _PAGE_SIZE
    except OSError:
        return 0


_PAGE_SIZE: Final = os.sysconf("SC_PAGE_SIZE")
