"""A server that a test can freeze, and that takes its folder along when it stops."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from pathlib import Path
from typing import Self

import psutil

from catalog_project.demo import server
from catalog_project.demo.server import Server

DATABASE = "warehouse"


class PausableServer(Server):
    """A ``Server`` with ``pause()`` and ``resume()``. ``stop()`` removes its folder."""

    @classmethod
    def of(cls, started: Server) -> Self:
        return cls(**vars(started))

    def pause(self) -> None:
        """Stop every process of the server where it is: connections stay open and nothing answers."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def resume(self) -> None:
        for process in reversed(self._processes()):
            with contextlib.suppress(psutil.NoSuchProcess):  # a client left, and its process with it
                process.resume()

    def stop(self, timeout: float = 20) -> None:
        if self.process.poll() is None:
            self.resume()
        super().stop(timeout)
        server.remove(self.folder)

    def _processes(self) -> list[psutil.Process]:
        """The first process, then its children: paused in this order, it starts no child meanwhile."""
        first = psutil.Process(self.process.pid)
        return [first, *first.children(recursive=True)]


def new_folder(name: str) -> Path:
    """Return a new folder that the servers' own user id can reach, wherever the checkout is."""
    return Path(tempfile.mkdtemp(prefix=f"catalogue-{name}-"))


def new_password() -> str:
    return secrets.token_urlsafe(18)
