"""An adapter that means harm, in both classes of worker: what it reaches, and what it costs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from connections.adapters.egress import EgressPolicy
from connections.adapters.errors import AdapterError
from connections.adapters.limits import Budget
from connections.adapters.registry import discover
from connections.runner import realms
from connections.runner.frames import Kind
from connections.runner.isolation import MEMORY_FLOOR, MOST_THREADS, SPARE_MEMORY
from connections.runner.processes import IDLE_DESCRIPTORS, IDLE_THREADS
from connections.runner.realms import Realm
from connections.runner.supervisor import LocalRunner
from tests.hostile.attack import GRACE, SECRET, Outcome, attack
from tests.hostile.evil import SITE
from tests.runner.asking import Asker, gone, sleeping_job

VICTIM = "victim-c4n4ry"
UNSPOKEN = "n4m3-of-the-victim"
"""The rest of the victim's password: no attacker is told it as a word to look for."""
WORD = "another organisation's word"


@pytest.fixture(scope="module")
def runner() -> Iterator[LocalRunner]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, SITE])
        patch.setattr(realms, "registry", discover())
        local = LocalRunner(workers=4, share=2, spares=1)
        local.status()
        yield local
        local.close()


@dataclass
class World:
    """An attacker, and another organisation whose workers hold a secret while it is at it."""

    runner: LocalRunner
    source: str
    root: Path
    folder: Path
    victim: Asker
    pids: dict[str, int] = field(default_factory=dict)
    pid: int = 0

    def attack(self, do: str, *, timeout: float = 10, budget: Budget | None = None, **given: Any) -> Outcome:
        return attack(
            self.runner,
            self.source,
            {"password": SECRET},
            {"do": do, "given": given},
            timeout=timeout,
            budget=budget,
            root=str(self.root),
            egress=EgressPolicy().as_dict(),
            limit=10_000,
            format="ndjson",  # each row is sent when it is there, whatever comes of the next
        )

    def found(self, do: str, **given: Any) -> dict[str, str]:
        """What came of each thing tried; the attack must have been made to its end."""
        outcome = self.attack(do, **given)
        assert outcome.error is None, outcome.told
        found = dict(rows(outcome))
        self.pid = int(found.pop("pid"))
        return found

    def victims(self) -> dict[str, int]:
        return {source: int(self.victim.ask(source=source, query={"do": "peaceful"}).rows[0][1]) for source in SOURCES}


SOURCES = ("evil_local", "evil_network")


@pytest.fixture(params=SOURCES)
def world(request: pytest.FixtureRequest, runner: LocalRunner, tmp_path: Path) -> Iterator[World]:
    root = tmp_path / "files" / "attacker"
    root.mkdir(parents=True)
    (root / "own.txt").write_text("own")
    victim = Asker(runner, {"password": VICTIM + UNSPOKEN}, organisation="victim")
    world = World(runner, request.param, root, tmp_path, victim)
    world.pids = world.victims()
    time.sleep(0.05)  # until their adapters are reset
    yield world
    assert world.victims() == world.pids, "The neighbour's workers did not come through."


def test_files_of_others_are_out_of_reach(world: World):
    other = world.folder / "files" / "victim" / "rows.csv"
    other.parent.mkdir()
    database, keys = world.folder / "catalogue.sqlite3", world.folder / "var" / "env"
    keys.parent.mkdir()
    for file in (other, database, keys):
        file.write_text(WORD)
    (world.root / "link").symlink_to(other)
    checkout = Path(__file__).parents[2]
    refused = [
        *map(str, (other, database, keys, world.root / "link", world.root / ".." / "victim" / "rows.csv")),
        *(
            "/etc/passwd",
            "/etc/shadow",
            "/etc/ssl/private/x",
            "/proc/1/environ",
            "/proc/PPID/environ",
            "/proc/PPID/mem",
        ),
        *(str(checkout / name) for name in ("pyproject.toml", "var/env", ".git/config")),
        *("/root/.ssh/id_rsa", "/dev/mem", "/dev/sda", "/dev/zero", "/var/log/syslog", "/sys/kernel/notes"),
    ]
    found = world.found("files", paths=refused, word=WORD)
    assert len(found) == 3 * len(refused)
    for tried, got in found.items():
        if not tried.startswith("list "):
            assert not got.startswith("got"), tried
    listings = {tried: got for tried, got in found.items() if tried.startswith("list ") and got.startswith("got")}
    assert all(str(world.root / "link") in tried for tried in listings), listings


