"""What travels between supervisor and worker, over a socket pair."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from connections.runner.frames import IN_VAIN, SOON_SECONDS, Channel, Kind

Pair = tuple[Channel, Channel]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair()
    with one, other:
        yield Channel(one), Channel(other)


def test_what_comes_at_once_soon_or_late_is_received(pair: Pair) -> None:
    sender, receiver = pair
    for pause in (0.0, SOON_SECONDS / 2, 0.05):
        threading.Timer(pause, sender.send, (Kind.GO,)).start()
        assert receiver.receive_soon(time.monotonic() + 10) == (Kind.GO, b"")


def test_what_does_not_come_is_waited_for_until_its_time_is_over(pair: Pair) -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        pair[1].receive_soon(began + 0.2)
    assert 0.2 <= time.monotonic() - began < 2


def test_who_hung_up_is_noticed(pair: Pair) -> None:
    pair[0].sock.close()
    with pytest.raises(EOFError):
        pair[1].receive_soon(time.monotonic() + 10)


class Counted(Channel):
    """Counts how often it is asked without sleeping."""

    asked = 0

    def waiting(self) -> tuple[Kind, bytes] | None:
        self.asked += 1
        return super().waiting()


def test_after_waiting_awake_in_vain_the_next_waits_sleep() -> None:
    one, other = socket.socketpair()
    with one, other:
        receiver = Counted(one)
        asked = [_asked_in_vain(receiver) for _ in range(IN_VAIN + 2)]
    assert asked[0] > 0
    assert asked[1:-1] == [0] * IN_VAIN
    assert asked[-1] > 0


def _asked_in_vain(receiver: Counted) -> int:
    receiver.asked = 0
    with pytest.raises(TimeoutError):
        receiver.receive_soon(time.monotonic() + 0.005)
    return receiver.asked
