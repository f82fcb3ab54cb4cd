"""Attacks on where a worker connects, past Python: by the C library and by bare system calls.

Each yields what it tried and what came of it, as in ``evil_deeds``.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import ipaddress
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from evil_deeds import LIBC, native, tried

Given = dict[str, Any]
Deeds = Iterator[tuple[str, str]]

TFO = 0x20000000
IO_URING_SETUP = 425


def sockaddr(host: str, port: int) -> bytes:
    address = ipaddress.ip_address(host)
    start = struct.pack("=H", socket.AF_INET if address.version == 4 else socket.AF_INET6) + struct.pack("!H", port)
    if address.version == 4:
        return start + address.packed + bytes(8)
    return start + bytes(4) + address.packed + bytes(4)


def opened(host: str, kind: int = 1) -> int:
    return int(LIBC.socket(2 if ":" not in host else 10, kind, 0))


def reach(given: Given) -> Deeds:
    """Connect to each place in each way there is; what is got is used, so that the far side hears of it."""
    for host, port in given["places"]:
        where = sockaddr(host, port)
        for way in ("waiting", "not waiting", "bare", "another's", "udp"):
            sock = opened(host, 2 if way == "udp" else 1)
            if sock < 0:
                yield f"{way} {host}", "OSError no socket"
                continue
            if way == "not waiting":
                os.set_blocking(sock, False)
            if way == "bare":
                got = native("syscall", ctypes.c_long(_number("connect")), sock, where, len(where))
            elif way == "another's":
                got = _from_another_thread(sock, where)
            else:
                got = native("connect", sock, where, len(where))
            yield f"{way} {host}", got
            os.close(sock)


def _number(call: str) -> int:
    numbers = {"x86_64": {"connect": 42}, "aarch64": {"connect": 203}}
    return numbers[os.uname().machine][call]


def _from_another_thread(sock: int, where: bytes) -> str:
    got: list[str] = []
    thread = threading.Thread(target=lambda: got.append(native("connect", sock, where, len(where))))
    thread.start()
    thread.join()
    return got[0]


def race(given: Given) -> Deeds:
    """Ask for a place that is allowed, and write another over it while the kernel looks."""
    good, bad = (sockaddr("127.0.0.1", given[name]) for name in ("good", "bad"))
    buffer = ctypes.create_string_buffer(good, len(good))
    over = threading.Event()

    def rewrite() -> None:
        while not over.is_set():
            ctypes.memmove(buffer, bad, len(bad))
            ctypes.memmove(buffer, good, len(good))

    writers = [threading.Thread(target=rewrite) for _ in range(2)]
    for writer in writers:
        writer.start()
    counts = {"reached": 0, "refused": 0}
    for _ in range(given["times"]):
        sock = opened("127.0.0.1")
        counts["reached" if LIBC.connect(sock, buffer, len(good)) == 0 else "refused"] += 1
        os.close(sock)
    over.set()
    for writer in writers:
        writer.join()
    for name, count in counts.items():
        yield name, str(count)


def exchange(given: Given) -> Deeds:
    """Ask for a place that is allowed with one socket, and put another in its place while it is judged."""
    good, bad = (sockaddr("127.0.0.1", given[name]) for name in ("good", "bad"))
    number, other = opened("127.0.0.1"), opened("127.0.0.1")
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            LIBC.dup2(other, number)

    swapper = threading.Thread(target=swap)
    swapper.start()
    for _ in range(given["times"]):
        LIBC.connect(number, good, len(good))
        LIBC.connect(number, bad, len(bad))
        os.close(other)
        other = opened("127.0.0.1")
    over.set()
    swapper.join()
    yield "swapped", "over"


def message(given: Given) -> Deeds:
    """Send without a connection."""
    where = sockaddr("127.0.0.1", given["udp"])
    there = sockaddr("127.0.0.1", given["port"])
    udp, tcp = opened("127.0.0.1", 2), opened("127.0.0.1")
    yield "sendto", native("sendto", udp, b"evil", 4, 0, where, len(where))
    yield "sendmsg", native("sendmsg", udp, _header(where), 0)
    yield "sendmmsg", native("sendmmsg", udp, _header(where) + bytes(8), 1, 0)
    yield "fast open", native("sendto", tcp, b"evil", 4, TFO, there, len(there))
    yield "fast open by message", native("sendmsg", tcp, _header(there), TFO)
    yield "sendmsg with more than bytes", native("sendmsg", tcp, _header(b"", control=True), 0)
    yield "fast open without address", native("sendto", tcp, b"evil", 4, TFO, None, 0)


_kept: list[Any] = []


def _header(where: bytes, *, control: bool = False) -> bytes:
    """A ``msghdr`` with one short message for ``where``."""
    name, text = ctypes.create_string_buffer(where, len(where)), ctypes.create_string_buffer(b"evil")
    vector = ctypes.create_string_buffer(struct.pack("@PN", ctypes.addressof(text), 4), 16)
    _kept.extend((name, text, vector))
    more = (ctypes.addressof(text), 4) if control else (0, 0)
    return struct.pack("@PIPNPNi4x", ctypes.addressof(name), len(where), ctypes.addressof(vector), 1, *more, 0)


def pieces(given: Given) -> Deeds:
    """Send by ``sendmsg`` along a connection, as some drivers do: more than goes at once, waiting and not."""
    content = bytes(range(256)) * 4096
    for way, waits in (("waiting", True), ("not waiting", False)):
        where = sockaddr("127.0.0.1", given["port"])
        with socket.socket() as sock:
            LIBC.connect(sock.fileno(), where, len(where))
            sock.setblocking(waits)
            left = memoryview(content)
            while left:
                try:
                    left = left[sock.sendmsg([left[:100], b"", left[100:]]) :]
                except BlockingIOError:
                    time.sleep(0.001)
            sock.setblocking(True)
            sock.shutdown(socket.SHUT_WR)
            yield way, sock.recv(100).decode()
    with socket.socket() as sock:
        yield "unconnected", tried(sock.sendmsg, [b"evil"])


def around(given: Given) -> Deeds:
    """Everything else that leads out, or to whoever says where one may go."""
    tcp = opened("127.0.0.1")
    ring = ctypes.create_string_buffer(120)
    yield "io_uring", native("syscall", ctypes.c_long(IO_URING_SETUP), 4, ring)
    yield "sctp", native("socket", 2, 1, 132)
    yield "mptcp", native("socket", 2, 1, 262)
    yield "raw", native("socket", 2, 3, 255)
    yield "unix pair of datagrams", tried(socket.socketpair, socket.AF_UNIX, socket.SOCK_DGRAM)
    yield "source route", tried(_option, tcp, socket.IPPROTO_IP, 4, b"\x83\x07\x04\x7f\x00\x00\x01\x00")
    yield "shared port", tried(_option, tcp, socket.SOL_SOCKET, 15, struct.pack("=i", 1))
    yield "listen to all", _listens("0.0.0.0")
    yield "listen unbound", native("listen", opened("127.0.0.1"), 1)
    number = {"x86_64": 317, "aarch64": 277}[os.uname().machine]
    yield "another filter", native("syscall", ctypes.c_long(number), 1, 8, bytes(16))
    for held in range(64):
        yield f"answer {held}", tried(fcntl.ioctl, held, 0xC0182101, struct.pack("<QqiI", 1, 0, 0, 1))


def _option(sock: int, level: int, name: int, value: bytes) -> None:
    if LIBC.setsockopt(sock, level, name, value, len(value)) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _listens(host: str) -> str:
    sock = opened(host)
    where = sockaddr(host, 0)
    LIBC.bind(sock, where, len(where))
    return native("listen", sock, 1)


def itself(given: Given) -> Deeds:
    """Listen on loopback and connect there, as a tunnel does; and go on when it is another's."""
    with socket.create_server(("127.0.0.1", 0)) as own:
        port = own.getsockname()[1]
        where = sockaddr("127.0.0.1", port)
        near = opened("127.0.0.1")
        yield "own", native("connect", near, where, len(where))
        accepted = own.accept()[0]
        os.write(near, b"hello")
        yield "heard", accepted.recv(5).decode()
        accepted.close()
        os.close(near)
        copy = own.dup()
    moved = opened("127.0.0.1")
    yield "moved", native("connect", moved, where, len(where))
    copy.close()
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        where = sockaddr(*bound.getsockname())
        yield "bound only", native("connect", opened("127.0.0.1"), where, len(where))


