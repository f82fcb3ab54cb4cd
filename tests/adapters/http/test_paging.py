from typing import Any

import pytest

from connections.adapters.errors import InvalidError, ProtocolError
from tests.adapters.http.support import Preview, connect
from tests.servers.http import LARGEST_PAGE, ORDERS, OrderAPI, Reply

ITEMS = {"expression": "$.items"}
QUERIES: dict[str, dict[str, Any]] = {
    "offset": {"path": "offset", "records": ITEMS, "paging": {"kind": "offset"}},
    "page": {"path": "page", "paging": {"kind": "page", "size_param": "per_page"}},
    "page of the source's size": {"path": "page", "paging": {"kind": "page"}},
    "cursor": {
        "path": "cursor",
        "records": {"language": "jq", "expression": ".data.items[]"},
        "paging": {"kind": "cursor", "cursor_param": "after", "cursor": "$.paging.next", "size_param": "limit"},
    },
    "link header": {"path": "link", "records": ITEMS, "paging": {"kind": "link", "size_param": "limit"}},
    "link in the body": {
        "path": "link",
        "records": ITEMS,
        "paging": {"kind": "link", "size_param": "limit", "next": "$.next"},
    },
    "lines": {"path": "lines"},
}
PUSHED = ["offset", "page", "cursor", "link header", "link in the body"]


def ids(preview: Preview) -> list[int]:
    assert preview.columns[0].name == "id"
    return [row[0] for row in preview.rows]


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize(
    ("limit", "offset"), [(0, 0), (1, 0), (10, 3), (99, 1), (100, 100), (101, 205), (250, 50), (10, 2340), (5, 9000)]
)
def test_pages_neither_skip_nor_repeat(api, query, limit, offset):
    found = ids(Preview(connect(api.url), query, limit=limit, offset=offset, seconds=30))
    assert found == list(range(ORDERS))[offset : offset + limit + 1]


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_all_pages_are_read_where_all_are_asked_for(api, query):
    assert ids(Preview(connect(api.url), query, limit=10_000, seconds=30)) == list(range(ORDERS))


@pytest.mark.parametrize("name", PUSHED)
def test_the_limit_is_seen_at_the_server_and_one_request_is_enough(api, name):
    assert len(Preview(connect(api.url), QUERIES[name], limit=10).rows) == 11
    (seen,) = api.seen
    assert seen.params.get("limit", seen.params.get("per_page")) == "11"


@pytest.mark.parametrize(("name", "requests"), [("offset", 1), ("page", 1), ("cursor", 20), ("link header", 20)])
def test_an_offset_is_skipped_by_the_source_where_it_can(api, name, requests):
    assert ids(Preview(connect(api.url), QUERIES[name], limit=99, offset=1900)) == list(range(1900, 2000))
    assert len(api.seen) == requests


def test_pages_smaller_than_asked_for_do_not_end_a_result(api):
    query = {**QUERIES["offset"], "paging": {"kind": "offset", "page_size": 1000}}
    assert ids(Preview(connect(api.url), query, limit=400)) == list(range(401))
    assert api.seen[1].params["offset"] == str(LARGEST_PAGE)


def test_an_offset_over_pages_of_another_size_is_refused_and_not_wrong(api):
    query = {"path": "page", "paging": {"kind": "page", "size_param": "per_page", "page_size": 1000}}
    with pytest.raises(ProtocolError) as caught:
        Preview(connect(api.url), query, limit=400, offset=500)
    assert caught.value.field == "/query/paging/page_size"
    assert ids(Preview(connect(api.url), query, limit=400)) == list(range(401))


@pytest.mark.parametrize(
    ("path", "paging"),
    [
        ("offset", {"kind": "offset", "place": "body"}),
        ("cursor", {**QUERIES["cursor"]["paging"], "place": "body"}),
    ],
)
def test_paging_can_be_sent_in_the_body(api, path, paging):
    query = {"path": path, "method": "POST", "body": {"kept": 1}, "paging": paging}
    query["records"] = {"expression": "$..items"}
    assert ids(Preview(connect(api.url, allow_post=True), query, limit=150)) == list(range(151))
    assert all(seen.json["kept"] == 1 for seen in api.seen)
    assert "kept" not in api.seen[0].params


def test_paging_takes_the_place_of_the_querys_own_parameters(api):
    query = {**QUERIES["offset"], "params": {"offset": 700, "limit": 7, "kept": "yes"}}
    assert ids(Preview(connect(api.url), query, limit=5)) == list(range(6))
    assert api.seen[0].params == {"offset": "0", "limit": "6", "kept": "yes"}


