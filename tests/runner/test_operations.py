"""Each operation's answer."""

import time
from typing import Any

import pytest

from connections.adapters.errors import InternalError, InvalidError, QueryError, ThrottledError
from connections.adapters.limits import Budget
from connections.runner.frames import Head
from tests.runner.asking import Asker, toy


def test_a_read_tells_its_page_its_columns_and_where_time_went(either: Asker):
    started = time.perf_counter()
    answer = either.ask(query=toy("count", n=50, text="x"), limit=10, offset=20, count=True)
    wall = (time.perf_counter() - started) * 1000
    assert answer.head is not None
    assert answer.head.columns == [
        {"name": "n", "type": "integer", "native_type": None, "nullable": None},
        {"name": "word", "type": "string", "native_type": None, "nullable": None},
    ]
    assert answer.rows == [[number, "x"] for number in range(20, 30)]
    assert answer.fields["page"] == {"offset": 20, "limit": 10, "returned": 10, "has_more": True, "total": 50}
    assert answer.fields["truncated"] is None
    assert answer.fields["warnings"] == [{"code": "toy", "message": "It is a toy."}]
    stats = answer.fields["stats"]
    assert stats["bytes"] == len(answer.body)
    assert 0 < sum(stats[name] for name in ("queue_ms", "connect_ms", "execute_ms", "fetch_ms")) <= wall


@pytest.mark.parametrize(("n", "has_more"), [(10, False), (11, True), (0, False)])
def test_there_is_more_exactly_when_there_is(either: Asker, n: int, has_more: bool):
    answer = either.ask(query=toy("count", n=n), limit=10)
    assert answer.fields["page"]["has_more"] is has_more
    assert answer.fields["page"]["returned"] == min(n, 10)


def test_a_limit_of_nothing_gives_the_columns(either: Asker):
    answer = either.ask(query=toy("count", n=3), limit=0)
    assert answer.head is not None
    assert len(answer.head.columns) == 2
    assert answer.rows == []
    assert answer.fields["page"]["has_more"] is True


def test_time_spent_by_a_slow_reader_is_not_the_source_s(local: Asker):
    fields: dict[str, Any] = {}
    started = time.perf_counter()
    for frame in local.run(query=toy("count", n=40_000, text="x" * 250), limit=40_000, budget=_ample()):
        if isinstance(frame, Head):
            time.sleep(1)  # by then the socket is full and the worker waits
        fields = getattr(frame, "fields", {})
    wall = (time.perf_counter() - started) * 1000
    assert fields["page"]["returned"] == 40_000
    assert fields["stats"]["fetch_ms"] < wall - 500


def test_parameters_of_any_size_reach_the_source_as_they_are(either: Asker):
    sent = {"big": 2**200, "text": "\u00e9\U0001d11e\u0000", "none": None, "list": [1.5, {"a": True}]}
    assert either.myself(parameters=sent)["parameters"] == sent


def test_a_parameter_that_is_no_json_is_refused(either: Asker):
    with pytest.raises(InvalidError, match="JSON values"):
        either.myself(parameters={"at": object()})


def test_a_query_that_does_not_fit_its_schema_is_pointed_at(either: Asker):
    with pytest.raises(InvalidError) as caught:
        either.do("dance")
    assert caught.value.field == "/query/do"


def test_settings_that_do_not_fit_are_pointed_at_and_not_repeated(either: Asker):
    either.settings = {"name": ["hunter2"]}
    with pytest.raises(InvalidError) as caught:
        either.do("count")
    assert caught.value.field == "/config/name"
    assert "hunter2" not in str(caught.value)


def test_a_source_that_is_not_installed_is_named(either: Asker):
    with pytest.raises(InternalError, match="no source 'missing'"):
        either.do("count", source="missing")


def test_describe_gives_columns_without_rows(either: Asker):
    answer = either.ask("describe", query=toy("count", n=5))
    assert [column["name"] for column in answer.fields["columns"]] == ["n", "word"]
    assert answer.fields["primary_key"] == []
    assert answer.body == b""


def test_columns_of_a_table_come_with_its_key(either: Asker):
    assert either.ask("columns", path=["main", "t00"]).fields["primary_key"] == ["id"]
    with pytest.raises(QueryError, match=r"no table main\.t99"):
        either.ask("columns", path=["main", "t99"])


def test_tables_come_by_path_a_page_at_a_time(either: Asker):
    seen: list[list[str]] = []
    after = None
    while True:
        fields = either.ask("tables", limit=10, after=after).fields
        seen += [table["path"] for table in fields["tables"]]
        if not fields["has_more"]:
            break
        after = seen[-1]
    assert seen == [["main", f"t{number:02}"] for number in range(25)]
    assert len(either.ask("tables", search="T1").fields["tables"]) == 10


def test_a_check_tells_each_step_as_it_is_done(either: Asker):
    answer = either.ask("check")
    assert [step["name"] for step in answer.steps] == ["resolve", "connect", "authenticate"]
    assert answer.fields["ok"] is True
    assert answer.fields["error"] is None
    assert answer.fields["steps"] == answer.steps
    assert answer.fields["server"] == {"product": "Toy", "version": "1.0"}
    assert answer.fields["warnings"][0]["code"] == "role_can_write"
    assert answer.fields["duration_ms"] > 0


def test_a_failed_check_tells_what_was_reached_and_why_it_failed(either: Asker):
    either.settings = {"fails": "connect"}
    fields = either.ask("check").fields
    assert fields["ok"] is False
    assert [(step["name"], step["ok"]) for step in fields["steps"]] == [
        ("resolve", True),
        ("connect", False),
        ("authenticate", None),
    ]
    assert fields["error"]["code"] == "authentication"
    assert fields["error"]["field"] == "/secrets/password"


def test_a_check_that_runs_out_of_time_tells_the_steps_that_finished(local: Asker):
    local.settings = {"hangs": "connect"}
    started = time.monotonic()
    answer = local.ask("check", timeout=1.5)
    assert time.monotonic() - started < 2.0
    assert [(step["name"], step["ok"]) for step in answer.fields["steps"]] == [
        ("resolve", True),
        ("connect", None),
        ("authenticate", None),
    ]
    assert answer.fields["ok"] is False
    assert answer.fields["error"]["code"] == "deadline"
    assert len(answer.steps) == 1


def test_a_check_whose_worker_dies_says_nothing_of_the_source(local: Asker):
    local.settings = {"fails": "crash"}
    fields = local.ask("check").fields
    assert fields["ok"] is None
    assert fields["error"]["code"] == "worker_crashed"


def test_a_check_that_cannot_begin_is_neither_good_nor_bad(either: Asker):
    either.settings = {"name": 5}
    with pytest.raises(InvalidError):
        either.ask("check")


def test_a_check_over_the_limit_is_refused(local: Asker):
    run = local.run(query=toy("sleep", seconds=5), limits=(1, 8))
    with pytest.raises(ThrottledError):
        local.run("check", limits=(1, 8))
    run.close()


def _ample() -> Budget:
    return Budget(rows=10_000_000, bytes=2**32)