def ports(given: Given) -> Deeds:
    """Take ports that others could send to, or would have had."""
    for host in ("0.0.0.0", "::", given["address"]):
        yield f"tcp {host}", _bound(opened(host), host, 0)
    yield "tcp chosen", _bound(opened("127.0.0.1"), "127.0.0.1", given["port"])
    yield "udp elsewhere", _bound(opened("192.0.2.1", 2), "192.0.2.1", 0)
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.settimeout(0.5)
        yield "udp", _bound(udp.fileno(), "127.0.0.1", given["port"])
        yield "heard", tried(udp.recv, 10)


def _bound(sock: int, host: str, port: int) -> str:
    where = sockaddr(host, port)
    return native("bind", sock, where, len(where))


def listeners(given: Given) -> Deeds:
    """As many as there may be, one after another and at once; and one that has stopped to listen."""
    for _ in range(given["most"] + 10):
        socket.create_server(("127.0.0.1", 0)).close()
    yield "one after another", "got away"
    with ExitStack() as held:
        made = 0
        try:
            for _ in range(given["most"] + 10):
                held.enter_context(socket.create_server(("127.0.0.1", 0)))
                made += 1
        except PermissionError:
            yield "at once", str(made)
    with socket.create_server(("127.0.0.1", 0)) as own:
        where = sockaddr("127.0.0.1", own.getsockname()[1])
        own.shutdown(socket.SHUT_RD)
        yield "stopped", native("connect", opened("127.0.0.1"), where, len(where))


