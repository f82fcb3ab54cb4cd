"""Previews while they run, against a real PostgreSQL: cancelled, timed out, too many, too large, failing late."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import orjson
import pytest
from django.db import connections as databases

from connections.api.formats import BrokenOff
from connections.models import Organisation
from connections.services.here import runner_here
from tests.catalogue import API, Tenant
from tests.servers.pausable import PausableServer

pytestmark = pytest.mark.django_db(transaction=True)
SLEEP = {"query": {"sql": "select pg_sleep(20)"}}
SECONDS = 15


@pytest.fixture
def warehouse(acme: Tenant, postgresql: PausableServer) -> Tenant:
    acme.database("postgresql", postgresql)
    return acme


@contextmanager
def in_background(*calls: Callable[[], Any]) -> Iterator[list[Future[Any]]]:
    """The calls, each in a thread with a database connection of its own."""

    def closing(call: Callable[[], Any]) -> Any:
        try:
            return call()
        finally:
            databases.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        yield [pool.submit(closing, call) for call in calls]


def wait_for(running: int) -> None:
    until = time.monotonic() + SECONDS
    while runner_here().status()["workers"]["running"] < running:
        assert time.monotonic() < until, "The jobs did not start."
        time.sleep(0.02)


def test_a_running_preview_is_cancelled_by_its_request_id(warehouse: Tenant, globex: Tenant) -> None:
    api = warehouse.api("analyst")
    call = lambda: api.post("connections/warehouse/preview/", SLEEP, **{"X-Request-ID": "to-be-cancelled"})  # noqa: E731
    with in_background(call) as [asked]:
        wait_for(1)
        theirs = globex.api("admin").delete("previews/to-be-cancelled/")
        foreign = globex.api("admin").delete("/orgs/acme/previews/to-be-cancelled/")
        assert (theirs.status_code, theirs.content, foreign.status_code) == (204, b"", 404)
        assert not asked.done()
        assert warehouse.api("viewer").delete("previews/to-be-cancelled/").status_code == 403
        started = time.monotonic()
        assert warehouse.api("analyst").delete("previews/to-be-cancelled/").status_code == 204
        answer = asked.result(SECONDS)
        assert time.monotonic() - started < 5
    assert (answer.status_code, answer.json()["code"], answer.json()["transient"]) == (409, "cancelled", False)


def test_more_jobs_than_a_connection_may_have_are_throttled(warehouse: Tenant) -> None:
    api = warehouse.api("analyst")
    ids = [f"sleeper-{number}" for number in range(4)]
    calls = [
        lambda id_=id_: API("acme", warehouse.keys["analyst"]).post(
            "connections/warehouse/preview/", SLEEP, **{"X-Request-ID": id_}
        )
        for id_ in ids
    ]
    with in_background(*calls) as asked:
        wait_for(4)
        over = api.post("connections/warehouse/preview/", SLEEP)
        assert (over.status_code, over.json()["code"], over.json()["transient"]) == (429, "throttled", True)
        assert int(over["Retry-After"]) >= 1
        for id_ in ids:
            api.delete(f"previews/{id_}/")
        assert {answer.result(SECONDS).status_code for answer in asked} == {409}
    assert api.post("connections/warehouse/preview/", {"query": {"sql": "select 1"}}).status_code == 200


def test_time_that_runs_out_is_a_504(warehouse: Tenant) -> None:
    started = time.monotonic()
    answer = warehouse.api("analyst").post("connections/warehouse/preview/", {**SLEEP, "timeout": 0.5})
    assert (answer.status_code, answer.json()["code"], answer.json()["transient"]) == (504, "deadline", True)
    assert time.monotonic() - started < 5


def test_an_organisations_budgets_lower_its_limits(warehouse: Tenant) -> None:
    own = {
        "preview_rows": 5,
        "preview_timeout": 0.5,
        "preview_timeout_max": 1,
        "preview_bytes": 2000,
        "cell_bytes": 500,
    }
    Organisation.objects.filter(pk=warehouse.organisation.pk).update(budgets=own)
    api = warehouse.api("analyst")

    def ask(sql: str, **more: Any) -> Any:
        return api.post("connections/warehouse/preview/", {"query": {"sql": sql}, **more})

    for refused in (ask("select 1", limit=6), ask("select 1", timeout=2)):
        assert refused.status_code == 400
    usual = ask("select * from generate_series(1, 100)").json()
    assert (usual["page"]["returned"], usual["page"]["limit"], usual["page"]["has_more"]) == (5, 5, True)
    assert ask("select pg_sleep(20)").status_code == 504
    long = ask("select repeat('x', 501) as long, 'y' as short").json()
    assert long["rows"] == [[None, "y"]]
    assert long["truncated"]["cells"][0].items() >= {"row": 0, "column": 0, "name": "long"}.items()
    many = ask("select repeat('x', 450) from generate_series(1, 5)").json()
    assert many["truncated"] == {"by": "bytes", "limit": 2000}
    assert (many["page"]["returned"], many["page"]["has_more"]) == (len(many["rows"]), True)


def test_a_cell_over_a_mebibyte_is_null_and_named(warehouse: Tenant) -> None:
    body = {"query": {"sql": "select repeat('x', 1048577) as long, 1 as n"}}
    found = warehouse.api("analyst").post("connections/warehouse/preview/", body).json()
    assert found["rows"] == [[None, 1]]
    assert found["truncated"]["by"] == "cells"


def test_what_is_cut_at_eight_mebibytes_is_said(warehouse: Tenant) -> None:
    body = {"query": {"sql": "select repeat('x', 1000000) from generate_series(1, 20)"}}
    answer = warehouse.api("analyst").post("connections/warehouse/preview/", body)
    assert answer.json()["truncated"] == {"by": "bytes", "limit": 8388608}
    assert len(answer.content) < 8388608 + 2000


LATE = {"query": {"sql": "select 1 / (20000 - n) as x from generate_series(1, 30000) n"}, "limit": 30000}


def test_a_late_failure_ends_ndjson_with_an_error_line(warehouse: Tenant) -> None:
    answer = warehouse.api("analyst").post("connections/warehouse/preview/?format=ndjson", LATE)
    assert answer.status_code == 200
    *rows, last = answer.getvalue().splitlines()
    assert rows
    assert orjson.loads(last)["error"]["code"] == "query"


@pytest.mark.parametrize("form", ["csv", "arrow", "parquet"])
def test_a_late_failure_aborts_the_other_formats(warehouse: Tenant, form: str) -> None:
    try:
        answer = warehouse.api("analyst").post(f"connections/warehouse/preview/?format={form}", LATE)
    except Exception as failed:  # noqa: BLE001  (the abort is an exception to the server, whatever its kind)
        pytest.fail(f"It failed before the status was sent: {failed!r}")
    if answer.status_code != 200:  # nothing was sent yet, so the status could still tell
        assert (answer.status_code, answer.json()["code"]) == (422, "query")
        return
    with pytest.raises(BrokenOff, match=r"failed midway: query\.$") as caught:
        answer.getvalue()
    assert "division" not in "".join(traceback.format_exception(caught.value))  # a server's log has what that says


@pytest.mark.parametrize("form", ["csv", "ndjson", "arrow", "parquet"])
def test_a_failure_of_the_first_row_is_an_error_and_no_body(warehouse: Tenant, form: str) -> None:
    body = {"query": {"sql": "select 1 / (n - 1) from generate_series(1, 3) n"}}
    answer = warehouse.api("analyst").post(f"connections/warehouse/preview/?format={form}", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "query")


@pytest.mark.parametrize(("size", "rows"), [(1_000_000, 255), (3_000_000, 100)])
def test_a_page_of_long_cells_is_cut_and_not_refused(warehouse: Tenant, size: int, rows: int) -> None:
    """Together they are more than a worker's memory."""
    sql = f"select repeat('x', {size}) as x from generate_series(1, 300)"
    for _ in range(2):  # the second time the text is known
        answer = warehouse.api("analyst").post("connections/warehouse/preview/", {"query": {"sql": sql}, "limit": rows})
        assert answer.status_code == 200, answer.json()
        found = answer.json()
        if size > 2**20:
            assert [row[0] for row in found["rows"]] == [None] * rows
            assert found["truncated"]["cell_count"] == rows
        else:
            assert found["truncated"]["by"] == "bytes"
            assert 0 < found["page"]["returned"] == len(found["rows"]) < 20
        assert found["page"]["has_more"]


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_rows_that_become_wide_are_exported_to_the_end(warehouse: Tenant, form: str) -> None:
    """Five thousand of these would be more than a worker's memory."""
    sql = "select case when n <= 6000 then 'a' else repeat('x', 100000) end as x from generate_series(1, 8000) n"
    body = {"query": {"sql": sql}, "limit": 100_000}
    answer = warehouse.api("analyst").post(f"connections/warehouse/preview/?format={form}", body)
    lines = sum(part.count(b"\n") for part in answer.streaming_content)
    assert lines == 8000 + (form == "csv")


def test_an_export_that_nobody_reads_on_stops_its_job(warehouse: Tenant) -> None:
    body = {"query": {"sql": "select n, pg_sleep(0.0001) from generate_series(1, 1000000) n"}, "limit": 1_000_000}
    answer = warehouse.api("analyst").post("connections/warehouse/preview/?format=ndjson", body)
    next(iter(answer.streaming_content))
    answer.close()
    until = time.monotonic() + SECONDS
    while runner_here().status()["workers"]["running"]:
        assert time.monotonic() < until
        time.sleep(0.02)
