"""Writing behind: what nobody waits for is kept in memory, and a thread writes it in a moment.

The thread starts when there is something to write, and ends when there was nothing for a while. A process that ends in
order writes what is left; one that is killed loses it.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from multiprocessing.util import Finalize

from django.db import close_old_connections, connections

_all: weakref.WeakSet[Behind] = weakref.WeakSet()


class Behind:
    """Calls ``write`` every ``interval()`` seconds for as long as something is ``waiting()``. Thread-safe.

    ``write`` raises nothing, and is called by threads with database connections of their own. The thread stays for
    ``linger`` seconds after there was something to write last.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[], None],
        *,
        waiting: Callable[[], bool],
        interval: Callable[[], float],
        linger: float = 0.0,
    ) -> None:
        self._name = name
        self._write = write
        self._waiting = waiting
        self._interval = interval
        self._linger = linger
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._at_end: Finalize | None = None
        _all.add(self)

    def call(self) -> None:
        """There is something to write, which ``waiting`` can see by now."""
        with self._lock:
            if self._thread is None:
                self._thread = self._started()

    def forget(self) -> None:
        """After a fork, in the child: the parent's thread is not here."""
        self._lock = threading.Lock()
        self._thread = self._at_end = None

    def _started(self) -> threading.Thread | None:
        if self._at_end is None:
            # Not atexit: a server's forked workers end by multiprocessing's own way, which asks nobody else.
            self._at_end = Finalize(None, self._write_last, exitpriority=10)
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the process is ending, and writes at its end
            return None
        return thread

    def _work(self) -> None:
        pause, idle = threading.Event(), 0.0
        try:
            while not self._done(idle):
                interval = self._interval() or 1.0
                pause.wait(interval)
                idle = 0.0 if self._waiting() else idle + interval
                if not idle:
                    close_old_connections()
                    self._write()
        except BaseException:
            with self._lock:
                self._thread = None
            raise
        finally:
            connections.close_all()

    def _done(self, idle: float) -> bool:
        """Whether this thread ends now. From then on, another call starts another one."""
        with self._lock:
            if self._waiting() or idle <= self._linger:
                return False
            self._thread = None
            return True

    def _write_last(self) -> None:
        try:
            self._write()
        finally:
            connections.close_all()


def _start_anew() -> None:
    for behind in list(_all):
        behind.forget()


os.register_at_fork(after_in_child=_start_anew)