def _kept(found: os.stat_result) -> tuple[int, ...]:
    """What of a file may not change: all but when it was read, which this test does."""
    return (*found[:7], found.st_mtime_ns)


def test_nothing_is_changed_in_anybodys_files(world: World):
    files = [world.root / "own.txt", world.folder / "other.txt"]
    for file in files:
        file.write_text("as it was")
        file.chmod(0o640)
    before = [file.stat() for file in files]
    found = world.found("changes", paths=list(map(str, files)))
    assert len(found) == 12 * len(files) + 1
    assert [tried for tried, got in found.items() if got.startswith("got")] == []
    assert [file.read_text() for file in files] == ["as it was"] * 2
    assert [_kept(file.stat()) for file in files] == [_kept(each) for each in before]
    assert sorted(path.name for path in world.root.iterdir()) == ["own.txt"]


def test_its_own_files_are_read_by_the_class_that_reads_files_only(world: World):
    own = str(world.root / "own.txt")
    got = world.found("files", paths=[own], word="own")[own]
    assert got == "got True" if world.source == "evil_local" else got.startswith("PermissionError")


def test_other_processes_are_out_of_reach(world: World):
    pids = [os.getpid(), *world.pids.values(), zygote(world), 1]
    found = world.found("processes", pids=pids, word=VICTIM)
    assert len(found) == 16 * len(pids) + 2
    assert [tried for tried, got in found.items() if got.startswith("got")] == []


def test_no_secret_of_another_is_in_its_memory(world: World):
    found = world.found("memory", drow=UNSPOKEN[::-1])
    if os.getuid() and found == {"memory": "PermissionError"}:
        return  # not even its own is open to it, nor to others of its user
    assert found == {"memory": "got 0"}
    assert world.found("memory", drow="C4n4ry-%40"[::-1])["memory"] != "got 0"  # its own, which shows that it looks


def test_it_starts_no_process_and_no_program_and_lifts_no_limit(world: World):
    found = world.found("start")
    assert len(found) == 21
    assert [tried for tried, got in found.items() if got.startswith("got")] == []


def test_a_bomb_of_processes_and_threads_stays_in_its_worker(world: World):
    outcome = world.attack("bomb", most=20_000, timeout=6)
    pid = int(dict(rows(outcome))["pid"])
    if outcome.error is not None:
        assert outcome.code in ("deadline", "worker_crashed", "too_large", "internal")
        assert gone(pid, GRACE)
    else:
        assert dict(rows(outcome))["forks"] == "got 0"


def test_threads_without_end_are_capped_or_end_the_worker_at_once(world: World):
    outcome = world.attack("crowd", most=60_000, seconds=5)
    if world.runner.status()["isolation"]["threads_capped"]:
        assert int(dict(rows(outcome))["threads"].removeprefix("got ")) < MOST_THREADS
        return
    assert outcome.code == "worker_crashed"
    assert outcome.seconds < 2
    assert gone(int(dict(rows(outcome))["pid"]), GRACE)


def test_threads_without_end_leave_the_others_theirs(world: World):
    """Jobs of others, some of which need a new process, while it is at it again and again."""
    stop = threading.Event()

    def crowd() -> None:
        while not stop.is_set():
            with contextlib.suppress(AdapterError):
                Asker(world.runner, {}, organisation="acme").ask(
                    source=world.source, query={"do": "crowd", "given": {"most": 60_000, "seconds": 1}}
                )

    attacker = threading.Thread(target=crowd)
    attacker.start()
    try:
        for number in range(8):
            for source in SOURCES:
                other = Asker(world.runner, {}, organisation=f"victim-{number}")
                assert other.ask(source=source, query={"do": "peaceful"}, timeout=10).rows[1] == ["peace", "got it"]
    finally:
        stop.set()
        attacker.join()
    world.pids = world.victims()  # blank ones were needed: theirs may have been ended for them


def test_hoarding_memory_ends_at_the_budget(world: World):
    outcome = world.attack("hoard", budget=Budget(memory_bytes=MEMORY_FLOOR))
    assert outcome.code == "too_large"
    found = dict(rows(outcome))
    assert int(found["hoarded"].removeprefix("got ")) < MEMORY_FLOOR + SPARE_MEMORY
    assert gone(int(found["pid"]), GRACE)


