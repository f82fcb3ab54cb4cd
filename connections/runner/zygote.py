"""The process that workers are forked from.

It is started afresh, has one thread, no environment and no secret. It loads what workers need once, so that a fork
takes milliseconds and shares its memory, and then serves its supervisor:

    FORK + a socket   fork a worker that serves the socket; answers its process id, or minus the error's number
    BURY + an id      wait for a killed worker, end and remove what it left; answers its wait status, or -1

When the supervisor's end closes, it kills all workers and goes.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import logging
import os
import shutil
import signal
import socket
import struct
import sys
import time
from typing import Final

from connections.runner import isolation
from connections.runner.confinement import Expected, scratch, trial

REQUEST: Final = struct.Struct("<ci")
ANSWER: Final = struct.Struct("<i")
READY: Final = b"R"
FORK: Final = b"F"
BURY: Final = b"B"
BURIAL_SECONDS: Final = 2.0
COLLECT_AFTER: Final = 50_000
"""Objects after which a worker looks for cycles: rows are many objects, and none of them is in one."""

BOOTSTRAP: Final = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[2]); "
    "from connections.runner.zygote import main; main(int(sys.argv[1]))"
)


def main(descriptor: int) -> None:
    """Serve the supervisor at the other end of ``descriptor`` until it is gone."""
    control = socket.socket(fileno=descriptor)
    logging.disable(logging.CRITICAL)
    _preload()
    isolation.adopt_orphans()  # what a dead worker leaves comes here, to be ended
    expected = trial()
    # Only now: what goes wrong up to here is for the supervisor to read, what comes later may hold secrets.
    silence = os.open(os.devnull, os.O_RDWR)
    os.dup2(silence, 2)
    os.close(silence)
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
    control.sendall(READY)
    workers: set[int] = set()
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, REQUEST.size, 1)
        if len(request) < REQUEST.size:
            break
        order, number = REQUEST.unpack(request)
        if order == FORK:
            answer = _fork(control, descriptors[0], expected) if descriptors else -errno.EMFILE
            if answer > 0:
                workers.add(answer)
        else:
            answer = _bury(number, workers)
        control.sendall(ANSWER.pack(answer))
    for worker in workers:
        _kill(worker)
    for worker in list(workers):
        _bury(worker, workers)
    os._exit(0)


def _preload() -> None:
    """Import what most jobs need, drivers of network sources among it. Large ones wait for the job that needs them.

    Third-party sources are left to the workers: what one does at import must not take this process down.
    """
    import encodings.idna  # noqa: F401  looked up by name when a host is resolved

    import connections.runner.worker  # noqa: F401
    from connections.adapters.registry import PACKAGE, BrokenSourceError, registry

    for source in registry:
        if not registry.place(source).startswith(PACKAGE + "."):
            continue
        try:
            adapter = registry[source]
        except BrokenSourceError:
            continue
        if adapter.driver is not None and not adapter.driver.available:
            continue
        driver = [adapter.driver.module] if adapter.driver is not None and adapter.needs_network else []
        for module in (*driver, *adapter.job_modules):
            with contextlib.suppress(ImportError):
                importlib.import_module(module)


def _fork(control: socket.socket, descriptor: int, expected: Expected) -> int:
    """Fork a worker for the socket ``descriptor``; returns its process id, and does not return in the worker.

    Where the system has no room for one more, it returns minus the error's number. That passes; this process stays.
    """
    zygote = os.getpid()
    try:
        pid = os.fork()
    except OSError as exc:
        os.close(descriptor)
        return -(exc.errno or errno.EAGAIN)
    if pid:
        os.close(descriptor)
        return pid
    try:
        control.close()
        from connections.runner.worker import serve

        serve(socket.socket(fileno=descriptor), zygote, expected)
    finally:
        os._exit(0)


def _bury(pid: int, workers: set[int]) -> int:
    """Reap ``pid`` and what is left of its descendants. Its id stays taken until here, so killing by id is safe."""
    workers.discard(pid)
    until = time.monotonic() + BURIAL_SECONDS
    status = _reap(pid, until)
    # Orphans come to this process: whoever is a child and no worker was left by a dead one.
    while strays := _children() - workers:
        if time.monotonic() > until:
            break
        for stray in strays:
            with contextlib.suppress(ProcessLookupError):
                os.kill(stray, signal.SIGKILL)
            _reap(stray, until)
    shutil.rmtree(scratch(pid), ignore_errors=True)  # no process of this id comes before the next fork
    return status


def _reap(pid: int, until: float) -> int:
    """The wait status of ``pid``; -1 when it is no child or does not end in time."""
    while True:
        try:
            found, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return -1
        if found:
            return status
        if time.monotonic() > until:
            return -1
        time.sleep(0.001)


def _children() -> set[int]:
    """The children of this process; none where the system does not list them."""
    if sys.platform != "linux":
        return set()
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as listing:
            return {int(pid) for pid in listing.read().split()}
    except OSError:
        return set()


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
