"""Worker processes: whom they serve, how they end, what they hold."""

import contextlib
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

import pytest

from connections.adapters.errors import (
    BusyError,
    CancelledError,
    DeadlineError,
    InternalError,
    InvalidError,
    QueryError,
    TooLargeError,
    UnreachableError,
    WorkerCrashedError,
)
from connections.adapters.limits import Budget
from connections.runner import processes
from connections.runner.frames import ORDER, Kind
from connections.runner.supervisor import LocalRunner, close_all, runner
from tests.runner.asking import Asker, gone, toy
from tests.toy import SITE

CANARY = "hunter2-canary"
OF_ITSELF = ("auxv", "cgroup", "fd", "maps", "mem", "mountinfo", "stat", "statm", "status")
MIB = 2**20


def test_a_worker_serves_one_organisation_and_then_no_other(small: Asker):
    served = defaultdict(set)
    for number in range(30):
        organisation = f"org-{number % 5}"
        served[organisation].add(small.myself(organisation=organisation)["pid"])
    pids = [pid for found in served.values() for pid in found]
    assert len(pids) == len(set(pids)) == 30  # two places for five in turn: nobody's worker is still there


def test_a_second_job_of_an_organisation_goes_to_its_worker(local: Asker):
    pid = local.myself()["pid"]
    time.sleep(0.05)  # until it has reset its adapter
    assert local.myself(connection="c2")["pid"] == pid


def test_the_start_of_the_runner_counts_against_the_first_jobs_time_and_serves_the_next(monkeypatch):
    monkeypatch.syspath_prepend(SITE)
    asker = Asker(LocalRunner(workers=1, share=1, spares=0))
    try:
        started = time.monotonic()
        with pytest.raises(BusyError, match="still starting"):
            asker.do("myself", timeout=0.02)
        assert time.monotonic() - started < 0.3
        assert asker.myself()["pid"]
    finally:
        asker.runner.close()


@pytest.mark.parametrize("what", ["sleep", "spin"])
def test_a_job_ends_at_its_deadline_whatever_it_does(local: Asker, what: str):
    pid = local.myself()["pid"]
    started = time.monotonic()
    with pytest.raises(DeadlineError, match=r"within 0\.5 s"):
        local.do(what, seconds=60, timeout=0.5)
    assert 0.45 < time.monotonic() - started < 1.0
    assert gone(pid, 0.5)
    assert local.myself()["pid"] != pid


def test_a_stopped_worker_is_killed_at_the_deadline(local: Asker):
    pid = local.myself()["pid"]
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(DeadlineError):
        local.do("count", timeout=0.5)
    assert gone(pid, 0.5)


def test_what_a_worker_started_dies_with_it_in_its_session_or_not(unfiltered: Asker, tmp_path: Path):
    """Where the kernel filters system calls, a worker starts no process. This is for where it does not."""
    listing = tmp_path / "pids"
    with pytest.raises(DeadlineError):
        unfiltered.do("grandchild", text=str(listing), seconds=60, timeout=2)
    pids = [int(pid) for pid in listing.read_text().split()]
    assert len(pids) == 2
    assert all(gone(pid, 0.5) for pid in pids)


@pytest.mark.parametrize(
    ("what", "said"), [("exit", r"with exit status 3"), ("abort", r"by SIGABRT")], ids=["exit", "abort"]
)
def test_a_crash_costs_one_job_and_says_how_it_happened(local: Asker, what: str, said: str):
    other = local.run(query=toy("sleep", seconds=0.3))
    with pytest.raises(WorkerCrashedError, match=said):
        local.do(what, n=3)
    assert [type(frame).__name__ for frame in other] == ["Ready", "Begun", "Head", "Chunk", "End"]
    assert local.do("count").rows == [[0, ""]]


def test_an_idle_worker_that_died_costs_no_job(local: Asker):
    pid = local.myself()["pid"]
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    assert local.myself()["pid"] != pid


def test_a_bug_tells_its_kind_and_not_its_text(either: Asker):
    with pytest.raises(InternalError) as caught:
        either.do("bug", text=CANARY)
    assert "KeyError" in str(caught.value)
    assert CANARY not in str(caught.value)


def test_a_job_over_its_memory_fails_alone(local: Asker):
    for what, size in (("allocate", 2**30), ("hoard", 2**18)):
        pid = local.myself()["pid"]
        with pytest.raises(TooLargeError, match="300 MiB of memory"):
            local.do(what, n=size, budget=Budget(memory_bytes=300 * MIB))
        assert local.myself()["pid"] != pid


