"""Which adapters are kept between jobs, and how long."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from connections.adapters.errors import QueryError, UnreachableError
from connections.adapters.limits import Budget
from connections.runner import warm
from connections.runner.jobs import Job, Operation
from connections.runner.warm import WarmAdapters
from tests.runner.asking import Asker


def test_a_warm_adapter_needs_no_settings_again(either: Asker):
    first, second = either.myself(), either.myself()
    assert first["connected"] == second["connected"]
    assert either.opened == 1


def test_a_new_access_version_needs_a_new_adapter(either: Asker):
    either.settings = {"name": "before"}
    assert either.myself(version=1)["name"] == "before"
    either.settings = {"name": "after"}
    assert either.myself(version=2)["name"] == "after"
    assert either.opened == 2


def test_an_adapter_of_an_older_access_version_is_gone(either: Asker):
    for version in (1, 2, 1):
        either.myself(version=version)
        time.sleep(0.05)  # until the adapter is reset, so that the same worker is asked
    assert either.opened == 3


def test_a_changed_policy_needs_a_new_adapter(either: Asker):
    either.myself(egress={"loopback": False})
    either.myself(egress={"loopback": True})
    assert either.opened == 2


def test_settings_that_are_not_saved_are_never_kept(either: Asker):
    either.myself(connection=None)
    either.myself(connection=None)
    assert either.opened == 2


def test_a_check_uses_a_new_adapter_and_leaves_none(either: Asker):
    either.myself()
    either.ask("check")
    either.ask("check")
    assert either.opened == 3
    either.myself()
    assert either.opened == 3


def test_an_adapter_that_cannot_reset_is_not_kept(either: Asker):
    either.settings = {"resets": False}
    either.myself()
    either.myself()
    assert either.opened == 2


def test_a_rejected_query_leaves_the_adapter_warm(either: Asker):
    with pytest.raises(QueryError):
        either.do("fail")
    either.do("count")
    assert either.opened == 1


def test_a_transient_failure_costs_the_adapter(either: Asker):
    with pytest.raises(UnreachableError):
        either.do("fail", text="unreachable")
    either.do("count")
    assert either.opened == 2


@pytest.fixture
def adapters(inline: Asker) -> Iterator[WarmAdapters]:
    found = WarmAdapters()
    yield found
    found.close()


def use(adapters: WarmAdapters, connection: str) -> Any:
    job = Job("id", "acme", connection, 1, "toy", Operation.READ, {}, 5, Budget(), {})
    loan = adapters.take(job, dict)
    adapters.give_back(loan, None)
    return loan.adapter


def test_eight_adapters_are_kept_and_the_least_recently_used_goes(adapters: WarmAdapters):
    first = use(adapters, "c0")
    second = use(adapters, "c1")
    for number in range(2, 8):
        use(adapters, f"c{number}")
    assert use(adapters, "c0") is first
    use(adapters, "c8")
    assert use(adapters, "c0") is first
    assert use(adapters, "c1") is not second


def test_an_adapter_is_closed_after_its_idle_time(adapters: WarmAdapters, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(warm, "IDLE_SECONDS", 0.05)
    kept = use(adapters, "c1")
    closed: list[Any] = []
    monkeypatch.setattr(type(kept), "close", lambda adapter: closed.append(adapter))
    expiry = adapters.next_expiry()
    assert expiry is not None
    adapters.close_idle()
    assert kept not in closed
    time.sleep(max(0.0, expiry - time.monotonic()) + 0.06)
    adapters.close_idle()
    assert kept in closed
    assert adapters.next_expiry() is None
