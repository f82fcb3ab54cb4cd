"""Where a worker connects, whatever connects in it: system calls, the C library, drivers."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from connections.adapters.egress import EgressPolicy, Opening
from connections.adapters.errors import AdapterError, EgressDeniedError
from connections.adapters.registry import discover
from connections.runner import realms
from connections.runner.supervisor import LocalRunner
from tests.adapters.test_tunnel import PASSWORD, USER, Running, jump_host  # noqa: F401  the last is a fixture
from tests.hostile.evil import SITE
from tests.runner.asking import Asker
from tests.servers.pausable import PausableServer

LOOPBACK = EgressPolicy(loopback=True).as_dict()


@pytest.fixture(scope="module")
def runner() -> Iterator[LocalRunner]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, SITE])
        patch.setattr(realms, "registry", discover())
        local = LocalRunner(workers=4, share=4, spares=1)
        assert local.status()["isolation"]["connects_dialled"] is True
        yield local
        local.close()


@dataclass
class Evil:
    """A source that dials what it likes, in a worker of its own organisation."""

    asker: Asker

    def found(self, do: str, egress: dict[str, Any] | None = None, timeout: float = 30, **given: Any) -> dict[str, str]:
        asked = {"do": f"dialling.{do}", "given": given}
        rows = self.asker.ask(
            source="evil_network", query=asked, egress=egress or {}, timeout=timeout, limit=1000, connection=None
        ).rows
        found = {str(tried): str(got) for tried, got in rows}
        found.pop("pid")
        return found


@pytest.fixture
def evil(runner: LocalRunner) -> Evil:
    return Evil(Asker(runner))


@dataclass
class Listener:
    """A port, and how many have come to it."""

    sock: socket.socket
    came: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        threading.Thread(target=self._count, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.sock.getsockname()[1])

    def _count(self) -> None:
        while True:
            try:
                accepted, peer = self.sock.accept()
            except OSError:
                return
            self.came.append(peer)
            accepted.close()


@pytest.fixture
def listen() -> Iterator[Any]:
    with ExitStack() as open_sockets:

        def make(host: str = "127.0.0.1") -> Listener:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            return Listener(open_sockets.enter_context(socket.create_server((host, 0), family=family, backlog=128)))

        yield make


def closed_but(*listeners: Listener) -> dict[str, Any]:
    """Loopback is open, but for these: the catalogue's own, as far as the policy knows."""
    own = tuple(Opening.parse(f"127.0.0.1/32:{each.port}") for each in listeners)
    return EgressPolicy(loopback=True, own=own).as_dict()


def test_native_code_reaches_no_closed_place_in_any_way(evil: Evil, listen: Any):
    here = listen()
    places = [
        ("127.0.0.1", here.port),
        ("0.0.0.0", here.port),
        ("::ffff:127.0.0.1", here.port),
        ("::1", here.port),
        ("10.0.0.1", 5432),
        ("192.168.1.1", 80),
        ("169.254.169.254", 80),
        ("64:ff9b::a9fe:a9fe", 80),
        ("fe80::1", 80),
    ]
    found = evil.found("reach", places=places)
    assert len(found) == 5 * len(places)
    assert set(found.values()) == {"OSError Permission denied"}
    assert here.came == []


def test_native_code_reaches_what_is_open_and_sees_what_the_kernel_says(evil: Evil, listen: Any):
    here = listen()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        found = evil.found("reach", LOOPBACK, places=[("127.0.0.1", here.port), ("127.0.0.2", unused.getsockname()[1])])
    assert found["waiting 127.0.0.1"] == found["bare 127.0.0.1"] == found["another's 127.0.0.1"] == "got 0"
    assert found["not waiting 127.0.0.1"] in ("got 0", f"OSError {os.strerror(115)}")
    assert found["waiting 127.0.0.2"] == "OSError Connection refused"
    assert found["udp 127.0.0.1"] == "OSError Permission denied"
    assert 3 <= len(here.came) <= 4


def test_an_address_that_changes_while_it_is_judged_leads_nowhere_else(evil: Evil, listen: Any):
    good, bad = listen(), listen()
    found = evil.found("race", closed_but(bad), timeout=60, good=good.port, bad=bad.port, times=1000)
    assert int(found["reached"]) + int(found["refused"]) == 1000
    assert int(found["reached"]) > 0
    assert int(found["refused"]) > 0, "The address never changed in time: nothing was shown."
    assert bad.came == []


