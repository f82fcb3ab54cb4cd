"""Previews, exports, browsing and checks over REST, on a real file through a real worker."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pyarrow.ipc
import pyarrow.parquet
import pytest

from connections.models import Event
from tests.catalogue import Tenant

pytestmark = pytest.mark.django_db(transaction=True)
SQL = "select id, item from orders order by id"


@pytest.fixture
def shop(acme: Tenant) -> Tenant:
    acme.sqlite("Shop", rows=250)
    return acme


def preview(tenant: Tenant, path: str = "", **body: Any) -> Any:
    return tenant.api("analyst").post(f"connections/shop/preview/{path}", {"query": {"sql": SQL}, **body})


def body_of(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


def test_a_preview_gives_columns_rows_a_page_and_where_time_went(shop: Tenant) -> None:
    answer = preview(shop, limit=2, offset=1, count=True)
    assert answer.status_code == 200, answer.content
    found = answer.json()
    assert [column["name"] for column in found["columns"]] == ["id", "item"]
    assert found["columns"][0].keys() == {"name", "type", "native_type", "nullable"}
    assert found["rows"] == [[2, "item 2"], [3, "item 3"]]
    assert found["page"] == {"offset": 1, "limit": 2, "returned": 2, "has_more": True, "total": 250}
    assert found["truncated"] is None
    assert found["stats"].keys() >= {"queue_ms", "connect_ms", "execute_ms", "fetch_ms", "bytes"}
    assert found["connection"] == {"slug": "shop", "version": 1}
    assert found["request_id"] == answer["X-Request-ID"]


def test_a_table_is_previewed_by_its_path(shop: Tenant) -> None:
    found = preview(shop, query={"table": ["orders"]}, limit=1).json()
    assert found["rows"] == [[1, "item 1"]]


def test_a_limit_of_nothing_gives_the_columns_only(shop: Tenant) -> None:
    found = preview(shop, limit=0).json()
    assert ([column["name"] for column in found["columns"]], found["rows"]) == (["id", "item"], [])


def test_parameters_are_bound(shop: Tenant) -> None:
    query = {"sql": "select item from orders where id = :id"}
    assert preview(shop, query=query, parameters={"id": 7}).json()["rows"] == [["item 7"]]


@pytest.mark.parametrize(
    ("body", "status", "code", "pointer"),
    [
        ({"query": None}, 400, "invalid", "/query"),
        ({"query": {"sql": ""}}, 400, "invalid", "/query/sql"),
        ({"query": {"sql": "select 1", "table": ["a"]}}, 400, "invalid", None),
        ({"query": {"nonsense": 1}}, 400, "invalid", None),
        ({"query": {"sql": "select :a"}}, 400, "invalid", "/parameters/a"),
        ({"parameters": {"a": 1}}, 400, "invalid", "/parameters/a"),
        ({"parameters": []}, 400, "invalid", "/parameters"),
        ({"limit": 10_001}, 400, "invalid", "/limit"),
        ({"limit": "5"}, 400, "invalid", "/limit"),
        ({"offset": -1}, 400, "invalid", "/offset"),
        ({"count": 1}, 400, "invalid", "/count"),
        ({"timeout": 61}, 400, "invalid", "/timeout"),
        ({"tmeout": 5}, 400, "invalid", "/tmeout"),
        ({"query": {"sql": "select * from ordrs"}}, 422, "query", "/query/sql"),
        ({"query": {"table": ["ordrs"]}}, 422, "query", "/query/table"),
        ({"query": {"sql": "delete from orders"}}, 422, "not_a_query", "/query/sql"),
    ],
)
def test_a_wrong_preview_is_a_problem_that_points(
    shop: Tenant, body: dict[str, Any], status: int, code: str, pointer: str | None
) -> None:
    answer = preview(shop, **body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.content
    if pointer is not None:
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


def test_exports_stream_in_each_format(shop: Tenant) -> None:
    lines = body_of(preview(shop, "?format=ndjson", limit=250)).splitlines()
    assert [json.loads(line) for line in lines][:1] == [{"id": 1, "item": "item 1"}]
    rows = list(csv.reader(io.StringIO(body_of(preview(shop, "?format=csv", limit=250)).decode())))
    assert (rows[0], rows[250]) == (["id", "item"], ["250", "item 250"])
    import pyarrow.ipc
    import pyarrow.parquet

    table = pyarrow.ipc.open_stream(body_of(preview(shop, "?format=arrow", limit=250))).read_all()
    assert (table.num_rows, table.column_names) == (250, ["id", "item"])
    table = pyarrow.parquet.read_table(io.BytesIO(body_of(preview(shop, "?format=parquet", limit=250))))
    assert table.num_rows == 250


def test_accept_chooses_the_format_and_an_unknown_one_is_a_406(shop: Tenant) -> None:
    api = shop.api("analyst")
    answer = api.post("connections/shop/preview/", {"query": {"sql": SQL}}, Accept="text/csv")
    assert answer["Content-Type"].startswith("text/csv")
    assert body_of(answer)
    for refused in (
        api.post("connections/shop/preview/", {"query": {"sql": SQL}}, Accept="image/png"),
        api.post("connections/shop/preview/?format=xlsx", {"query": {"sql": SQL}}),
    ):
        assert (refused.status_code, refused.json()["code"]) == (406, "not_acceptable")


def test_an_early_failure_of_an_export_is_an_error_and_not_an_empty_body(shop: Tenant) -> None:
    answer = preview(shop, "?format=csv", query={"sql": "select * from ordrs"})
    assert (answer.status_code, answer.json()["code"]) == (422, "query")


FORMATS = ("csv", "ndjson", "arrow", "parquet")
LONG = f"select group_concat(item || '{'x' * 5000}') from orders"


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(
    ("sql", "code"),
    [
        (LONG, "too_large"),
        (f"select item from orders where id < 3 union all {LONG}", "too_large"),
        ("select abs(-9223372036854775807 - (id > 5)) from orders", "query"),
    ],
    ids=["alone", "after others", "of the source"],
)
def test_what_fails_within_the_first_batch_is_a_problem_in_every_format(
    shop: Tenant, sql: str, code: str, format_: str
) -> None:
    answer = preview(shop, f"?format={format_}", query={"sql": sql})
    assert (answer.status_code, answer.json()["code"]) == ({"too_large": 424, "query": 422}[code], code)
    assert answer["Content-Type"] == "application/problem+json"
    assert Event.objects.filter(action="connection.export").latest("at").code == code


@pytest.mark.parametrize("format_", FORMATS)
def test_an_export_without_rows_has_a_body_that_can_be_read(shop: Tenant, format_: str) -> None:
    answer = preview(shop, f"?format={format_}", query={"sql": "select id, item from orders where id < 0"})
    assert answer.status_code == 200
    body = body_of(answer)
    assert format_ != "csv" or body == b"id,item\r\n"
    assert format_ != "ndjson" or body == b""
    assert format_ != "arrow" or pyarrow.ipc.open_stream(body).read_all().column_names == ["id", "item"]
    assert format_ != "parquet" or pyarrow.parquet.read_table(io.BytesIO(body)).column_names == ["id", "item"]


def test_a_query_is_described_and_tables_and_columns_are_listed(shop: Tenant) -> None:
    api = shop.api("analyst")
    described = api.post("connections/shop/describe/", {"query": {"sql": SQL}}).json()
    assert [column["name"] for column in described["columns"]] == ["id", "item"]
    tables = api.get("connections/shop/tables/?q=ORD").json()
    assert tables == {
        "results": [{"path": ["orders"], "name": "orders", "kind": "table", "comment": None}],
        "next": None,
        "previous": None,
    }
    columns = api.get("connections/shop/columns/?path=orders").json()
    assert columns["primary_key"] == ["id"]
    assert api.get("connections/shop/columns/?path=nothing").status_code == 422
    assert api.get("connections/shop/columns/").status_code == 400


def test_a_check_becomes_the_status_and_its_history(shop: Tenant) -> None:
    api = shop.api("analyst")
    assert api.get("connections/shop/status/").status_code == 404
    made = api.post("connections/shop/status/").json()
    assert (made["ok"], made["code"], made["site"]) == (True, None, "local")
    assert all(step["ok"] for step in made["steps"])
    assert made["server"]["product"] == "SQLite"
    assert api.get("connections/shop/status/").json() == made
    history = api.get("connections/shop/status/history/").json()
    assert history["results"] == [made]
    row = api.get("connections/shop/").json()
    assert (row["state"], row["status"]) == ("ready", {"ok": True, "checked_at": made["checked_at"]})


def test_settings_are_tested_before_they_are_saved(shop: Tenant) -> None:
    api = shop.api("editor")
    good = api.post("connections/test/", {"source": "sqlite", "config": {"path": "shop.sqlite3"}})
    assert (good.status_code, good.json()["ok"]) == (200, True)
    bad = api.post("connections/test/", {"source": "sqlite", "config": {"path": "nothing.sqlite3"}})
    assert (bad.status_code, bad.json()["ok"]) == (200, False)
    assert bad.json()["field"] == "/config/path"
    edits = api.post("connections/test/", {"connection": "shop", "config": {"path": "nothing.sqlite3"}})
    assert edits.json()["ok"] is False
    refused = api.post(
        "connections/?check=true", {"name": "N", "source": "sqlite", "config": {"path": "nothing.sqlite3"}}
    )
    assert (refused.status_code, refused.json()["code"], refused.json()["check"]["ok"]) == (422, "check_failed", False)


def test_a_preview_is_recorded_as_started_and_finished_without_its_text(shop: Tenant) -> None:
    preview(shop, query={"sql": "select 'secret-in-text' as x"})
    events = Event.objects.filter(action="connection.preview").order_by("at", "id")
    assert [event.result for event in events] == ["started", "ok"]
    assert events[1].detail["rows"] == 1
    assert "secret-in-text" not in json.dumps([event.detail for event in events])


def test_cancelling_what_has_ended_is_a_204(shop: Tenant) -> None:
    assert shop.api("analyst").delete("previews/some-request-id/").status_code == 204
