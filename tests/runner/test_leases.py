"""Limits that hold for all processes of a host together, and cancelling across them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest

from connections.adapters.errors import BusyError, CancelledError, InternalError, ThrottledError
from connections.runner.leases import Leases, NoSlotError
from connections.runner.neighbours import Neighbours, private_folder
from connections.runner.supervisor import LocalRunner
from tests.runner.asking import sleeping_job
from tests.toy import SITE

SECONDS = 20
ROOT = Path(__file__).parent.parent.parent
FOUR = [("connection", "c", 4)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return private_folder(tmp_path / "run")


class Other:
    """Another process, which runs ``script`` and answers a line for each line that it is sent."""

    def __init__(self, script: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), SITE])},
        )

    def ask(self, line: str = "") -> Any:
        stdin, stdout = self.process.stdin, self.process.stdout
        assert isinstance(stdin, IO) or stdin is not None
        assert stdout is not None
        stdin.write(line + "\n")
        stdin.flush()
        return json.loads(stdout.readline())

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(SECONDS)


@pytest.fixture
def other() -> Iterator[Callable[..., Other]]:
    made: list[Other] = []

    def make(script: str, *arguments: str) -> Other:
        made.append(Other(script, *arguments))
        return made[-1]

    yield make
    for each in made:
        each.kill()
        for pipe in (each.process.stdin, each.process.stdout):
            if pipe is not None:
                pipe.close()


HOLDS = """
    import json, sys
    from pathlib import Path
    from connections.runner.leases import Leases, NoSlotError
    leases = Leases(Path(sys.argv[1]))
    held = []
    for line in sys.stdin:
        try:
            held.append(leases.take([("connection", "c", 4)]))
            print(json.dumps(len(held)), flush=True)
        except NoSlotError:
            print(json.dumps("full"), flush=True)
"""


def count(leases: Leases) -> int:
    """How many of the four slots are free, by taking them all."""
    taken: list[list[int]] = []
    try:
        while True:
            taken.append(leases.take(FOUR))
    except NoSlotError:
        return len(taken)
    finally:
        for slots in taken:
            leases.give_back(slots)


# Slots ---------------------------------------------------------------------------------------------------------


def test_slots_are_shared_by_processes_and_free_at_once_when_one_is_killed(
    folder: Path, other: Callable[..., Other]
) -> None:
    leases, holder = Leases(folder / "slots"), other(HOLDS, str(folder / "slots"))
    assert [holder.ask(), holder.ask(), holder.ask()] == [1, 2, 3]
    assert count(leases) == 1
    mine = leases.take(FOUR)
    assert holder.ask() == "full"
    leases.give_back(mine)
    assert holder.ask() == 4
    with pytest.raises(NoSlotError):
        leases.take(FOUR)
    assert leases.take([("connection", "another", 4)])
    holder.kill()
    assert count(leases) == 4


def test_a_process_that_is_forked_holds_nothing_of_its_parents(folder: Path) -> None:
    leases = Leases(folder / "slots")
    leases.take(FOUR)
    child = os.fork()
    if not child:
        leases.forget()
        time.sleep(SECONDS)
        os._exit(0)
    try:
        assert count(Leases(folder / "slots")) == 3
        leases.close()
        assert count(Leases(folder / "slots")) == 4
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_slots_are_all_taken_or_none(folder: Path) -> None:
    leases, elsewhere = Leases(folder / "slots"), Leases(folder / "slots")
    elsewhere.take([("host", "", 1)])
    with pytest.raises(NoSlotError) as refused:
        leases.take([*FOUR, ("host", "", 1)])
    assert refused.value.want[0] == "host"
    assert count(leases) == 4


def test_without_a_file_slots_are_this_process_alone() -> None:
    leases = Leases()
    assert count(leases) == 4
    slots = leases.take(FOUR)
    assert count(leases) == 3
    leases.give_back(slots)
    leases.give_back(slots)
    assert count(leases) == 4


def test_a_lease_costs_a_preview_next_to_nothing(folder: Path) -> None:
    """A few microseconds alone; the bound leaves room for a busy machine, and for none of a disk or a database."""
    leases = Leases(folder / "slots")
    wants = [("organisation", "o", 8), ("host", "", 200), *FOUR]
    best = min(timed(lambda: leases.give_back(leases.take(wants))) for _ in range(5))
    assert best < 60e-6


def timed(act: Callable[[], None], times: int = 200) -> float:
    """Seconds for one."""
    started = time.perf_counter()
    for _ in range(times):
        act()
    return (time.perf_counter() - started) / times


# The folder ----------------------------------------------------------------------------------------------------


def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    open_ = tmp_path / "open"
    open_.mkdir(mode=0o755)
    open_.chmod(0o755)
    with pytest.raises(PermissionError, match="chmod 700"):
        private_folder(open_)
    (tmp_path / "link").symlink_to(private_folder(tmp_path / "real"))
    with pytest.raises(PermissionError):
        private_folder(tmp_path / "link")


def test_a_runner_whose_folder_cannot_be_used_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    runner = LocalRunner(workers=1, spares=0, folder=tmp_path / "file")
    try:
        with pytest.raises(InternalError) as refused:
            runner.run(sleeping_job(), dict)
        assert "CATALOG_RUNTIME_FOLDER" in str(refused.value.hint)
        assert runner.status()["ok"] is False
    finally:
        runner.close()


def test_neighbours_hear_one_another_and_the_dead_are_forgotten(tmp_path: Path, other: Callable[..., Other]) -> None:
    long = private_folder(tmp_path / ("x" * 120))
    heard: list[Any] = []
    here, there = Neighbours(long, heard.append), Neighbours(long, heard.append)
    script = """
        import json, sys
        from pathlib import Path
        from connections.runner.neighbours import Neighbours
        ear = Neighbours(Path(sys.argv[1]), lambda message: None)
        for line in sys.stdin:
            print(json.dumps("here"), flush=True)
    """
    third = other(script, str(long))
    assert third.ask() == "here"
    assert here.tell({"n": 1}) == 2
    third.kill()
    assert here.tell({"n": 2}) == 1
    assert len(list(long.iterdir())) == 2
    wait_until(lambda: heard == [{"n": 1}, {"n": 2}])
    there.close()
    assert here.tell({"n": 3}) == 0
    here.close()
    assert list(long.iterdir()) == []


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


# Runners -------------------------------------------------------------------------------------------------------

RUNS = """
    import json, sys
    from dataclasses import replace
    from pathlib import Path
    from connections.adapters.errors import AdapterError
    from connections.runner.supervisor import LocalRunner
    from tests.runner.asking import sleeping_job
    runner = LocalRunner(workers=4, share=4, spares=0, folder=Path(sys.argv[1]))
    runs = []
    for line in sys.stdin:
        asked = json.loads(line)
        if asked == "running":
            print(json.dumps(len(runner.holders())), flush=True)
            continue
        if asked == "outcome":
            try:
                list(runs[0])
                print(json.dumps("ended"), flush=True)
            except AdapterError as exc:
                print(json.dumps(exc.code), flush=True)
            continue
        try:
            runs.append(runner.run(replace(sleeping_job(), **asked), dict))
            print(json.dumps(len(runs)), flush=True)
        except AdapterError as exc:
            print(json.dumps(exc.code), flush=True)
