"""The supervisor's side of its processes: the zygote, and the workers forked from it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import math
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import orjson

from connections.adapters.errors import BusyError, InternalError, WorkerCrashedError
from connections.runner import watching
from connections.runner.dialling import Dialler
from connections.runner.frames import DESCRIPTOR, Channel, Kind
from connections.runner.isolation import MOST_THREADS
from connections.runner.leave import Leave
from connections.runner.realms import Realm
from connections.runner.stopping import STOP
from connections.runner.zygote import ANSWER, BOOTSTRAP, BURIAL_SECONDS, BURY, FORK, READY, REQUEST

START_SECONDS: Final = 30.0
ANSWER_SECONDS: Final = 10.0
STOP_SECONDS: Final = 1.0
"""What a worker gets to end its query at the source, before it is killed."""
IDLE_CPU_SECONDS: Final = 1.0
"""What a worker may compute between two jobs: it resets adapters, and closes those that nobody came back for."""
ROOM_SECONDS: Final = 1.0
IDLE_THREADS: Final = MOST_THREADS // 4
IDLE_DESCRIPTORS: Final = 128
"""What a worker may keep between two jobs: it has some eight adapters, with their tunnels."""
PREFIX: Final = "catalog-runner-"
Got = TypeVar("Got")
_BUFFER: Final = 1024 * 1024  # a preview fits: the worker is done before its reader is


class Worker:
    """One worker process, as its supervisor knows it. Descriptors that nobody closed go with the last reference."""

    def __init__(self, zygote: Zygote, pid: int, sock: socket.socket) -> None:
        self.pid = pid
        self.realm: Realm | None = None
        self.memory = 0
        self.warmths: set[str] = set()
        self.settled = True
        self.idle_since = time.monotonic()
        self._idle_at_first = (math.nan, 0.0)
        self.leave = Leave()
        self._dialler: Dialler | None = None
        self._zygote = zygote
        self._sock = sock
        self._pidfd: int | None = None
        self._pidfd = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
        self._status: int | None = None
        self._stopped_at: float | None = None
        self._read_out = False
        self._burying = threading.Lock()
        self.channel = Channel(sock, self._pidfd)

    def __del__(self) -> None:
        self.forget()

    def close(self) -> None:
        """Close this side's descriptors, or have that done when the worker is buried.

        Only for the thread that reads them, once it is done with them for good.
        """
        with self._burying:  # whoever is killing it uses one
            self._read_out = True
            if self._stopped_at is None or self._status is not None:
                self.forget()

    def bind(self, realm: Realm, memory: int) -> None:
        """Give this worker to ``realm``, for life, with at most ``memory`` bytes for any of its jobs."""
        if self.realm not in (None, realm):
            raise InternalError("A worker was about to serve a second organisation, or a second class of sources.")
        self.realm = realm
        self.memory = memory

    def serves(self, realm: Realm, memory: int) -> bool:
        """Whether a job of this realm may have it."""
        return self.realm == realm and memory <= self.memory

    def alive(self) -> bool:
        """Whether an idle worker can take a job. Takes in what it said since its last one."""
        try:
            while (frame := self.channel.waiting()) is not None:
                self.hear(frame[0])
        except (EOFError, WorkerCrashedError):
            return False
        return True

    def works_on(self) -> bool:
        """Whether an idle worker computes as if it had a job; asked now and then, it counts from the first time on.

        Its limit on the processor's time does not do: it raises that for each job, so what runs in it can as well.
        """
        used = watching.computed(self.pid)
        if self._idle_at_first[0] != self.idle_since:
            self._idle_at_first = (self.idle_since, used)
        return used - self._idle_at_first[1] > IDLE_CPU_SECONDS

    def hoards(self) -> bool:
        """Whether an idle worker keeps threads or descriptors as if it had many jobs."""
        return watching.threads(self.pid) > IDLE_THREADS or watching.descriptors(self.pid) > IDLE_DESCRIPTORS

    def overgrown(self) -> bool:
        """Whether it has more threads than any job needs: they are taken from all other processes."""
        return watching.threads(self.pid) > MOST_THREADS

    def introduce(self, until: float = math.inf) -> dict[str, bool]:
        """Wait until the worker is confined; returns what is in force.

        Raises ``InternalError`` when it failed, ``TimeoutError`` at ``until`` (monotonic seconds); then it is ended.
        """
        try:
            kind, payload = self.channel.receive(min(until, time.monotonic() + ANSWER_SECONDS))
        except (EOFError, TimeoutError):
            if time.monotonic() >= until:
                self.bury()
                raise TimeoutError from None
            raise InternalError(f"A worker did not start (it ended {self.bury()}).") from None
        report = orjson.loads(payload)
        if kind is not Kind.READY:
            self.bury()
            raise InternalError(f"A worker could not be isolated and was not used: {report}")
        in_force: dict[str, bool] = report
        return in_force

    def hear(self, kind: Kind) -> None:
        """Take in a frame that is no answer to a job."""
        if kind is not Kind.IDLE:
            raise WorkerCrashedError("The worker answered out of turn and was ended.")
        self.settled = True

    def dial(self, payload: bytes, until: float) -> None:
        """Connect for the worker from now on, and tell it so. Raises ``InternalError`` when that cannot be.

        And ``BusyError`` where the system has no room for one more thread.
        """
        try:
            if self._pidfd is None or self._dialler is not None or self.realm is None or not self.realm.network:
                raise OSError("it has no network, has a dialler, or is gone")
            self._dialler = patiently(self._dialled(self._pidfd, DESCRIPTOR.unpack(payload)[0]), until)
        except (OSError, struct.error) as exc:
            raise InternalError(f"A worker's connections cannot be judged, and it was not used: {exc}") from None
        self.channel.send(Kind.TAKEN, until=until)

    def _dialled(self, pidfd: int, listener: int) -> Callable[[], Dialler]:
        def start() -> Dialler:
            try:
                return Dialler(self.pid, pidfd, listener, self.leave)
            except RuntimeError:  # what Python makes of a thread that the system has no room for
                raise no_room() from None

        return start

    def stop(self) -> None:
        """Have the worker end what it does at a source on the network, and itself; any other is killed.

        Whoever waits for its frames finds that it is gone. It is killed all the same once it no longer ``lingers``.
        """
        if self.realm is None or not self.realm.network or self._pidfd is None:
            self.kill()
            return
        with self._burying:
            if self._status is not None or self._stopped_at is not None:
                return
            self._stopped_at = time.monotonic()
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, STOP)

    def lingers(self) -> bool:
        """Whether it was told to stop just now and has not ended yet."""
        if self._stopped_at is None or self._pidfd is None:
            return False
        ended = select.poll()
        ended.register(self._pidfd, select.POLLIN)
        return time.monotonic() < self._stopped_at + STOP_SECONDS and not ended.poll(0)

    def kill(self) -> None:
        """End the worker and its process group now. Whoever waits for its frames finds that it is gone."""
        with self._burying:
            if self._status is not None:
                return  # its id may be another process's by now
            if self._dialler is not None:
                self._dialler.stop()
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
            for end in (os.killpg, os.kill):  # a worker that has just been forked leads no group yet
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    end(self.pid, signal.SIGKILL)

    def bury(self) -> str:
        """Kill, wait until it and its descendants are gone, and say how it ended: ``SIGSEGV``, ``exit status 1``."""
        self.kill()
        with self._burying:
            if self._status is None:
                self._status = self._zygote.bury(self.pid)
            if self._read_out:
                self.forget()
            return _cause(self._status)

    def forget(self) -> None:
        """Close this side's descriptors, without a word to the other side."""
        self._sock.close()
        if self._dialler is not None:
            self._dialler.forget()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None


