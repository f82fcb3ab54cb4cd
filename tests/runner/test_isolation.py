"""What a worker gives up: by mechanism, where a mechanism is missing, and where it fails by half."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connections.adapters.egress import EgressPolicy
from connections.adapters.errors import AuthorizationError, BusyError, InternalError, UnreachableError
from connections.adapters.registry import discover
from connections.runner import isolation, processes, realms
from connections.runner.confinement import trial
from connections.runner.isolation import paths, syscalls
from connections.runner.isolation.libc import prctl
from connections.runner.realms import Realm
from connections.runner.supervisor import LocalRunner
from connections.runner.zygote import BOOTSTRAP
from tests.runner.asking import Asker, gone
from tests.runner.test_workers import _descendants, _parent
from tests.toy import SITE

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="these mechanisms are Linux's")


@pytest.fixture
def toy_is_known(monkeypatch: pytest.MonkeyPatch, toy_path: None) -> None:
    monkeypatch.setattr(realms, "registry", discover())


def without(monkeypatch: pytest.MonkeyPatch, code: str) -> LocalRunner:
    """A runner on a machine that differs as ``code`` says, with ``i`` the isolation package."""
    start, _, main = BOOTSTRAP.rpartition("; ")
    code = f"import connections.runner.isolation as i; {code}"
    monkeypatch.setattr(processes, "BOOTSTRAP", f"{start}; exec({code!r}); {main}")
    return LocalRunner()


HERE = {"threads_capped"} if os.getuid() == 0 else set()
"""What is not to be had by whoever runs this."""


@pytest.mark.parametrize(
    ("code", "missing"),
    [
        # Where workers may not be kept from one another otherwise, none may look into another, nor its supervisor.
        ("i.landlock.version = lambda: 0", {"files_confined"} | ({"connects_dialled"} if os.getuid() else set())),
        ("i.seccomp.LINUX = False", {"system_calls_filtered", "connects_dialled"}),
        (
            "i.namespaces.LINUX = False",
            {"scratch_bounded", "threads_capped", "capabilities_dropped", "network_namespace"},
        ),
        ("i.seccomp._ARCHITECTURES = {}", {"system_calls_filtered", "connects_dialled"}),
        ("i.seccomp._NEW_LISTENER = 1 << 20", {"connects_dialled"}),
        ("i.seccomp.notices.SIZES = (96, 24, 64)", {"connects_dialled"}),
        ("i.seccomp.notices._PIDFD_GETFD = 9999", {"connects_dialled"}),
        (
            "real = i.namespaces.call; refused = PermissionError(1, 'as containers do'); "
            "i.namespaces.call = lambda name, *a: exec('raise refused') if name == 'unshare' else real(name, *a)",
            {"scratch_bounded", "threads_capped", "network_namespace"},
        ),
    ],
)
def test_a_mechanism_that_is_missing_is_told_and_the_others_hold(
    toy_path: None, monkeypatch: pytest.MonkeyPatch, code: str, missing: set[str]
):
    runner = without(monkeypatch, code)
    assert Asker(runner).do("count").rows == [[0, ""]]
    isolation = runner.status()["isolation"]
    assert {name for name, in_force in isolation.items() if not in_force} == missing | HERE
    runner.close()


@pytest.mark.parametrize(
    "code",
    [
        "i.landlock._RESTRICT_SELF = 9999",
        "i.seccomp._MODE_FILTER = 77",
        "i.namespaces._CAPABILITY_VERSION_3 = 5",
        "i.namespaces.SCRATCH = 'size=nonsense'; i.namespaces._UNAVAILABLE = ()",
    ],
)
def test_a_mechanism_that_fails_by_half_stops_the_runner_and_says_so(
    toy_path: None, monkeypatch: pytest.MonkeyPatch, code: str
):
    runner = without(monkeypatch, code)
    with pytest.raises(InternalError, match="cannot be isolated"):
        Asker(runner).do("count")
    status = runner.status()
    assert status["ok"] is False
    assert "cannot be isolated" in status["problem"]
    runner.close()


def test_a_worker_that_gets_less_than_the_trial_did_is_not_used(toy_path: None, monkeypatch: pytest.MonkeyPatch):
    code = (
        "import connections.runner.zygote as z; trial = z.trial; "
        "z.trial = lambda: (trial(), setattr(i.landlock, 'confine', lambda *a, **k: False))[0]"
    )
    runner = without(monkeypatch, code)
    with pytest.raises(InternalError, match=r"could not be isolated.*files_confined"):
        Asker(runner).do("count")
    assert runner.status()["workers"]["running"] == 0
    runner.close()


@LINUX
def test_a_server_that_is_not_root_confines_its_workers_as_well():
    told = _of_another_user(lambda: trial().told())
    assert isinstance(told, dict), told
    assert all(told.values()), told


@LINUX
def test_the_threads_of_a_worker_of_another_user_than_root_are_capped_and_counted_alone():
    def begin() -> int:
        isolation.harden(os.getppid(), tempfile.mkdtemp(dir="."))
        threading.stack_size(64 * 1024)
        stop = threading.Event()
        with contextlib.suppress(RuntimeError):
            while threading.active_count() < 2 * isolation.MOST_THREADS:
                threading.Thread(target=stop.wait, daemon=True).start()
        return threading.active_count()

    assert _of_another_user(begin) in range(isolation.MOST_THREADS - 1, isolation.MOST_THREADS + 1)


def _of_another_user(do: Callable[[], Any]) -> Any:
    """What this comes to in a process of a user without rights, in a folder of its own; an error's text."""
    with tempfile.TemporaryDirectory() as folder:
        reader, writer = os.pipe()
        os.chmod(folder, 0o777)
        child = os.fork()
        if child == 0:
            try:
                os.chdir(folder)
                if os.getuid() == 0:
                    os.setgroups([])
                    os.setgid(65534)
                    os.setuid(65534)
                    prctl(4, 1)  # dumpable, as a process is that was started by this user
                os.write(writer, json.dumps(do()).encode())
            except OSError as exc:
                os.write(writer, json.dumps(str(exc)).encode())
            finally:
                os._exit(0)
        os.close(writer)
        with open(reader, "rb") as answer:
            told = json.loads(answer.read())
        os.waitpid(child, 0)
    return told