def test_memory_is_the_budget_of_the_job_and_not_of_the_one_before(local: Asker):
    local.do("count", budget=Budget(memory_bytes=300 * MIB))
    assert local.do("allocate", n=400 * MIB, budget=Budget(memory_bytes=1024 * MIB)).rows == [[400 * MIB, ""]]


def test_no_secret_is_in_an_argument_list_or_an_environment(local: Asker):
    local.settings = {"password": CANARY, "name": CANARY}
    found = local.myself()
    assert found["password"] == CANARY
    for shown in ("cmdline", "environ"):
        for process in Path("/proc").glob(f"[0-9]*/{shown}"):
            with contextlib.suppress(OSError):
                assert CANARY.encode() not in process.read_bytes(), process
    assert set(found["environ"]) <= {"HOME", "TMPDIR", "TZ", "LC_CTYPE", "ARROW_DEFAULT_MEMORY_POOL", "RES_OPTIONS"}


def test_a_worker_that_dies_leaves_no_picture_of_its_memory(local: Asker):
    limits = Path(f"/proc/{local.myself()['pid']}/limits").read_text()
    assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)


def test_a_worker_has_a_private_folder_no_descriptors_and_no_django(local: Asker):
    found = local.myself()
    folder = Path(found["cwd"])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert found["environ"]["HOME"] == str(folder)
    assert "django" not in found["modules"]
    assert "pyarrow" not in found["modules"]
    assert len([name for name in found["open_files"] if name.startswith("socket:")]) == 1
    others = [name for name in found["open_files"] if name != "/dev/null" and not name.startswith("socket:")]
    own = f"/proc/{found['pid']}/"  # held, so that it can be looked at as long as the worker lives
    assert {name.removeprefix(own) for name in others} <= {*OF_ITSELF, "/proc/sys/vm/overcommit_memory"}
    others.remove(f"{own}statm")  # held like the others, and open to be read
    assert len(others) == len(set(others)) <= 10


def test_status_tells_the_isolation_in_force(own: Asker):
    status = own.runner.status()
    assert status["ok"] is True
    assert status["workers"]["limit"] == 8
    assert status["isolation"]["own_session"] is True
    if sys.platform == "linux":
        missing = {name for name, in_force in status["isolation"].items() if not in_force}
        assert missing == ({"threads_capped"} if os.getuid() == 0 else set())


def test_a_thousand_jobs_leave_no_descriptor_open(own: Asker):
    before_there = own.myself()["open_files"]
    time.sleep(0.3)  # until the spares are there
    before_here = _descriptors()
    for _ in range(1000):
        own.do("count")
    for _ in range(5):  # kills and replacements close theirs too
        with pytest.raises(WorkerCrashedError):
            own.do("exit")
    assert len(own.myself()["open_files"]) == len(before_there)
    time.sleep(0.3)
    assert len(_descriptors()) == len(before_here)


def test_closing_a_runner_leaves_no_process_and_no_folder(toy_path: None):
    local = LocalRunner()
    local.status()
    asker = Asker(local)
    found = asker.myself()
    running = asker.run(query=toy("sleep", seconds=60))
    zygote = _parent(found["pid"])
    children = [zygote, *_descendants(zygote)]
    assert len(children) >= 4  # two workers and two spares, some of which may be on their way
    local.close()
    assert all(gone(pid) for pid in children)
    assert not Path(found["cwd"]).parent.exists()
    with pytest.raises(CancelledError, match="closing"):
        next(running)
    with pytest.raises(InternalError, match="closed"):
        asker.do("count")


