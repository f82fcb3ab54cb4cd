"""Hanging up on one client, from within the body that it is sent.

granian keeps its sockets to itself and does not tell the client's port, and all clients of one proxy have one address.
So the client's socket is told from others by proof: the body goes on for some pieces of random length, and just one of
this process's sockets takes on just as many bytes, each time. Only that one is shut.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import socket
import struct
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

PEER: Final = "connections.peer"
"""In a request's environment: the address at the other end of its connection, where REMOTE_ADDR is the caller's."""

LONGEST: Final = 60.0  # seconds for the proof: a client that is slow to read takes on nothing for a while
PROOFS: Final = 4  # in a row; another socket passes one by chance in fewer than one of 3 000
FRAMING: Final = 128  # bytes at most that HTTP and TLS add to a piece; always as many
_SIZES: Final = range(256, 4096)  # of pieces: three digits in HTTP's chunks
_FILLER: Final = b"!"

_NOT_SENT: Final = 144  # where Linux's struct tcp_info has tcpi_notsent_bytes
_SENT: Final = 200  # where it has tcpi_bytes_sent and tcpi_bytes_retrans


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is at the other end of a request: its address, the port it called, and the protocol it speaks."""

    address: str
    port: int
    protocol: str


@dataclass(frozen=True, slots=True)
class _Connection:
    """A TCP connection of this process's. A descriptor may be another's a moment later; the other two tell."""

    descriptor: int
    inode: int
    far: tuple[object, ...]


def hang_up(caller: Caller, spoiler: bytes) -> Generator[bytes, None, bool]:
    """Shut the connection that the body goes out by: pieces to send, the first begins with ``spoiler``.

    Returns whether it is shut. It is not where no socket proves to be it within ``LONGEST`` seconds: the client reads
    nothing, or is behind a Unix socket, or the system does not tell what a connection took on, as Linux does.
    """
    ends = time.monotonic() + LONGEST
    connections = list(_written(_connections(caller)))
    proven: dict[_Connection, int] = {}
    proofs, patience = 0, 0.1
    if not connections:
        yield spoiler
        return False
    while proofs < PROOFS or len(proven) > 1:
        if time.monotonic() > ends:
            return False
        size = secrets.choice(_SIZES)
        before = _written(connections)
        yield spoiler + _FILLER * (size - len(spoiler))
        spoiler = b""
        framing = _grown(before, size, min(patience, 5.0))
        again = {each: extra for each, extra in framing.items() if proven.get(each) == extra}
        proofs = proofs + 1 if again else 1 if framing else 0
        proven = again or framing
        patience = 0.1 if framing else patience * 2
    return _shut(next(iter(proven)), caller.protocol)


def _connections(caller: Caller) -> list[_Connection]:
    """This process's connections with the caller's address, at the port that it called."""
    found = []
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        try:
            with _borrowed(int(name)) as held:
                far, near = held.getpeername(), held.getsockname()
                if _is(far, caller.address) and near[1] == caller.port:
                    found.append(_Connection(int(name), os.fstat(held.fileno()).st_ino, far))
        except OSError:
            continue  # it is closed, or no connection
    return found


def _is(name: object, address: str) -> bool:
    """Whether this end of a socket has ``address``; IPv4 may be written as IPv6."""
    if not isinstance(name, tuple):
        return False
    try:
        one, other = ip_address(name[0]), ip_address(address)
    except ValueError:
        return False
    plain = [(ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip for ip in (one, other)]
    return plain[0] == plain[1]


@contextmanager
def _borrowed(descriptor: int) -> Iterator[socket.socket]:
    """The socket that is open there, as long as the block lasts. Raises OSError when that is no socket.

    No copy is made, as that would be closed: with any descriptor of a file that is closed, a process loses all its
    locks on that file, and SQLite's are such.
    """
    held = socket.socket(fileno=descriptor)
    try:
        yield held
    finally:
        held.detach()


@contextmanager
def _same(connection: _Connection) -> Iterator[socket.socket]:
    """As ``_borrowed``; raises OSError when something else is open there by now."""
    with _borrowed(connection.descriptor) as held:
        if (os.fstat(connection.descriptor).st_ino, held.getpeername()) != (connection.inode, connection.far):
            raise OSError("The connection is closed.")
        yield held


def _written(connections: list[_Connection]) -> dict[_Connection, int]:
    """How many bytes each took on since it was made, sent or not. What is closed by now is left out."""
    written = {}
    for each in connections:
        try:
            with _same(each) as held:
                told = held.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            sent, again = struct.unpack_from("=QQ", told, _SENT)
            written[each] = sent - again + struct.unpack_from("=I", told, _NOT_SENT)[0]
        except (OSError, struct.error):
            continue
    return written


def _grown(before: dict[_Connection, int], size: int, patience: float) -> dict[_Connection, int]:
    """The connections that took on a piece of ``size`` within ``patience`` seconds, with what its framing added."""
    until = time.monotonic() + patience
    while True:
        now = _written(list(before))
        extra = {each: written - before[each] - size for each, written in now.items()}
        found = {each: added for each, added in extra.items() if 0 <= added <= FRAMING}
        if found or time.monotonic() > until:
            return found
        time.sleep(0.002)


def _shut(connection: _Connection, protocol: str) -> bool:
    try:
        with _same(connection) as held:
            if protocol in ("HTTP/1.1", "HTTP/2"):
                held.shutdown(socket.SHUT_RDWR)
                return True
            # A body of HTTP/1.0 ends where its connection does: only a reset is no end. Linux resets a connection that
            # is connected to no family, which Python's sockets do not offer.
            return bool(ctypes.CDLL(None).connect(held.fileno(), bytes(16), 16) == 0)
    except OSError:
        return True  # it is closed already
