"""Runners that know the toy source."""

import sys
from collections.abc import Iterator

import pytest

from connections.adapters.registry import discover
from connections.runner import processes, warm
from connections.runner.supervisor import InlineRunner, LocalRunner
from connections.runner.zygote import BOOTSTRAP
from tests.runner.asking import Asker
from tests.toy import SITE


@pytest.fixture
def toy_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, SITE])


@pytest.fixture(scope="session")
def shared() -> Iterator[LocalRunner]:
    runner = LocalRunner()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, SITE])
        runner.status()  # it takes the path along when it starts
    yield runner
    runner.close()


@pytest.fixture
def local(shared: LocalRunner) -> Asker:
    """One runner for all tests. Each is an organisation of its own, and so has workers of its own."""
    return Asker(shared)


@pytest.fixture
def own(toy_path: None) -> Iterator[Asker]:
    """A runner of this test's own."""
    runner = LocalRunner()
    runner.status()  # started: its start would count against the first job's time
    yield Asker(runner)
    runner.close()


@pytest.fixture
def unfiltered(toy_path: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asker]:
    """A runner on a kernel that has neither Landlock nor system call filters, as far as it can tell."""
    absent = "import connections.runner.isolation as i; i.landlock.version = lambda: 0; i.seccomp.LINUX = False"
    start, _, main = BOOTSTRAP.rpartition("; ")
    monkeypatch.setattr(processes, "BOOTSTRAP", f"{start}; {absent}; {main}")
    runner = LocalRunner()
    runner.status()  # started: its start would count against the first job's time
    yield Asker(runner)
    runner.close()


@pytest.fixture
def small(toy_path: None) -> Iterator[Asker]:
    """Two workers, of which an organisation may hold one while others wait."""
    runner = LocalRunner(workers=2, share=1, spares=1)
    runner.status()
    yield Asker(runner)
    runner.close()


@pytest.fixture
def inline(toy_path: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asker]:
    monkeypatch.setattr(warm, "registry", discover())
    runner = InlineRunner()
    yield Asker(runner)
    runner.close()


@pytest.fixture(params=["local", "inline"])
def either(request: pytest.FixtureRequest) -> Asker:
    asker: Asker = request.getfixturevalue(request.param)
    return asker