def test_memory_that_is_no_data_to_the_kernel_is_capped_too(world: World):
    found = world.found("mapped", bytes=2 * 2**30)
    assert [tried for tried, got in found.items() if got.startswith("got")] == []
    assert len(found) == 4


def test_the_kernel_keeps_little_for_it(world: World):
    found = world.found("queue", let_go=True)
    queued = {kind: int(got.removeprefix("got ")) for kind, got in found.items() if got.startswith("got ")}
    assert queued.keys() == {"pipes", "sockets", "own port"}
    assert found["sockets end"] == found["pipes end"] == "OSError"  # no more descriptors
    assert max(queued.values()) < 128 * 2**20, queued
    assert queued["own port"] == 0 or world.source == "evil_network"
    found = world.found("kernel")
    assert len(found) == 5
    assert [tried for tried, got in found.items() if got.startswith("got")] == []


def test_what_it_writes_is_little_and_goes_with_it(world: World):
    found = world.found("fill")
    assert int(found["room"].removeprefix("got ")) <= 16 * 2**20
    assert "No space left" in found["end"]
    assert [tried for tried, got in found.items() if tried.startswith("/") and got.startswith("got")] == []
    for _ in range(20):  # while the worker resets its adapter, another one may be given the next job
        world.attack("vanish")
        if gone(world.pid, 0.1):
            break
    assert gone(world.pid)
    assert not list(scratch(world).glob(f"worker-{world.pid}/*"))


def test_the_connections_of_the_host_are_not_overheard(world: World):
    found = world.found("overhear")
    assert len(found) == 5 * 7 + 4
    assert [tried for tried, got in found.items() if got.startswith("got")] == []


def test_nothing_that_listens_here_is_reached(world: World):
    with listeners(world.folder) as (given, heard):
        found = world.found("dial", **given)
        assert len(found) == 11
        assert [tried for tried, got in found.items() if got.startswith("got")] == []
        assert not any(got.startswith("got") for got in world.found("native_dial", **given).values())
    assert heard == []


@pytest.mark.parametrize("do", ["hang", "spin"])
def test_what_never_returns_is_gone_at_its_deadline(world: World, do: str):
    outcome = world.attack(do, timeout=1)
    assert outcome.code == "deadline"
    assert outcome.seconds < 1.5
    assert gone(int(dict(rows(outcome))["pid"]), GRACE)


def test_what_computes_on_after_its_job_is_gone_in_seconds(world: World):
    assert world.found("compute_on") == {"begun": "got away"}
    assert gone(world.pid, 10)
    assert not any(gone(pid, 0) for pid in world.pids.values()), "Workers that did nothing were ended too."


@pytest.mark.parametrize(("do", "most"), [("crowd", IDLE_THREADS + 30), ("keep_open", IDLE_DESCRIPTORS + 30)])
def test_what_it_keeps_after_its_job_is_gone_in_seconds(world: World, do: str, most: int):
    assert f"got {most}" in world.found(do, most=most, seconds=0).values()
    assert gone(world.pid, 10)
    assert not any(gone(pid, 0) for pid in world.pids.values()), "Workers that kept nothing were ended too."


@pytest.mark.parametrize(
    ("do", "code"), [("garble", "worker_crashed"), ("vanish", "worker_crashed"), ("flood", "worker_crashed")]
)
def test_a_worker_that_lies_to_its_supervisor_is_ended(world: World, do: str, code: str):
    outcome = world.attack(do, timeout=2)
    assert outcome.code == code
    assert gone(int(dict(rows(outcome))["pid"]), GRACE)