def test_a_socket_that_is_exchanged_while_it_is_judged_leads_nowhere_else(evil: Evil, listen: Any):
    good, bad = listen(), listen()
    assert evil.found("exchange", closed_but(bad), good=good.port, bad=bad.port, times=500) == {"swapped": "over"}
    assert bad.came == []


def test_no_message_is_sent_without_a_connection(evil: Evil, listen: Any):
    here = listen()
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(0.2)
        found = evil.found("message", LOOPBACK, port=here.port, udp=udp.getsockname()[1])
        assert set(found.values()) == {"OSError Permission denied"}
        assert len(found) == 7
        with pytest.raises(TimeoutError):
            udp.recv(10)
    assert here.came == []


def test_messages_in_pieces_go_along_a_connection(evil: Evil):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def digest() -> None:
            for _ in range(2):
                accepted, _ = server.accept()
                with accepted, accepted.makefile("rb") as file:
                    time.sleep(0.2)  # until no more goes at once
                    accepted.sendall(hashlib.sha256(file.read()).hexdigest().encode())

        threading.Thread(target=digest, daemon=True).start()
        found = evil.found("pieces", LOOPBACK, port=server.getsockname()[1])
    whole = hashlib.sha256(bytes(range(256)) * 4096).hexdigest()
    assert found["waiting"] == found["not waiting"] == whole
    assert "Broken pipe" in found["unconnected"]


def test_nothing_leads_around_the_dialler(evil: Evil):
    found = evil.found("around", LOOPBACK)
    assert len(found) == 10 + 64
    assert [tried for tried, got in found.items() if got.startswith("got")] == []


def test_a_worker_reaches_its_own_listener_and_no_other(evil: Evil):
    found = evil.found("itself")
    assert found == {
        "own": "got 0",
        "heard": "hello",
        "moved": "OSError Permission denied",
        "bound only": "OSError Permission denied",
    }


def test_a_worker_takes_no_port_that_others_could_send_to(evil: Evil):
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.connect(("192.0.2.1", 9))  # sends nothing: it tells which address is ours
        own = sender.getsockname()[0]
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with words_to(port):
        found = evil.found("ports", LOOPBACK, address=own, port=port)
    refused = [tried for tried, got in found.items() if got == "OSError Permission denied"]
    assert refused == ["tcp 0.0.0.0", "tcp ::", f"tcp {own}", "tcp chosen"]
    assert found["udp elsewhere"] == "OSError Cannot assign requested address"
    assert found["heard"].startswith("TimeoutError")


def test_listeners_are_bounded_by_how_many_there_are_and_not_by_how_many_there_were(evil: Evil):
    found = evil.found("listeners", most=64)
    assert found["one after another"] == "got away"
    assert int(found["at once"]) == 64
    assert found["stopped"] == "OSError Permission denied"


def test_libpq_is_refused_an_address_that_python_never_saw(evil: Evil, listen: Any):
    here = listen()
    assert "Permission denied" in evil.found("libpq", port=here.port)["libpq"]
    assert here.came == []
    evil.found("libpq", LOOPBACK, port=here.port)
    assert len(here.came) > 0


def test_what_python_was_kept_from_judging_is_judged_all_the_same(runner: LocalRunner, listen: Any, monkeypatch: Any):
    """The worker's own policy is lifted: its supervisor's holds, and the caller is told so."""
    here = listen()
    asker = Asker(runner, {"base_url": f"http://127.0.0.1:{here.port}"})
    run = asker.run(source="http_api", query={"path": "/"}, egress=dict(LOOPBACK))
    run._ticket.job.egress.clear()  # type: ignore[attr-defined]  # what the worker gets was written before
    with pytest.raises(EgressDeniedError, match=f"127.0.0.1 port {here.port}"):
        list(run)
    assert here.came == []


def test_drivers_reach_what_their_organisation_may(
    runner: LocalRunner, postgresql: PausableServer, mariadb: PausableServer
):
    sql = {"sql": "select 1 as one"}
    for source, server in (("postgresql", postgresql), ("mysql", mariadb)):
        asker = Asker(runner, server.login("reader") | {"tls": {"mode": "disable"}})
        assert asker.ask(source=source, query=sql, egress=LOOPBACK).rows == [[1]]
        with pytest.raises(AdapterError) as refused:
            Asker(runner, asker.settings).ask(source=source, query=sql)
        assert refused.value.code == "egress_denied"


