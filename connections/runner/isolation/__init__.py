"""What a worker gives up, and how it says which of that is in force.

In two stages, both before the worker's first thread. ``harden`` is for all workers, when they start. ``confine``
comes with the first job, which says whom the worker serves: before any adapter exists.

What the system does not have, or its container refuses, is reported as not in force. What it has and does by half
raises: such a worker must not serve.
"""

from __future__ import annotations

import math
import os
import resource
import signal
from collections.abc import Callable
from typing import Final

from connections.runner.isolation import landlock, namespaces, paths, seccomp
from connections.runner.isolation.libc import LINUX, prctl

__all__ = [
    "MEMORY_FLOOR",
    "MOST_THREADS",
    "SPARE_MEMORY",
    "HandOver",
    "adopt_orphans",
    "confine",
    "harden",
    "limit_cpu",
    "limit_memory",
]

MEMORY_FLOOR: Final = 256 * 1024 * 1024
"""The least a worker gets: pyarrow needs 185 MB of data segment to load, pandas 170, duckdb 135."""
SPARE_MEMORY: Final = 64 * 1024 * 1024
"""What a worker that ran out of memory gets more, to say so."""

HandOver = Callable[[int], None]
"""Gives away a descriptor; returns when the other side has its own."""

_PROCESSORS: Final = os.cpu_count() or 1  # asked once: it reads a file
MOST_THREADS: Final = 240 + 8 * _PROCESSORS
"""What a worker may have at once: Arrow, DuckDB and the like start some for each processor."""
_OPEN_FILES: Final = 256  # a query over 600 parquet files in four threads has fewer
_FILE_BYTES: Final = 64 * 1024 * 1024  # files are read here; only certificates are written
_MEMORY_CEILING: Final = 8 * 1024 * 1024 * 1024
_STACK_BYTES: Final = 8 * 1024 * 1024
_NOT_DATA: Final = 1024 * 1024 * 1024
"""What a worker may map beside its data: libraries (300 MB with pyarrow and duckdb), files, what is only reserved."""

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38


def harden(parent: int, scratch: str) -> dict[str, bool]:
    """The first stage; the answer says what is in force.

    ``parent`` is the process that must outlive this one, ``scratch`` an empty folder of this worker's own. Raises
    ``OSError`` when the system refuses what it has.
    """
    os.setsid()
    scratch_bounded = namespaces.bounded_scratch(scratch)  # first: new rights would undo what comes next
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold secrets
    _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _lower(resource.RLIMIT_FSIZE, _FILE_BYTES)
    _lower(resource.RLIMIT_STACK, _STACK_BYTES)
    return {
        "own_session": True,
        "no_core": True,
        "open_files": True,
        "file_size": True,
        "scratch_bounded": scratch_bounded,
        "threads_capped": scratch_bounded and _cap_threads(),
        "dies_with_parent": die_with(parent),
        "no_new_privileges": prctl(_PR_SET_NO_NEW_PRIVS, 1),
        # Other workers run as the same user: without this they could read its memory.
        "no_trace": prctl(_PR_SET_DUMPABLE, 0),
        "keeps_orphans": adopt_orphans(),
    }


def confine(
    *,
    network: bool,
    root: str | None,
    scratch: str,
    memory: int,
    hand_over: HandOver | None = None,
    traceable: bool = False,
) -> dict[str, bool]:
    """The second stage; the answer says what is in force.

    Whatever the class, this process sees the interpreter's files, those of ``root``, if any, for reading, and
    ``scratch``. With ``network`` it also sees what resolving and TLS read; without, it has no network. ``memory``, in
    bytes, is the most that ``limit_memory`` can grant from now on. Raises ``OSError`` as ``harden`` does.

    With ``hand_over``, this process does not connect by itself: it waits for whoever has the descriptor that is handed
    over, and has closed its own when this returns. ``traceable`` lets other processes of its user take its sockets, as
    far as they are allowed to look into any process.
    """
    readable = (*paths.of_interpreter(), *paths.of_class(network=network), *([root] if root else []))
    cut_off = not network and namespaces.no_network()
    if traceable:
        prctl(_PR_SET_DUMPABLE, 1)
    report = {
        "memory": _cap_memory(memory),
        "files_confined": landlock.confine(readable, [scratch, "/dev/null"], network=network),
        "capabilities_dropped": namespaces.drop_capabilities(),
        "system_calls_filtered": _hand_over(hand_over) if hand_over else seccomp.refuse(network=network),
    }
    if not network:
        return {**report, "network_namespace": cut_off}
    return {**report, "connects_dialled": hand_over is not None}


def limit_memory(wanted: int) -> int:
    """Let this process's data grow to ``wanted`` bytes, at least ``MEMORY_FLOOR``. Returns the limit in force."""
    limit = min(max(wanted, MEMORY_FLOOR), _MEMORY_CEILING)
    if LINUX:  # elsewhere the limit exists and does nothing
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    return limit


def limit_cpu(seconds: float) -> None:
    """End this process once it has computed for ``seconds`` more on every processor: it has no supervisor any more."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    granted = used.ru_utime + used.ru_stime + (seconds + 1) * _PROCESSORS
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = math.ceil(granted)
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def die_with(parent: int) -> bool:
    """Have the kernel kill this process when ``parent`` ends. False where the kernel cannot."""
    if not prctl(_PR_SET_PDEATHSIG, signal.SIGKILL):
        return False
    if os.getppid() != parent:
        raise ProcessLookupError("The parent ended first.")
    return True


def adopt_orphans() -> bool:
    """Become the parent of descendants that lose theirs, so that none gets away. False where that is impossible."""
    return prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _hand_over(hand_over: HandOver) -> bool:
    listener = seccomp.refuse_and_tell()
    try:
        hand_over(listener)
    finally:
        os.close(listener)  # whoever has it could say that a call was made
    return True


def _cap_memory(most: int) -> bool:
    """A ceiling that ``limit_memory`` stays below, and that nothing in this process can lift.

    Stacks and page tables are no data to the kernel: the limit on all that is mapped holds them.
    """
    if LINUX:
        data = min(max(most, MEMORY_FLOOR) + SPARE_MEMORY, _MEMORY_CEILING)
        _lower(resource.RLIMIT_DATA, data)
        _lower(resource.RLIMIT_AS, data + _NOT_DATA)
    return LINUX


def _cap_threads() -> bool:
    """A limit on threads, where this process has a user namespace of its own: there it is counted alone.

    Elsewhere all processes of the user are. False for root, to whom the kernel does not apply it.
    """
    if not LINUX or os.geteuid() == 0:
        return False
    _lower(resource.RLIMIT_NPROC, MOST_THREADS)
    return True


def _lower(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))