FRAMES = {
    "no JSON": (Kind.HEAD, b"{"),
    "no columns": (Kind.HEAD, b"{}"),
    "a list": (Kind.HEAD, b"[]"),
    "an end that is none": (Kind.END, b"[1]"),
    "an error that is none": (Kind.ERROR, b"null"),
    "an error without a word": (Kind.ERROR, b"{}"),
    "a step of no check": (Kind.PLAN, b'["nonsense"]'),
    "deep": (Kind.END, b"[" * 10_000),
    "many values": (Kind.HEAD, b'{"columns":[' + b"[]," * 400_000 + b"[]]}"),
    "a job": (Kind.JOB, b""),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_that_no_worker_sends_ends_the_worker(world: World, name: str):
    kind, payload = FRAMES[name]
    outcome = world.attack("say", frames=[[int(kind), payload.decode()]])
    assert outcome.code == "worker_crashed", outcome.told


@pytest.mark.parametrize(("kind", "most"), [(Kind.IDLE, 1), (Kind.SOON, 1), (Kind.CHUNK, 400_000)])
def test_frames_that_say_nothing_are_not_heard_for_ever(world: World, kind: Kind, most: int):
    """To hear one is work as well, in the process that serves everybody."""
    started = time.monotonic()
    outcome = world.attack("repeat", kind=int(kind), timeout=30)
    assert outcome.code == "worker_crashed", outcome.told
    assert time.monotonic() - started < (15 if most > 1 else 5)


@pytest.mark.usefixtures("runner")
def test_a_plug_in_shares_no_worker_with_other_sources(tmp_path: Path):
    """Nor their secrets, which a worker was given before: not those of its own organisation either."""

    def realm(source: str) -> Realm:
        return Realm.of(replace(sleeping_job(), source=source, root=str(tmp_path)))

    assert realm("sqlite") == realm("duckdb")
    assert realm("postgresql") == realm("mysql")
    apart = [realm(source) for source in ("sqlite", "postgresql", *SOURCES)]
    assert len(set(apart)) == len(apart)


def test_the_settings_are_given_once(world: World):
    """Each time, they are unsealed, and asked of a vault where they are kept in one."""
    outcome = world.attack("say", frames=[[int(Kind.NEED), ""]] * 1000)
    assert outcome.code == "worker_crashed", outcome.told


def test_what_it_prints_is_heard_by_nobody(world: World, capfd: pytest.CaptureFixture[str]):
    assert world.found("shout")["shouted"] == "got away"
    said = capfd.readouterr()
    assert SECRET not in said.out + said.err
    assert "C4n4ry" not in said.out + said.err


def rows(outcome: Outcome) -> list[tuple[str, str]]:
    """The rows that came, whole or cut off."""
    found = []
    for line in outcome.body.decode(errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            break
        found.append((row["tried"], row["got"]))
    return found


def zygote(world: World) -> int:
    return int(Path(f"/proc/{world.pids['evil_local']}/stat").read_text().rpartition(")")[2].split()[1])


def scratch(world: World) -> Path:
    return Path(os.readlink(f"/proc/{zygote(world)}/cwd"))


class listeners:
    """TCP, UDP and Unix listeners, and whatever they heard."""

    def __init__(self, folder: Path) -> None:
        self.heard: list[str] = []
        short = Path(f"/tmp/evil-{os.getpid()}")
        shutil.rmtree(short, ignore_errors=True)
        short.mkdir()
        self._short = short
        self.sockets = {
            "port": socket.create_server(("0.0.0.0", 0)),
            "udp": socket.socket(type=socket.SOCK_DGRAM),
            "unix": socket.socket(socket.AF_UNIX),
            "abstract": socket.socket(socket.AF_UNIX),
        }
        self.sockets["udp"].bind(("127.0.0.1", 0))
        self.sockets["unix"].bind(str(short / "s"))
        self.sockets["abstract"].bind(f"\0evil-{os.getpid()}")
        for name in ("unix", "abstract"):
            self.sockets[name].listen()
        self._threads = [threading.Thread(target=self._hear, args=each, daemon=True) for each in self.sockets.items()]

    def __enter__(self) -> tuple[dict[str, object], list[str]]:
        for thread in self._threads:
            thread.start()
        with socket.socket(type=socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(("192.0.2.1", 9))  # sends nothing: it tells which address is ours
                address = probe.getsockname()[0]
            except OSError:
                address = "127.0.0.2"
        given = {
            "port": self.sockets["port"].getsockname()[1],
            "udp": self.sockets["udp"].getsockname()[1],
            "unix": str(self._short / "s"),
            "abstract": f"evil-{os.getpid()}",
            "address": address,
        }
        return given, self.heard

    def __exit__(self, *_: object) -> None:
        time.sleep(0.1)
        for sock in self.sockets.values():
            sock.close()
        shutil.rmtree(self._short, ignore_errors=True)

    def _hear(self, name: str, sock: socket.socket) -> None:
        sock.settimeout(0.05)
        while sock.fileno() >= 0:
            try:
                _ = sock.recv(100) if name == "udp" else sock.accept()
                self.heard.append(name)
            except TimeoutError:
                continue
            except OSError:
                return