def test_a_killed_supervisor_leaves_no_process(tmp_path: Path):
    script = f"""
import sys, time; sys.path.append({SITE!r})
from connections.runner.supervisor import LocalRunner
from tests.runner.asking import Asker, toy
asker = Asker(LocalRunner())
pid = asker.myself()["pid"]
asker.run(query=toy("sleep", seconds=60))
print(pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        descendants = _descendants(supervisor.pid)
        assert pid in descendants
        supervisor.kill()
    assert all(gone(each) for each in descendants)


def test_a_dead_first_process_is_replaced(own: Asker):
    before = own.myself()["pid"]
    os.kill(_parent(before), signal.SIGKILL)
    assert gone(before)
    assert own.myself()["pid"] != before


def test_a_runner_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(processes, "_path", lambda: [str(Path(os.__file__).parent)])
    local = LocalRunner()
    with pytest.raises(InternalError, match="No module named"):
        Asker(local).do("count")
    assert local.status()["ok"] is False
    local.close()


def test_a_forked_child_has_workers_of_its_own(toy_path: None):
    close_all()  # an earlier test's runner knows no toy
    here = Asker(runner("local"))
    pid = here.myself()["pid"]
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            there = Asker(runner("local"))
            os.write(writer, str(there.myself()["pid"]).encode())
            close_all()
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    assert int(os.read(reader, 100)) != pid
    os.close(reader)
    assert here.myself()["pid"] == pid
    close_all()


def test_a_run_that_nobody_reads_ends_at_its_deadline_and_frees_its_place(small: Asker):
    unread = small.run(query=toy("count", n=10_000_000, text="x" * 100), limit=10_000_000, timeout=1, budget=_ample())
    next(unread)
    assert small.runner.status()["workers"]["running"] == 1
    time.sleep(1.3)
    assert small.runner.status()["workers"]["running"] == 0
    with pytest.raises(DeadlineError):
        list(unread)


def test_closing_a_run_kills_its_worker_and_frees_its_place(small: Asker):
    pid = small.myself()["pid"]
    with small.run(query=toy("count", n=10_000_000), limit=10_000_000, budget=_ample()) as run:
        next(run)
    assert gone(pid, 0.5)
    assert small.runner.status()["workers"]["running"] == 0


def test_a_run_that_never_began_can_be_closed(small: Asker):
    small.run(query=toy("count")).close()
    assert small.do("count").rows == [[0, ""]]


def test_cancelling_ends_a_running_job_of_that_organisation_only(local: Asker):
    run = local.run(query=toy("sleep", seconds=60), job_id="slow")
    assert local.runner.cancel("slow", "another") is False
    threading.Timer(0.2, lambda: local.runner.cancel("slow", local.organisation)).start()
    started = time.monotonic()
    with pytest.raises(CancelledError):
        list(run)
    assert time.monotonic() - started < 1.5
    assert local.runner.cancel("slow", local.organisation) is False


def test_settings_that_cannot_be_opened_cost_no_worker(local: Asker):
    pid = local.myself()["pid"]

    def locked():
        raise PermissionError("locked")

    with pytest.raises(PermissionError, match="locked"):
        local.do("count", connection="c2", settings=locked)
    assert local.myself()["pid"] == pid


def test_a_warm_source_is_not_touched_before_the_run_goes_on(local: Asker):
    pid = local.myself()["pid"]
    with local.run(query=toy("exit")) as run:
        assert type(next(run)).__name__ == "Ready"
        assert not gone(pid, within=0.5)
        with pytest.raises(WorkerCrashedError):
            list(run)
    assert gone(pid)


def test_a_job_that_cannot_begin_leaves_its_worker_in_step(local: Asker):
    pid = local.myself()["pid"]
    for _ in range(3):
        with pytest.raises(InvalidError):
            local.ask(query={"do": 1})
    assert local.myself()["pid"] == pid


def test_a_failure_between_rows_is_raised_after_the_rows(either: Asker):
    run = either.run(query=toy("fail", text="later", n=200, batch=100), limit=1000)
    assert [type(next(run)).__name__ for _ in range(4)] == ["Ready", "Begun", "Head", "Chunk"]
    with pytest.raises(QueryError, match="division by zero"):
        list(run)


def test_a_transient_failure_is_raised_as_such(either: Asker):
    with pytest.raises(UnreachableError) as caught:
        either.do("fail", text="unreachable")
    assert caught.value.transient


def _ample() -> Budget:
    return Budget(rows=10_000_000, bytes=2**32)


def _descriptors() -> list[str]:
    return os.listdir("/proc/self/fd")


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _children(pid: int) -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]


def _descendants(pid: int) -> list[int]:
    children = _children(pid)
    return children + [each for child in children for each in _descendants(child)]


def test_a_worker_that_is_never_told_to_go_on_ends_at_the_jobs_deadline(local: Asker, toy_path: None):
    zygote = processes.Zygote()
    try:
        worker = zygote.fork()
        worker.introduce()
        worker.channel.send(Kind.JOB, ORDER.pack(0.5, True) + local.job().to_bytes())
        started = time.monotonic()
        with pytest.raises(EOFError):
            worker.channel.receive(started + 10)
        assert 0.3 < time.monotonic() - started < 5
        worker.bury()
    finally:
        zygote.close()
