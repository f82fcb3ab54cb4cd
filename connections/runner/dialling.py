"""Connecting on a worker's behalf: what holds under every driver, in whatever language it is written.

A worker that has the network cannot connect. When it tries, the kernel has it wait and tells its dialler, a thread of
the supervisor. The dialler takes a copy of the address out of the worker's memory, judges it by the policy of the
worker's organisation, takes the worker's own socket and connects it to its copy. What the worker writes over the
address meanwhile is read by nobody.

The dialler does nothing while nobody connects. A worker has one of its own: what it does to its sockets while they
are being connected can hold up itself, and nobody else.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from connections.adapters.egress import EgressPolicy
from connections.runner.isolation import messages, notices, sockets, syscalls
from connections.runner.isolation.notices import Notice
from connections.runner.isolation.sockets import Place
from connections.runner.leave import SENDMSG, Leave
from connections.runner.listening import Listening
from connections.runner.nameservers import is_nameserver

_LONGEST: Final = 28
_BIND: Final = syscalls.own("bind")
_LISTEN: Final = syscalls.own("listen")
_MOST_UNDER_WAY: Final = 16
_PAUSE_SECONDS: Final = 0.005
"""What each call of a job waits that makes too many: it must not hold up this process."""


class Dialler:
    """Connects for the worker ``pid``, until it ends.

    Raises ``OSError`` where this process may not look into it, ``RuntimeError`` where it can start no thread.
    """

    def __init__(self, pid: int, pidfd: int, listener: int, leave: Leave) -> None:
        """``listener`` is the worker's number for what tells of its calls; it may close that from here on."""
        self._pid = pid
        self._leave = leave
        self._listener = notices.taken(pidfd, listener)
        self._pidfd = os.dup(pidfd)
        self._open: tuple[int, ...] = (self._listener, self._pidfd)
        self._poll = select.poll()
        self._poll.register(self._listener, select.POLLIN)
        self._under_way: dict[int, Callable[[], bool]] = {}
        self._listening = Listening(self._pidfd)
        self._guarding = threading.Lock()
        self._held: int | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=f"dialler-{pid}", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            self._close()
            raise

    def stop(self) -> None:
        """The worker is being killed: end what may wait for its far side. The thread ends when the worker has."""
        with self._guarding:
            self._stopped = True
            if self._held is not None:
                with suppress(OSError):
                    sockets.shut(self._held)

    def forget(self) -> None:
        """After a fork, in the child: close the copies of descriptors."""
        if not self._thread.is_alive():
            self._close()

    def over(self, seconds: float) -> bool:
        """Whether it ends, as its worker has, within ``seconds``."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stopped or self._under_way:
                for ready, events in self._poll.poll():
                    if ready != self._listener:
                        self._go_on(ready)
                    elif events & select.POLLIN:
                        self._serve()
                    else:
                        return  # nobody is left who could connect
        except OSError:
            return  # what it was given tells of no calls; nothing is let through
        finally:
            self._close()

    def _serve(self) -> None:
        notice = notices.receive(self._listener)
        if notice is None:
            return
        if self._leave.count(notice):
            time.sleep(_PAUSE_SECONDS)
        try:
            self._do(notice)
        except OSError as exc:
            plain = exc.errno in (errno.EBADF, errno.EINVAL, errno.EADDRNOTAVAIL)
            notices.answer(self._listener, notice, exc.errno if plain and exc.errno else errno.EACCES)

    def _do(self, notice: Notice) -> None:
        """Judge a call, make it, and answer it. What is under way is answered later."""
        sock = notices.taken(self._pidfd, notice.arguments[0] & 0xFFFFFFFF)
        kept = False
        try:
            if sockets.option(sock, socket.SO_DOMAIN) not in (socket.AF_INET, socket.AF_INET6):
                raise PermissionError("Only sockets of IP lead out.")
            if notice.number == _BIND:
                self._listening.bind(sock, self._place(notice))
                notices.answer(self._listener, notice, 0)
            elif notice.number == _LISTEN:
                self._listening.start(notice.arguments[0] & 0xFFFFFFFF, sock, notice.arguments[1])
                notices.answer(self._listener, notice, 0)
            elif notice.number == SENDMSG:
                kept = self._send(sock, notice)
            else:
                where = self._place(notice)
                with self._judged(sock, where):
                    kept = self._connect(sock, where, notice)
        finally:
            if not kept:
                os.close(sock)

    def _place(self, notice: Notice) -> Place:
        """A copy of the address that the worker gave. Raises ``OSError`` when it is none."""
        _, address, length, *_ = notice.arguments
        length &= 0xFFFFFFFF
        if not 2 <= length <= 128:
            raise OSError(errno.EINVAL, "no length of an address")
        where = sockets.place(notices.memory(self._pid, address, min(length, _LONGEST)))
        if not notices.waits(self._listener, notice):
            raise ProcessLookupError("It was another process's memory.")
        if where is None:
            raise PermissionError("Only addresses of IP are reached.")
        return where

    @contextmanager
    def _judged(self, sock: int, where: Place) -> Iterator[None]:
        """Inside, ``where`` is a place that ``sock`` may be connected to. Raises ``OSError`` when it is not."""
        if is_nameserver(where):
            yield
            return
        if sockets.option(sock, socket.SO_TYPE) != socket.SOCK_STREAM:
            raise PermissionError("Only nameservers are reached by UDP.")
        if EgressPolicy.from_dict(self._leave.egress).allows(where.address, where.port):
            yield
            return
        own = self._listening.at(where)
        if own is None:
            self._leave.refused = self._leave.refused or where
            raise PermissionError("This place is not allowed.")
        try:
            sockets.bounded(sock)
            yield
        finally:
            os.close(own)

    def _connect(self, sock: int, where: Place, notice: Notice) -> bool:
        """Connect, and answer; true when that comes later, as the worker waits and this thread does not."""
        waits = os.get_blocking(sock)
        if waits:
            self._require_room()
            os.set_blocking(sock, False)
        error = self._attempt(sock, where)
        if waits and error == errno.EINPROGRESS:
            self._later(sock, lambda: self._connected(sock, notice))
            return True
        if waits:
            os.set_blocking(sock, True)
        notices.answer(self._listener, notice, error)
        return False

    def _connected(self, sock: int, notice: Notice) -> bool:
        error = sockets.option(sock, socket.SO_ERROR)
        os.set_blocking(sock, True)
        notices.answer(self._listener, notice, error)
        return True

    def _send(self, sock: int, notice: Notice) -> bool:
        """Send a copy of a message that has no address, and answer; true when that comes later."""
        content = messages.copied(self._pid, notice.arguments[1])
        if not notices.waits(self._listener, notice):
            raise ProcessLookupError("It was another process's memory.")
        flags = notice.arguments[2] & 0xFFFFFFFF
        waits = os.get_blocking(sock) and not flags & socket.MSG_DONTWAIT

        def attempt() -> bool:
            sent = error = 0
            try:
                sent = messages.send(sock, content, flags)
            except OSError as exc:
                error = exc.errno or errno.EACCES
            if waits and error == errno.EAGAIN:
                return False
            notices.answer(self._listener, notice, error, sent)
            return True

        if attempt():
            return False
        self._require_room()
        self._later(sock, attempt)
        return True

    def _require_room(self) -> None:
        if len(self._under_way) >= _MOST_UNDER_WAY:
            raise PermissionError("Too much is under way.")

    def _later(self, sock: int, then: Callable[[], bool]) -> None:
        """Do ``then`` whenever the socket can be written, until it is true."""
        self._under_way[sock] = then
        self._poll.register(sock, select.POLLOUT)

    def _attempt(self, sock: int, where: Place) -> int:
        """The error's number, or 0. A worker that changes its socket now can make this wait: ``stop`` ends that."""
        with self._guarding:
            if self._stopped:
                return errno.EACCES
            self._held = sock
        try:
            sockets.connect(sock, where)
        except OSError as exc:
            return exc.errno or errno.EACCES
        finally:
            with self._guarding:
                self._held = None
        return 0

    def _go_on(self, sock: int) -> None:
        if self._under_way[sock]():
            self._poll.unregister(sock)
            del self._under_way[sock]
            os.close(sock)

    def _close(self) -> None:
        held, self._open = self._open, ()
        for descriptor in (*held, *self._under_way):
            os.close(descriptor)
        self._under_way.clear()