class Zygote:
    """The process that workers are forked from.

    Raises ``InternalError``, with the reason, when it does not start, ``BusyError`` where there is no room for it.
    """

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._folder, self._lock = _scratch()
        self._control, theirs = socket.socketpair()
        log = self._folder / "start.log"
        try:
            with theirs, log.open("wb") as errors:
                self._process = subprocess.Popen(
                    [_python(), "-I", "-c", BOOTSTRAP, str(theirs.fileno()), json.dumps(_path())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    env={},
                    cwd=self._folder,
                    start_new_session=True,  # an interrupt at the terminal is the supervisor's to handle
                )
        except OSError as exc:
            self._control.close()
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock)
            raise no_room(exc) from None
        self._control.settimeout(START_SECONDS)
        try:
            ready = self._control.recv(1) == READY
        except OSError:
            ready = False
        reason = log.read_text(errors="replace").strip()[-2000:]
        if not ready:
            self.close()
            raise InternalError(f"The runner's first process did not start: {reason or 'it gave no reason'}")
        log.unlink()
        self._control.settimeout(ANSWER_SECONDS)

    def fork(self) -> Worker:
        """A new worker, to be introduced.

        Raises ``InternalError`` if the zygote is gone, ``BusyError`` where the system has no room for one more process.
        """
        try:
            ours, theirs = socket.socketpair()
        except OSError as exc:
            raise no_room(exc) from None
        with theirs:
            for side in (ours, theirs):
                side.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            try:
                with self._asking:
                    socket.send_fds(self._control, [REQUEST.pack(FORK, 0)], [theirs.fileno()])
                    pid = self._answer()
            except OSError as exc:
                ours.close()
                raise InternalError(f"The runner's first process does not answer: {exc}") from None
        try:
            if pid < 0:
                raise OSError(-pid, os.strerror(-pid))
            return Worker(self, pid, ours)
        except OSError as exc:
            ours.close()
            if pid > 0:
                os.kill(pid, signal.SIGKILL)
                self.bury(pid)
            raise no_room(exc) from None

    def bury(self, pid: int) -> int:
        """The wait status of a killed worker; -1 when it cannot be known."""
        try:
            with self._asking:
                self._control.sendall(REQUEST.pack(BURY, pid))
                return self._answer()
        except OSError:
            return -1

    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """End it and every worker, and remove their folder."""
        self._control.close()
        try:
            self._process.wait(BURIAL_SECONDS * 2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(BURIAL_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)

    def forget(self) -> None:
        """After a fork, in the child: close the copies of the parent's descriptors, without a word to anyone."""
        self._control.close()
        os.close(self._lock)
        self._process.returncode = 0  # it is the parent's to wait for

    def _answer(self) -> int:
        content = b""
        while len(content) < ANSWER.size:
            part = self._control.recv(ANSWER.size - len(content))
            if not part:
                raise ConnectionResetError("it has ended")
            content += part
        number: int = ANSWER.unpack(content)[0]
        return number


def no_room(reason: OSError | None = None) -> BusyError:
    """What a caller is told whose job needed a process, thread or descriptor that the system did not give."""
    return BusyError(
        f"The computer has no room for one more process or thread: {reason or os.strerror(errno.EAGAIN)}.",
        hint="Try again shortly; if it stays so, the platform's operators can raise the system's limits.",
        retry_after=1,
    )


def patiently(do: Callable[[], Got], until: float) -> Got:
    """What ``do`` gives once the system has room for it: who takes all of it is ended in a moment.

    Raises its ``BusyError`` when that takes too long, or ``until`` (monotonic seconds) has come.
    """
    until = min(until, time.monotonic() + ROOM_SECONDS)
    while True:
        try:
            return do()
        except BusyError:
            if time.monotonic() > until:
                raise
        time.sleep(ROOM_SECONDS / 50)


def _python() -> str:
    """The interpreter; a server that embeds Python names itself in ``sys.executable``."""
    if sys.executable and Path(sys.executable).name.startswith("python"):
        return sys.executable
    return str(Path(sys.prefix, "bin", "python3"))


def _path() -> list[str]:
    """Where this process finds modules, as absolute folders: plug-ins come along."""
    return list(dict.fromkeys(str(Path(entry or ".").absolute()) for entry in sys.path))


def _cause(status: int) -> str:
    if status < 0:
        return "for an unknown reason"
    if os.WIFSIGNALED(status):
        return f"by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"with exit status {os.waitstatus_to_exitcode(status)}"


def _scratch() -> tuple[Path, int]:
    """A private folder, and the lock that says it is in use. Folders whose owner was killed are removed."""
    for left in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime < START_SECONDS:
                continue  # its owner may be about to lock it
            lock = _locked(left)
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    return folder, _locked(folder)


def _locked(folder: Path) -> int:
    """Lock ``folder`` for as long as the returned descriptor is open. Raises ``OSError`` when another has."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if os.fstat(descriptor).st_uid != os.getuid():
            raise PermissionError("not ours")
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
