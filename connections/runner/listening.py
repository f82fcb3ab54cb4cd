"""The ports that a worker has for itself, as its SSH tunnels need one: which, and reached how."""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

from connections.adapters.addresses import LOOPBACK, binds, within
from connections.runner.isolation import notices, sockets
from connections.runner.isolation.sockets import Place

_MOST: Final = 64
_BACKLOG: Final = 128


class Listening:
    """What one worker listens with: on loopback, at ports of the system's choice, where no other worker can connect."""

    def __init__(self, pidfd: int) -> None:
        self._pidfd = pidfd
        self._inodes: dict[int, int] = {}

    def bind(self, sock: int, where: Place) -> None:
        """Bind for a listener to come. Raises ``OSError``: others would find a port of the worker's choice.

        By UDP nothing is bound: anybody could send there. Judges of addresses ask in this way which are this
        machine's, and it is answered truly.
        """
        if sockets.option(sock, socket.SO_TYPE) != socket.SOCK_STREAM:
            if not binds(where.address):
                raise OSError(errno.EADDRNOTAVAIL, "It is no address of this machine.")
        elif where.port or not within(where.address, LOOPBACK):
            raise PermissionError("Only loopback is listened on, at a port of the system's choice.")
        else:
            sockets.bind(sock, where)

    def start(self, number: int, sock: int, backlog: int) -> None:
        """Listen with ``sock``, which the worker has under ``number``. Raises ``OSError`` when it may not."""
        where = sockets.bound(sock)
        if where is None or not where.port or not within(where.address, LOOPBACK):
            raise PermissionError("Only loopback is listened on.")
        if len(self._inodes) >= _MOST:
            for other in list(self._inodes):
                if (still := self._still(other)) is not None:
                    os.close(still)
        if len(self._inodes) >= _MOST:
            raise PermissionError("Too many sockets listen.")
        sockets.bounded(sock)
        sockets.listen(sock, min(backlog & 0x7FFFFFFF, _BACKLOG))
        self._inodes[number] = sockets.inode(sock)

    def at(self, where: Place) -> int | None:
        """The worker's own socket that listens at ``where``, to be held while it is connected to: the port is its
        own for so long. None when it has none there."""
        for number in list(self._inodes) if within(where.address, LOOPBACK) else ():
            sock = self._still(number)
            if sock is not None:
                if sockets.bound(sock) == where:
                    return sock
                os.close(sock)
        return None

    def _still(self, number: int) -> int | None:
        """A descriptor for what the worker was let listen with under this number; None when it no longer does."""
        inode = self._inodes.pop(number)
        try:
            sock = notices.taken(self._pidfd, number)
        except OSError:
            return None
        if sockets.inode(sock) != inode or not sockets.option(sock, socket.SO_ACCEPTCONN):
            os.close(sock)
            return None
        self._inodes[number] = inode
        return sock
