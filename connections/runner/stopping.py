"""Telling a worker to stop: by a signal, which finds it wherever it waits."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Final, NoReturn

STOP: Final = signal.SIGUSR1


class Stopped(BaseException):
    """Nobody waits for this worker's job any more. No driver catches it as an error of its own."""


def listen() -> None:
    """Have ``Stopped`` raised in this thread, the main one, when the process is told to stop; once."""
    signal.signal(STOP, _stop)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(STOP, signal.SIG_IGN)
    raise Stopped
