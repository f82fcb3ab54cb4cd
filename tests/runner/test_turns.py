"""Limits, turns, and what waits for a worker."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from connections.adapters.errors import BusyError, CancelledError, ThrottledError
from connections.runner.frames import End
from tests.runner.asking import Asker, toy


def test_a_connection_over_its_limit_is_refused_at_once(local: Asker):
    runs = [local.run(query=toy("sleep", seconds=5), limits=(2, 8)) for _ in range(2)]
    with pytest.raises(ThrottledError, match="This connection has 2 jobs") as caught:
        local.run(query=toy("count"), limits=(2, 8))
    assert caught.value.retry_after == 1
    assert local.do("count", connection="c2", limits=(2, 8)).rows == [[0, ""]]
    runs[0].close()
    assert local.do("count", limits=(2, 8)).rows == [[0, ""]]
    runs[1].close()


def test_an_organisation_over_its_limit_is_refused_and_no_other(local: Asker):
    runs = [local.run(query=toy("sleep", seconds=5), connection=f"c{at}", limits=(4, 3)) for at in range(3)]
    with pytest.raises(ThrottledError, match="This organisation has 3 jobs"):
        local.run(query=toy("count"), connection=None, limits=(4, 3))
    assert local.do("count", organisation="other", limits=(4, 3)).rows == [[0, ""]]
    for run in runs:
        run.close()


def test_settings_that_are_not_saved_count_for_the_organisation_only(local: Asker):
    runs = [local.run(query=toy("sleep", seconds=5), connection=None, limits=(1, 8)) for _ in range(3)]
    for run in runs:
        run.close()


def test_a_job_that_gets_no_worker_before_its_deadline_is_told_when_to_come_back(small: Asker):
    holding = [small.run(query=toy("sleep", seconds=5), organisation=name) for name in ("a", "b")]
    started = time.monotonic()
    with pytest.raises(BusyError) as caught:
        small.do("count", organisation="c", timeout=0.3)
    assert 0.25 < time.monotonic() - started < 0.6
    assert caught.value.retry_after
    for run in holding:
        run.close()
    assert small.do("count", organisation="c").rows == [[0, ""]]


def test_a_waiting_job_can_be_cancelled(small: Asker):
    holding = [small.run(query=toy("sleep", seconds=5), organisation=name) for name in ("a", "b")]
    waiting = small.run(query=toy("count"), organisation="c", job_id="waits")
    threading.Timer(0.2, lambda: small.runner.cancel("waits", "c")).start()
    with pytest.raises(CancelledError):
        list(waiting)
    for run in holding:
        run.close()


def test_an_organisation_alone_may_use_all_workers(small: Asker):
    runs = [small.run(query=toy("sleep", seconds=5)) for _ in range(2)]
    assert small.runner.status()["workers"]["running"] == 2
    for run in runs:
        run.close()


def test_organisations_take_turns_and_a_flood_waits_behind_a_drop(small: Asker):
    """Eight jobs of one organisation are there first; the other's single job is done long before them."""
    finished: list[str] = []

    def one(organisation: str) -> None:
        small.do("sleep", seconds=0.15, organisation=organisation, limits=(8, 8))
        finished.append(organisation)

    with ThreadPoolExecutor(9) as threads:
        flood = [threads.submit(one, "flood") for _ in range(8)]
        time.sleep(0.1)
        drop = threads.submit(one, "drop")
        for job in (*flood, drop):
            job.result()
    assert finished.index("drop") <= 3


def test_a_place_that_frees_goes_to_who_has_less_than_its_share_though_another_waited_before(small: Asker):
    hanging = toy("sleep", seconds=5)
    full, leaving = (small.run(query=hanging, organisation=name) for name in ("full", "leaving"))
    more = small.run(query=hanging, organisation="full", connection=None)
    other = small.run(query=toy("count"), organisation="other", timeout=2)
    leaving.close()
    assert isinstance(list(other)[-1], End)
    for run in (full, more):
        run.close()


def test_while_others_wait_an_organisation_gets_no_more_than_its_share(small: Asker):
    flood = [small.run(query=toy("sleep", seconds=0.3), organisation="flood", connection=None) for _ in range(6)]
    others = [
        small.run(query=toy("sleep", seconds=0.3), organisation=name, connection=None) for name in ("a", "b", "c")
    ]
    order: list[str] = []

    def read(run, name):
        list(run)
        order.append(name)

    with ThreadPoolExecutor(9) as threads:
        for name, run in [*(("flood", run) for run in flood), *zip("abc", others, strict=True)]:
            threads.submit(read, run, name)
    assert sorted(order) == ["a", "b", "c", *["flood"] * 6]
    # The two running at first are the flood's. From then on it holds one of the two places.
    assert order.index("c") < 7


def test_many_callers_at_once_all_get_their_own_answer(local: Asker):
    def one(number: int) -> bool:
        organisation = f"org-{number % 3}"
        return local.do("count", text=str(number), organisation=organisation, limits=(12, 12)).rows == [
            [0, str(number)]
        ]

    with ThreadPoolExecutor(12) as threads:
        assert all(threads.map(one, range(400)))
