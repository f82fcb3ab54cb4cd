"""The gate that a read waits at before it first touches its source: until then it may only prepare."""

from __future__ import annotations

import time
from collections.abc import Callable


class Shut(BaseException):
    """The source may not be touched any more: whoever asked is gone. No error of the source's, and not to be caught."""


class Gate:
    """Passed once, by whoever is about to touch the source. ``waited`` is how long that took, in seconds."""

    def __init__(self, wait: Callable[[], None] | None = None) -> None:
        """``wait`` returns when the source may be touched, and raises ``Shut`` where not. None: it may be at once."""
        self._wait = wait
        self.waited = 0.0

    def enter(self) -> None:
        """Wait until the source may be touched. Does nothing from the second time on."""
        wait, self._wait = self._wait, None
        if wait is None:
            return
        began = time.perf_counter()
        wait()
        self.waited += time.perf_counter() - began
