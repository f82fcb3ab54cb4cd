"""Sockets by descriptor, as the C library has them: an object around one would change how it waits."""

from __future__ import annotations

import ctypes
import ipaddress
import os
import socket
import struct
from dataclasses import dataclass
from typing import Final

from connections.runner.isolation.libc import call

_LONGEST: Final = 128
_WAITING: Final = 128 * 1024
_IPV4: Final = 16
_IPV6: Final = 28
_IPV6_LEAST: Final = 24


@dataclass(frozen=True, slots=True)
class Place:
    """Where a socket may lead. ``scope`` is the interface of a link-local address, else 0."""

    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int
    scope: int = 0

    def __str__(self) -> str:
        return f"{self.address} port {self.port}"

    def as_bytes(self) -> bytes:
        """The place as the kernel has it (``sockaddr_in``, ``sockaddr_in6``)."""
        if self.address.version == 4:
            return struct.pack("=H", socket.AF_INET) + struct.pack("!H", self.port) + self.address.packed + bytes(8)
        start = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", self.port, 0)
        return start + self.address.packed + struct.pack("=I", self.scope)


def place(content: bytes) -> Place | None:
    """The place that the kernel's bytes tell; None when they are no address of IP."""
    family = int.from_bytes(content[:2], "little" if struct.pack("=H", 1)[0] else "big")
    port = int.from_bytes(content[2:4], "big")
    if family == socket.AF_INET and len(content) >= _IPV4:
        return Place(ipaddress.IPv4Address(content[4:8]), port)
    if family == socket.AF_INET6 and len(content) >= _IPV6_LEAST:
        scope = struct.unpack("=I", content[24:28].ljust(4, b"\0"))[0]
        return Place(ipaddress.IPv6Address(content[8:24]), port, scope)
    return None


def connect(sock: int, where: Place) -> None:
    """Raises ``OSError``: ``BlockingIOError`` when it is under way."""
    content = where.as_bytes()
    call("connect", sock, content, len(content))


def bind(sock: int, where: Place) -> None:
    content = where.as_bytes()
    call("bind", sock, content, len(content))


def listen(sock: int, backlog: int) -> None:
    call("listen", sock, backlog)


def bounded(sock: int) -> None:
    """Have little wait in it, either way: else the kernel lets megabytes. What a listener accepts is as it is."""
    size = ctypes.c_int(_WAITING)
    for name in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        call("setsockopt", sock, socket.SOL_SOCKET, name, ctypes.byref(size), ctypes.sizeof(size))


def shut(sock: int) -> None:
    """End whatever waits on it, in whichever thread or process. Raises ``OSError`` when there is nothing to end."""
    call("shutdown", sock, socket.SHUT_RDWR)


def bound(sock: int) -> Place | None:
    """Where it is bound; None when that is no address of IP."""
    content = ctypes.create_string_buffer(_LONGEST)
    length = ctypes.c_uint(_LONGEST)
    call("getsockname", sock, content, ctypes.byref(length))
    return place(content.raw[: length.value])


def option(sock: int, name: int) -> int:
    """A number among the options that every socket has (``SO_TYPE``, ``SO_ERROR``)."""
    value, length = ctypes.c_int(), ctypes.c_uint(4)
    call("getsockopt", sock, socket.SOL_SOCKET, name, ctypes.byref(value), ctypes.byref(length))
    return value.value


def inode(sock: int) -> int:
    """What tells this socket from all others that are open."""
    return os.fstat(sock).st_ino