def test_a_tunnel_leads_through_a_workers_own_port(
    runner: LocalRunner,
    postgresql: PausableServer,
    jump_host: Running,  # noqa: F811
):
    tunnel = {
        "host": "127.0.0.1",
        "port": jump_host.port,
        "user": USER,
        "host_key": jump_host.host_key,
        "auth": {"kind": "password", "password": PASSWORD},
    }
    asker = Asker(runner, postgresql.login("reader") | {"tls": {"mode": "disable"}, "tunnel": tunnel})
    query = {"sql": "select inet_client_port() > 0"}
    assert asker.ask(source="postgresql", query=query, egress=LOOPBACK).rows == [[True]]


def test_a_warm_connection_asks_nobody(runner: LocalRunner, postgresql: PausableServer):
    asker = Asker(runner, postgresql.login("reader") | {"tls": {"mode": "disable"}})
    asked = []
    for _ in range(3):
        assert asker.ask(source="postgresql", query={"sql": "select 1"}, egress=LOOPBACK).rows == [[1]]
        [worker] = [each for each in runner._pool._idle if each.realm and each.realm.organisation == asker.organisation]
        asked.append(worker.leave.calls)
    assert asked == [1, 0, 0]


@pytest.mark.parametrize("flip", [False, True])
def test_a_worker_that_is_killed_while_it_waits_leaves_nothing(evil: Evil, runner: LocalRunner, flip: bool):
    evil.found("around")  # a worker of its own is there
    assert settles(lambda: diallers() == listeners())
    others = diallers() - runner.status()["workers"]["idle"]  # runners that earlier tests left have theirs
    with socket.socket() as full, ExitStack() as queued:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):  # nobody accepts: what comes now is not answered
            near = queued.enter_context(socket.socket())
            near.setblocking(False)
            near.connect_ex(full.getsockname())
        for _ in range(3):
            started = time.monotonic()
            with pytest.raises(AdapterError) as ended:
                evil.found("wait", LOOPBACK, timeout=1, port=full.getsockname()[1], flip=flip)
            assert ended.value.code == "deadline"
            assert time.monotonic() - started < 2
            assert Evil(Asker(runner)).found("itself")["own"] == "got 0"
    assert settles(lambda: diallers() == listeners() <= others + runner.status()["workers"]["idle"])


def test_one_that_does_nothing_but_try_holds_up_nobody_else(evil: Evil, runner: LocalRunner, listen: Any):
    here, ours = listen(), listen()
    flood = threading.Thread(target=_flooded, args=(evil, here.port))
    flood.start()
    time.sleep(0.5)
    neighbour = Evil(Asker(runner))
    neighbour.found("itself")
    taken = neighbour.found("timing", LOOPBACK, port=ours.port, times=100)
    flood.join()
    assert float(taken["waiting"]) < 20_000
    assert here.came == []


def _flooded(evil: Evil, port: int) -> None:
    with pytest.raises(AdapterError):
        evil.found("flood", timeout=3, port=port)


def test_a_forked_child_keeps_nothing_of_the_dialler(evil: Evil):
    evil.found("itself")
    assert listeners() > 0
    child = os.fork()
    if child == 0:
        os._exit(listeners())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@contextmanager
def words_to(port: int) -> Iterator[None]:
    """Inside, a word comes to this UDP port of loopback over and over, whether somebody hears it or not."""
    over = threading.Event()

    def send() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as sender:
            while not over.wait(0.02):
                sender.sendto(b"word", ("127.0.0.1", port))

    sending = threading.Thread(target=send)
    sending.start()
    try:
        yield
    finally:
        over.set()
        sending.join()


def diallers() -> int:
    return sum(thread.name.startswith("dialler-") for thread in threading.enumerate())


def listeners() -> int:
    """How many descriptors this process has that tell of a worker's calls."""
    found = 0
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found += "seccomp" in os.readlink(f"/proc/self/fd/{number}")
    return found


def settles(true: Any, within: float = 15.0) -> bool:
    until = time.monotonic() + within
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True
