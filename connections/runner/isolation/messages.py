"""What another process is about to send by ``sendmsg``, which could carry an address, and does not here."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Final

from connections.runner.isolation.libc import call
from connections.runner.isolation.notices import memory

_HEADER: Final = struct.Struct("@PI4xPNPNi4x")
_PIECE: Final = struct.Struct("@PN")
_MOST_PIECES: Final = 1024
_MOST_BYTES: Final = 256 * 1024  # who sends more sends the rest with the next call, as after any short write
_FLAGS: Final = socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT | socket.MSG_MORE | socket.MSG_EOR


def copied(pid: int, address: int) -> bytes:
    """The bytes of the message whose header (``msghdr``) is there, or their start.

    Raises ``PermissionError`` for one with an address or with more than bytes, other ``OSError`` when it is none.
    """
    name, length, pieces, count, control, more, _ = _HEADER.unpack(memory(pid, address, _HEADER.size))
    if (name and length) or (control and more):
        raise PermissionError("Messages go along connections, and are bytes.")
    if count > _MOST_PIECES:
        raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
    content = bytearray()
    for start, size in _PIECE.iter_unpack(memory(pid, pieces, _PIECE.size * count) if count else b""):
        taken = min(size, _MOST_BYTES - len(content))
        if taken:
            content += memory(pid, start, taken)
    return bytes(content)


def send(sock: int, content: bytes, flags: int) -> int:
    """How many of the bytes went along. Raises ``OSError``: ``BlockingIOError`` when none can go now."""
    if flags & ~_FLAGS:
        raise PermissionError("Messages of this kind are not passed on.")
    return call("send", sock, content, len(content), flags | socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
