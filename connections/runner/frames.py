"""What travels between a supervisor and a worker.

On the socket a frame is five bytes, its kind and the length of what follows, and then that. A run yields some of
them to its caller: ``Ready``, ``Begun``, ``Head``, ``Chunk``, ``StepDone`` and ``End``.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

HEADER: Final = struct.Struct("<BI")
ORDER: Final = struct.Struct("<d?")
"""What is left of a job's time, and whether its source needs the network: before the job in a ``JOB`` frame."""
DESCRIPTOR: Final = struct.Struct("<i")
"""What a ``LISTENER`` frame holds."""
MAX_PAYLOAD: Final = 16 * 1024 * 1024
"""A frame that says it is longer is not read: whoever reads holds it in memory."""
MAX_WORDS: Final = 4 * 1024 * 1024
"""What a worker says of a source in one frame (columns, tables, steps, warnings): its server may make up more."""
MAX_CHUNK: Final = 1024 * 1024
MAX_HELD: Final = 64 * 1024
"""A longer piece is sent at once: what is held is copied."""
SOON_SECONDS: Final = 0.0003
IN_VAIN: Final = 16
"""How many times nobody waits without sleeping after it was in vain."""
_READ: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker has the job and prepares for it. It touches the source when the next frame is asked for."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The worker goes on. Whoever has something else to do may do it now."""


@dataclass(frozen=True, slots=True)
class Head:
    """The start of a ``read``: its columns, as the REST contract shows them, and what its chunks are made of."""

    columns: list[dict[str, Any]]
    content_type: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of the body. The pieces joined are the body; a piece may end anywhere."""

    data: bytes


@dataclass(frozen=True, slots=True)
class StepDone:
    """A step of a check, just finished, as ``Step.as_dict``."""

    step: dict[str, Any]


@dataclass(frozen=True, slots=True)
class End:
    """The job is done. ``fields`` by operation:

    read               page, truncated, stats, warnings, as the REST contract has them
    check              ok, error, steps, server, warnings, duration_ms
    describe, columns  columns, primary_key
    tables             tables, has_more
    """

    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Soon:
    """The source has answered: what comes next comes in a moment."""


Frame = Ready | Begun | Soon | Head | Chunk | StepDone | End


class Kind(IntEnum):
    """Frames on the socket. The first five go to the worker, the others come from it."""

    JOB = 1
    SETTINGS = 2
    NO_SETTINGS = 3  # the caller could not give them; the worker drops the job
    TAKEN = 4  # what was told by LISTENER is the supervisor's now
    GO = 5  # do the job that was sent
    READY = 10  # isolation is in force; says which
    FAILED = 11  # isolation is not in force; says why
    NEED = 12  # no warm adapter: send the settings
    PLAN = 13  # the steps that a check will take
    HEAD = 14
    CHUNK = 15
    STEP = 16
    END = 17
    ERROR = 18
    IDLE = 19  # the adapter is reset
    SOON = 21  # the answer is being written
    LISTENER = 20  # confined; the descriptor that tells of its connecting


class Channel:
    """Frames over one end of a socket pair. One thread at a time."""

    def __init__(self, sock: socket.socket, also: int | None = None) -> None:
        """``also`` is a descriptor that turns readable when the other side has died, such as a pidfd."""
        sock.setblocking(False)
        self.sock = sock
        self._also = also
        self._buffer = bytearray()
        self._held = b""
        self._patience = 0
        self._reading = select.poll()
        self._reading.register(sock, select.POLLIN)
        if also is not None:
            self._reading.register(also, select.POLLIN)
        self._writing = select.poll()
        self._writing.register(sock, select.POLLOUT)

    def hold(self, kind: Kind, payload: bytes) -> None:
        """Send one frame with the next that is sent: who reads it wakes up once for both."""
        self._held += HEADER.pack(kind, len(payload)) + payload

    def send(self, kind: Kind, payload: bytes = b"", until: float | None = None) -> None:
        """Send one frame. Raises ``TimeoutError`` at ``until`` (monotonic seconds), ``EOFError`` if nobody listens."""
        rest = memoryview(self._held + HEADER.pack(kind, len(payload)) + payload)
        self._held = b""
        while rest:
            try:
                rest = rest[self.sock.send(rest) :]
            except BlockingIOError:
                _wait(self._writing, until)
            except OSError:
                raise EOFError from None

    def receive(self, until: float | None = None) -> tuple[Kind, bytes]:
        """The next frame. Raises ``TimeoutError`` at ``until``, ``EOFError`` when the other side is gone."""
        while (frame := self._buffered()) is None:
            if self._fill():
                continue
            ready = _wait(self._reading, until)
            if any(fd == self._also for fd, _ in ready) and not self._fill():
                raise EOFError  # dead, although a descendant may still hold its end open
        return frame

    def receive_soon(self, until: float, seconds: float = SOON_SECONDS) -> tuple[Kind, bytes]:
        """``receive``, for what comes in a moment: waits without sleeping first, as waking up takes longer than that.

        Where that was in vain, it is not tried the next few times: then somebody else needs the processor.
        """
        if self._patience < 0:
            self._patience += 1
            return self.receive(until)
        end = min(until, time.monotonic() + seconds)
        while (frame := self.waiting()) is None:
            if time.monotonic() >= end:
                self._patience = -IN_VAIN
                return self.receive(until)
        return frame

    def waiting(self) -> tuple[Kind, bytes] | None:
        """The next frame if it is here already. Raises ``EOFError`` when the other side is gone."""
        return self._buffered() or (self._buffered() if self._fill() else None)

    def _buffered(self) -> tuple[Kind, bytes] | None:
        if len(self._buffer) < HEADER.size:
            return None
        number, length = HEADER.unpack_from(self._buffer)
        if length > MAX_PAYLOAD:
            raise EOFError  # not one of ours any more; what it says cannot be trusted
        end = HEADER.size + length
        if len(self._buffer) < end:
            return None
        payload = bytes(memoryview(self._buffer)[HEADER.size : end])
        del self._buffer[:end]
        try:
            return Kind(number), payload
        except ValueError:
            raise EOFError from None

    def _fill(self) -> bool:
        """Take in what has arrived; False when nothing has."""
        try:
            received = self.sock.recv(_READ)
        except BlockingIOError:
            return False
        except OSError:
            raise EOFError from None
        if not received:
            raise EOFError
        self._buffer += received
        return True


def _wait(poll: select.poll, until: float | None) -> Sequence[tuple[int, int]]:
    if until is None:
        return poll.poll()
    left = until - time.monotonic()
    ready = poll.poll(left * 1000) if left > 0 else []
    if not ready:
        raise TimeoutError
    return ready