def test_a_source_that_pages_in_a_circle_is_stopped(api):
    api.routes["/v1/x"] = lambda seen: Reply.json({"items": [{"id": 1}], "next": "same"})
    with pytest.raises(ProtocolError, match="circle"):
        Preview(connect(api.url), {"path": "x", "paging": {"kind": "cursor", "cursor": "$.next"}})
    api.routes["/v1/x"] = lambda seen: Reply.json([{"id": 1}], Link=f'<{api.url}/x?again>; rel="next"')
    with pytest.raises(ProtocolError, match="circle"):
        Preview(connect(api.url), {"path": "x", "paging": {"kind": "link"}})


def test_a_source_that_ignores_the_paging_is_told_in_a_notice(api):
    query = {"path": "all", "paging": {"kind": "page", "size_param": "size"}}
    preview = Preview(connect(api.url), query, limit=100)
    assert [notice.code for notice in preview.notices] == ["same_page"]


@pytest.mark.parametrize("cursor", [{"a": 1}, [1], 1.5, True])
def test_a_cursor_is_text_or_a_whole_number(api, cursor):
    api.routes["/v1/x"] = lambda seen: Reply.json({"items": [1], "next": cursor})
    with pytest.raises(ProtocolError) as caught:
        Preview(connect(api.url), {"path": "x", "paging": {"kind": "cursor", "cursor": "$.next"}})
    assert caught.value.field == "/query/paging/cursor"


@pytest.mark.parametrize("cursor", [None, "", False])
def test_an_empty_cursor_is_the_end(api, cursor):
    api.routes["/v1/x"] = lambda seen: Reply.json({"items": [1], "next": cursor})
    Preview(connect(api.url), {"path": "x", "paging": {"kind": "cursor", "cursor": "$.next"}})
    assert len(api.seen) == 1


def test_a_link_that_leads_away_takes_no_login_along(api):
    with OrderAPI() as other:
        for link in (f"{other.url}/x", "/v2/x", "../x", "/v1/%2e%2e/x", "//127.0.0.1/v1/x", "file:///v1/x"):
            api.routes["/v1/x"] = lambda seen, link=link: Reply.json([{"id": 1}], Link=f'<{link}>; rel="next"')
            adapter = connect(api.url, auth={"kind": "bearer", "token": "CANARY"})
            with pytest.raises(ProtocolError, match="away"):
                Preview(adapter, {"path": "x", "paging": {"kind": "link"}})
        assert other.seen == []


def test_a_relative_link_beneath_the_base_is_followed(api):
    api.routes["/v1/x"] = lambda seen: Reply.json([1], Link="" if seen.params else "<?page=2>; rel=next")
    assert Preview(connect(api.url), {"path": "x", "paging": {"kind": "link"}}).rows == [[1], [1]]


def test_a_wrong_cursor_path_points_at_itself(api):
    with pytest.raises(InvalidError) as caught:
        Preview(connect(api.url), {"path": "all", "paging": {"kind": "cursor", "cursor": "$.["}})
    assert caught.value.field == "/query/paging/cursor"


def test_the_total_is_known_where_one_answer_has_all(api):
    assert Preview(connect(api.url), {"path": "all"}, limit=3, offset=2, count=True).total == 40
    assert Preview(connect(api.url), {"path": "all"}, limit=3).total is None
    assert Preview(connect(api.url), QUERIES["offset"], limit=3, count=True).total is None


def numbered(api: OrderAPI, special: dict[int, object]) -> None:
    """Ten times 1 500 records ``{"n": number}``; ``special`` has others."""

    def page(seen):
        start = int(seen.params["offset"])
        return Reply.json([special.get(n, {"n": n}) for n in range(start, min(start + 1500, 15_000))])

    api.routes["/v1/x"] = page


LONG: dict[str, Any] = {"path": "x", "paging": {"kind": "offset", "page_size": 1500}}


def test_an_export_streams_by_page_with_columns_from_its_first_records(api):
    numbered(api, {14_000: {"n": None, "late": 1, "later": 2}})
    preview = Preview(connect(api.url), LONG, limit=20_000, seconds=30)
    assert [row[0] for row in preview.rows if row[0] is not None] == [n for n in range(15_000) if n != 14_000]
    assert preview.types == {"n": "integer"}
    (notice,) = preview.notices
    assert notice.code == "fields_left_out"
    assert "late" in notice.message


def test_a_later_value_of_another_type_ends_an_export_visibly(api):
    numbered(api, {14_000: {"n": "CANARY"}})
    with pytest.raises(ProtocolError, match="string in field n") as caught:
        Preview(connect(api.url), LONG, limit=20_000, seconds=30)
    assert "CANARY" not in caught.value.message


def test_a_preview_tells_columns_by_all_of_its_rows(api):
    numbered(api, {9_000: {"n": "text", "late": 1}})
    preview = Preview(connect(api.url), LONG, limit=9_990, seconds=30)
    assert preview.types == {"n": "json", "late": "integer"}
    assert preview.notices == []
