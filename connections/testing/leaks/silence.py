"""A far side that takes connections and says nothing, so that a worker is found in the middle of its work."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Silence:
    """``reached`` is set when somebody connects."""

    port: int
    reached: threading.Event = field(default_factory=threading.Event)

    def settings(self) -> dict[str, object]:
        """Where it is, by the names that settings have."""
        return {"host": "127.0.0.1", "port": self.port, "base_url": f"http://127.0.0.1:{self.port}/"}


@contextmanager
def silence() -> Iterator[Silence]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = Silence(server.getsockname()[1])
        taken: list[socket.socket] = []
        ended = threading.Event()

        def take() -> None:
            server.settimeout(0.2)
            while not ended.is_set():
                try:
                    taken.append(server.accept()[0])
                except TimeoutError:
                    continue
                found.reached.set()

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield found
        finally:
            ended.set()
            thread.join(10)
            for each in taken:
                each.close()