def libpq(given: Given) -> Deeds:
    import psycopg

    def connect() -> str:
        place = {"hostaddr": "127.0.0.1", "port": given["port"], "user": "x", "password": "x"}
        return type(psycopg.connect(**place, connect_timeout=3)).__name__

    yield "libpq", tried(connect)


def wait(given: Given) -> Deeds:
    """Wait for a far side that never answers, and take back that one does not wait, over and over."""
    where = sockaddr("127.0.0.1", given["port"])
    sock = opened("127.0.0.1")

    def flip() -> None:
        flags = fcntl.fcntl(sock, fcntl.F_GETFL)
        while True:
            fcntl.fcntl(sock, fcntl.F_SETFL, flags & ~os.O_NONBLOCK)

    if given["flip"]:
        threading.Thread(target=flip, daemon=True).start()
    yield "waiting", ""
    yield "never", native("connect", sock, where, len(where))


def flood(given: Given) -> Deeds:
    """Nothing but trying, from many threads, until the time is over."""
    where = sockaddr("127.0.0.1", given["port"])

    def knock() -> None:
        while True:
            sock = opened("127.0.0.1")
            LIBC.connect(sock, where, len(where))
            os.close(sock)

    for _ in range(20):
        threading.Thread(target=knock, daemon=True).start()
    time.sleep(3600)
    yield "never", ""


def timing(given: Given) -> Deeds:
    """Microseconds of one connect to a place that is allowed, median of many, by what it waits for."""
    where = sockaddr("127.0.0.1", given["port"])
    for way, waits in (("waiting", True), ("not waiting", False)):
        taken = []
        for _ in range(given["times"]):
            sock = opened("127.0.0.1")
            os.set_blocking(sock, waits)
            started = time.perf_counter_ns()
            failed = LIBC.connect(sock, where, len(where)) < 0 and ctypes.get_errno() != errno.EINPROGRESS
            taken.append((time.perf_counter_ns() - started) / 1000)
            os.close(sock)
            if failed:
                yield "failed", os.strerror(ctypes.get_errno())
                return
        yield way, str(sorted(taken)[len(taken) // 2])