"""


@pytest.fixture
def runner(toy_path: None, folder: Path) -> Iterator[LocalRunner]:
    local = LocalRunner(workers=4, share=4, spares=0, folder=folder)
    local.status()
    yield local
    local.close()


def test_two_processes_have_one_limit_for_a_connection_an_organisation_and_the_host(
    runner: LocalRunner, folder: Path, other: Callable[..., Other]
) -> None:
    there = other(RUNS, str(folder))
    job = replace(sleeping_job(), connection_limit=2, organisation_limit=3, host_limit=4)
    ask = {"connection_limit": 2, "organisation_limit": 3, "host_limit": 4}
    assert there.ask(json.dumps(ask)) == 1
    first = runner.run(job, dict)
    with pytest.raises(ThrottledError, match="connection"):
        runner.run(job, dict)
    assert there.ask(json.dumps({**ask, "connection": "another"})) == 2
    with pytest.raises(ThrottledError, match="organisation"):
        runner.run(replace(job, connection="third"), dict)
    elsewhere = runner.run(replace(job, organisation="globex", connection="theirs"), dict)
    with pytest.raises(BusyError) as busy:
        runner.run(replace(job, organisation="initech", connection="more"), dict)
    assert busy.value.retry_after == 1
    assert there.ask(json.dumps({**ask, "organisation": "initech"})) == "busy"
    elsewhere.close()
    first.close()
    there.kill()
    runs = [runner.run(job, dict), runner.run(job, dict), runner.run(replace(job, connection="third"), dict)]
    with pytest.raises(ThrottledError):
        runner.run(replace(job, connection="fourth"), dict)
    for run in runs:
        run.close()


def test_a_job_of_another_process_is_cancelled_by_its_request_id(
    runner: LocalRunner, folder: Path, other: Callable[..., Other]
) -> None:
    there, job = other(RUNS, str(folder)), sleeping_job()
    assert there.ask(json.dumps({"id": "elsewhere"})) == 1
    runner.cancel("elsewhere", "globex")
    runner.cancel("elsewhere", job.organisation, reach={"another"})
    assert runner.cancel("elsewhere", job.organisation, reach={str(job.connection)}) is False
    started = time.monotonic()
    assert there.ask(json.dumps("outcome")) == "cancelled"
    assert time.monotonic() - started < 5


def test_the_jobs_of_some_holders_are_stopped_and_no_others(runner: LocalRunner) -> None:
    running = runner.run(sleeping_job(), dict, holder="leaves")
    stays = runner.run(sleeping_job(), dict, holder="stays")
    assert runner.holders() == {"leaves", "stays"}
    assert runner.holders(age=60) == set()
    assert runner.stop({"leaves"}, "They left.") == 1
    with pytest.raises(CancelledError, match="They left"):
        list(running)
    assert runner.holders() == {"stays"}
    stays.close()
