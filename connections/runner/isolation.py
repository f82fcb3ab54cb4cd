"""What a worker gives up before its first job, and how it says which of that is in force.

Everything here runs in the worker, before its first thread. What the system does not have (there is no prctl on
macOS) is reported as not in force; what it has and refuses stops the worker.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from typing import Final

MEMORY_FLOOR: Final = 256 * 1024 * 1024
"""The least a worker gets: pyarrow needs 185 MB of data segment to load, pandas 170, duckdb 135."""

_OPEN_FILES: Final = 512
_FILE_BYTES: Final = 64 * 1024 * 1024  # files are read here; only certificates are written
_MEMORY_CEILING: Final = 8 * 1024 * 1024 * 1024

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38

LINUX: Final = sys.platform == "linux"
_libc: Final = ctypes.CDLL(None, use_errno=True) if LINUX else None


def harden(parent: int) -> dict[str, bool]:
    """Confine this process; the answer says what is in force. ``parent`` is the process that must outlive it.

    Raises ``OSError`` when the system refuses what it has.
    """
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold secrets
    _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _lower(resource.RLIMIT_FSIZE, _FILE_BYTES)
    return {
        "own_session": True,
        "no_core": True,
        "open_files": True,
        "file_size": True,
        "memory": _cap_memory(),
        "dies_with_parent": die_with(parent),
        "no_new_privileges": _prctl(_PR_SET_NO_NEW_PRIVS, 1),
        # Other workers run as the same user: without this they could read its memory.
        "no_trace": _prctl(_PR_SET_DUMPABLE, 0),
        "keeps_orphans": adopt_orphans(),
    }


def limit_memory(wanted: int) -> int:
    """Let this process's data grow to ``wanted`` bytes, at least ``MEMORY_FLOOR``. Returns the limit in force."""
    limit = min(max(wanted, MEMORY_FLOOR), _MEMORY_CEILING)
    if LINUX:  # elsewhere the limit exists and does nothing
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    return limit


def die_with(parent: int) -> bool:
    """Have the kernel kill this process when ``parent`` ends. False where the kernel cannot."""
    if not _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL):
        return False
    if os.getppid() != parent:
        raise ProcessLookupError("The parent ended first.")
    return True


def adopt_orphans() -> bool:
    """Become the parent of descendants that lose theirs, so that none gets away. False where that is impossible."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _cap_memory() -> bool:
    """A ceiling that ``limit_memory`` stays below, and that nothing in this process can lift."""
    if LINUX:
        _lower(resource.RLIMIT_DATA, _MEMORY_CEILING)
    return LINUX


def _lower(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))


def _prctl(option: int, value: int) -> bool:
    if _libc is None:
        return False
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")
    return True