def test_a_realm_is_an_organisation_and_a_class_and_the_folder_that_was_there(toy_is_known: None, tmp_path: Path):
    asker = Asker(LocalRunner())

    def realm(source: str, root: Path | None, organisation: str = "acme") -> Realm:
        return Realm.of(asker.job(organisation=organisation, source=source, root=str(root) if root else None))

    assert realm("postgresql", tmp_path) == realm("http_api", None) == Realm("acme", True)
    assert realm("sqlite", tmp_path) == realm("duckdb", tmp_path) != realm("sqlite", None)
    assert realm("sqlite", tmp_path) != realm("sqlite", tmp_path, "globex")
    assert realm("toy", None) == Realm("acme", False, plugin="toy")
    assert realm("nowhere", None) == Realm("acme", True, plugin="nowhere")
    folder = tmp_path / "later"
    before = realm("sqlite", folder)
    folder.mkdir()
    made = realm("sqlite", folder)
    folder.rename(tmp_path / "earlier")
    folder.mkdir()
    assert len({before, made, realm("sqlite", folder)}) == 3
    asker.runner.close()


def test_the_classes_have_workers_of_their_own_and_a_folder_made_later_is_seen(own: Asker, tmp_path: Path):
    root = tmp_path / "acme"
    asked: dict[str, Any] = {"source": "sqlite", "root": str(root), "query": {"sql": "select name from t"}}
    own.settings = {"path": "shop.db"}
    with pytest.raises(AuthorizationError, match=r"There is no 'shop\.db'"):
        own.ask(connection="before", **asked)
    root.mkdir()
    with sqlite3.connect(root / "shop.db") as database:
        database.executescript("create table t (name); insert into t values ('é')")
    assert own.ask(connection="after", **asked).rows == [["é"]]
    own.settings = {}
    assert own.do("count").rows == [[0, ""]]
    assert own.runner.status()["workers"]["idle"] >= 2


def test_names_are_resolved_and_addresses_reached_by_the_class_that_has_the_network(own: Asker):
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_answer, args=(server,), daemon=True).start()
        own.settings = {"base_url": f"http://localhost:{server.getsockname()[1]}"}
        found = own.ask(source="http_api", query={"path": "/"}, egress=EgressPolicy(loopback=True).as_dict())
    assert found.rows == [[1]]


def test_the_checkout_beside_the_packages_is_not_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "var").mkdir()
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    for name in (".env", "module.py", "db.sqlite3"):
        (tmp_path / name).touch()
    plug_ins = tmp_path / "var" / "plug-ins"
    plug_ins.mkdir()
    (plug_ins / "catalog_x.py").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(plug_ins), str(tmp_path / "missing")])
    given = [path for path in paths.of_interpreter.__wrapped__() if path.startswith(str(tmp_path))]
    assert given == [str(tmp_path / "module.py"), str(tmp_path / "package"), str(plug_ins)]


@LINUX
def test_the_numbers_of_system_calls_are_those_of_the_kernel_that_built_this():
    """Where the C library's headers are installed, they are asked."""
    header = next(Path("/usr/include").glob("**/asm/unistd_64.h"), None)
    if header is None:
        assert syscalls.NUMBERS["x86_64"]["execve"] == 59
        return
    real = dict(line.split()[1:3] for line in header.read_text().splitlines() if line.startswith("#define __NR_"))
    for name, number in syscalls.NUMBERS["x86_64"].items():
        assert int(real.get(f"__NR_{name}", number)) == number, name


def test_a_killed_first_process_takes_its_workers_along_and_the_next_job_works(own: Asker):
    run = own.run(query={"do": "sleep", "seconds": 60})
    failed: list[BaseException] = []

    def read() -> None:
        try:
            list(run)
        except BaseException as exc:  # noqa: BLE001  it is looked at below
            failed.append(exc)

    reader = threading.Thread(target=read)
    reader.start()
    time.sleep(0.3)
    zygote = _parent(own.myself(connection="c2")["pid"])
    family = [zygote, *_descendants(zygote)]
    os.kill(zygote, signal.SIGKILL)
    reader.join(5)
    assert [type(exc).__name__ for exc in failed] == ["WorkerCrashedError"]
    assert all(gone(pid) for pid in family)
    assert own.do("count").rows == [[0, ""]]
    assert own.runner.status()["ok"] is True


def test_a_fork_that_the_system_refuses_costs_its_job_and_nobody_elses(
    toy_path: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    full = tmp_path / "full"
    code = (
        "import errno, os; import connections.runner.zygote as z; trial, fork = z.trial, os.fork; "
        "refused = BlockingIOError(errno.EAGAIN, 'Resource temporarily unavailable'); "
        f"refuse = lambda: exec('raise refused') if os.path.exists({str(full)!r}) else fork(); "
        "z.trial = lambda: (trial(), setattr(os, 'fork', refuse))[0]"
    )
    runner = without(monkeypatch, code)
    asker = Asker(runner)
    pid = asker.myself()["pid"]
    run = asker.run(query={"do": "sleep", "seconds": 2}, organisation="sleeper")
    next(run)
    full.touch()
    for number in range(4):  # the spares go first
        with contextlib.suppress(BusyError):
            asker.do("count", organisation=f"other-{number}")
    with pytest.raises(BusyError, match="no room for one more process"):
        asker.do("count", organisation="late")
    status = runner.status()
    assert status["ok"] is False
    assert "no room for one more process" in status["problem"]
    assert [type(frame).__name__ for frame in run][-1] == "End"
    assert asker.myself()["pid"] == pid
    full.unlink()
    assert asker.do("count", organisation="late").rows == [[0, ""]]
    assert runner.status()["ok"] is True
    runner.close()


@LINUX
def test_a_thread_that_the_system_refuses_the_supervisor_costs_its_job_and_nobody_elses(
    own: Asker, monkeypatch: pytest.MonkeyPatch
):
    pid = own.myself()["pid"]
    web = Asker(own.runner, {"base_url": "http://localhost:9"}, organisation="web")

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refuse)
        with pytest.raises(BusyError, match="no room for one more process or thread"):
            web.ask(source="http_api", query={"path": "/"}, egress=EgressPolicy(loopback=True).as_dict())
        assert own.myself()["pid"] == pid
    with pytest.raises(UnreachableError):
        web.ask(source="http_api", query={"path": "/"}, egress=EgressPolicy(loopback=True).as_dict())


def test_a_killed_supervisor_leaves_no_process_of_a_worker_that_computes():
    script = f"""
import sys, threading, time; sys.path.append({SITE!r})
from connections.runner.supervisor import LocalRunner
from connections.runner.zygote import BOOTSTRAP
from tests.runner.asking import Asker, toy
asker = Asker(LocalRunner())
for what in ("spin", "sleep"):
    threading.Thread(target=lambda: list(asker.run(query=toy(what, seconds=60)))).start()
print("running", flush=True)
time.sleep(30)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        supervisor.stdout.readline()
        until = time.monotonic() + 20
        while len(family := _descendants(supervisor.pid)) < 5:  # the first process, two workers, two spares
            assert time.monotonic() < until
            time.sleep(0.02)
        supervisor.kill()
    assert all(gone(pid) for pid in family)


def _answer(server: socket.socket) -> None:
    sock, _ = server.accept()
    with sock:
        sock.recv(65536)
        body = b'[{"n": 1}]'
        sock.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )


SHORT_OF_MEMORY = """
import os, sys
from connections.runner.isolation import landlock, paths
from connections.runner.isolation.libc import prctl

prctl(38, 1)  # no new privileges
print(landlock.confine(paths.of_interpreter(), ["/dev/null"], network=True), flush=True)
sys.stdin.readline()
for name in ("cgroup", "maps", "status"):
    assert open(f"/proc/self/{name}").read()
open("/proc/sys/vm/overcommit_memory").read()
links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
held = [os.readlink(link) for link in links if os.path.islink(link)]
print(f"/proc/{os.getpid()}/cgroup" in held)
"""


@LINUX
def test_what_a_worker_may_read_of_itself_stays_so_when_the_kernel_forgets_what_it_can():
    process = subprocess.Popen(
        [sys.executable, "-c", SHORT_OF_MEMORY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    with contextlib.suppress(OSError):  # only root may ask for it; elsewhere it is enough that the files are held
        Path("/proc/sys/vm/drop_caches").write_text("2")
    said, _ = process.communicate("go on\n", timeout=20)
    assert (said, process.returncode) == ("True\n", 0)
