import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from connections.adapters.errors import (
    AuthenticationError,
    AuthorizationError,
    NotAQueryError,
    ProtocolError,
    QueryError,
    RateLimitedError,
    UnreachableError,
)
from connections.adapters.limits import Deadline
from connections.adapters.registry import registry
from connections.sources.http_api import HTTPAPIAdapter
from tests.adapters.http.support import Preview, check, closed_port, connect, once
from tests.servers.http import API_KEY, PASSWORD, TOKEN, USER, OrderAPI, Reply

LOGINS = {
    "basic": {"kind": "basic", "user": USER, "password": PASSWORD},
    "bearer": {"kind": "bearer", "token": TOKEN},
    "key": {"kind": "header", "name": "X-API-Key", "value": API_KEY},
}
SECRET_MEMBERS = {"basic": "password", "bearer": "token", "key": "value"}


@pytest.fixture
def api() -> Iterator[OrderAPI]:
    with OrderAPI() as server:
        yield server


def test_it_is_in_the_registry_and_loads_no_driver():
    assert registry["http_api"] is HTTPAPIAdapter
    program = (
        "import sys, connections.sources.http_api; "
        "print(sorted({'httpx', 'httpcore', 'jq', 'jsonpath', 'h11', 'django'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.strip() == "[]"


def test_it_reads_queries_with_parameters_and_lists_no_tables():
    assert HTTPAPIAdapter.capabilities() == ["preview", "describe", "parameters"]


@pytest.mark.parametrize("kind", LOGINS)
def test_each_login_reads(api, kind):
    preview = Preview(connect(api.url, auth=LOGINS[kind]), {"path": f"{kind}/all"}, limit=2)
    assert preview.types == {
        "id": "integer", "customer": "json", "amount": "float", "paid": "boolean", "lines": "json",
    }  # fmt: skip
    assert preview.rows[1] == [
        1, '{"name":"Customer 1","address":{"city":"Zürich"}}', 0.25, False, '[{"sku":"S1","count":1}]',
    ]  # fmt: skip


@pytest.mark.parametrize("kind", LOGINS)
def test_a_rejected_login_points_at_its_secret_and_is_not_tried_again(api, kind):
    member = SECRET_MEMBERS[kind]
    adapter = connect(api.url, auth={**LOGINS[kind], member: "wrong-CANARY"}, retry={"attempts": 3, "delay": 0})
    with pytest.raises(AuthenticationError) as caught:
        Preview(adapter, {"path": f"{kind}/all"})
    assert caught.value.field == f"/secrets/auth/{member}"
    assert "CANARY" not in repr(caught.value.as_dict())
    assert len(api.seen) == 1


def test_a_missing_login_points_at_the_choice(api):
    with pytest.raises(AuthenticationError) as caught:
        Preview(connect(api.url), {"path": "bearer/all"})
    assert caught.value.field == "/config/auth"


@pytest.mark.parametrize("password", ["", " ", "@:/#?%[];{}'\"\\ ", "é漢字😀", "a" * 4096, "{{7*7}}", "%41\n\x00"])
def test_any_password_arrives_as_it_is(api, password):
    import base64

    Preview(connect(api.url, auth={"kind": "basic", "user": "us er@é", "password": password}), {"path": "all"})
    kind, _, text = api.seen[0].headers["authorization"].partition(" ")
    assert (kind, base64.b64decode(text).decode()) == ("Basic", f"us er@é:{password}")


def test_another_word_can_stand_before_a_token(api):
    Preview(connect(api.url, auth={"kind": "bearer", "scheme": "Token", "token": "x"}), {"path": "all"})
    assert api.seen[0].headers["authorization"] == "Token x"


def test_headers_are_sent_and_do_not_come_twice(api):
    adapter = connect(
        api.url,
        auth={"kind": "header", "name": "X-Key", "value": "right"},
        headers={"x-key": "shadowed", "X-Tenant": "7", "accept": "application/vnd.api+json"},
    )
    Preview(adapter, {"path": "all"})
    sent = api.seen[0].headers
    assert (sent["x-key"], sent["x-tenant"], sent["accept"]) == ("right", "7", "application/vnd.api+json")
    assert sent["user-agent"] == "connection-catalogue"
    assert sent["accept-encoding"] == "gzip"


def test_compressed_answers_are_read(api):
    assert len(Preview(connect(api.url), {"path": "zipped"}, limit=50).rows) == 50


@pytest.mark.parametrize(
    ("status", "error", "field"),
    [
        (400, QueryError, "/query"),
        (403, AuthorizationError, None),
        (404, QueryError, "/query/path"),
        (405, QueryError, "/query/method"),
        (410, QueryError, "/query/path"),
        (422, QueryError, "/query"),
        (418, QueryError, "/query"),
        (302, ProtocolError, "/config/base_url"),
        (304, ProtocolError, "/config/base_url"),
        (408, UnreachableError, None),
        (429, RateLimitedError, None),
        (500, UnreachableError, None),
        (502, UnreachableError, None),
        (503, UnreachableError, None),
        (504, UnreachableError, None),
    ],
)
def test_a_status_has_its_error(api, status, error, field):
    api.routes["/v1/x"] = lambda seen: Reply.json({"error": "CANARY"}, status)
    with pytest.raises(error) as caught:
        Preview(once(api.url), {"path": "x"})
    assert type(caught.value) is error
    assert caught.value.field == field
    assert str(status) in caught.value.message
    assert "CANARY" not in repr(caught.value.as_dict())


def test_an_answer_without_content_has_no_rows(api):
    api.routes["/v1/x"] = lambda seen: Reply(204)
    assert Preview(connect(api.url), {"path": "x"}).rows == []


# Trying again -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_transient_failures_are_tried_again(api, status):
    api.fail_next = [Reply(status), Reply(status)]
    adapter = connect(api.url, retry={"attempts": 3, "delay": 0})
    assert len(Preview(adapter, {"path": "all"}).rows) == 40
    assert len(api.seen) == 3


def test_the_last_try_is_told(api):
    api.fail_next = [Reply(500), Reply(429, b"", {"Retry-After": "0"}), Reply(500)]
    with pytest.raises(RateLimitedError):
        Preview(connect(api.url, retry={"attempts": 2, "delay": 0}), {"path": "all"})
    assert len(api.seen) == 2


def test_a_wait_that_the_source_asks_for_is_waited(api):
    api.fail_next = [Reply(429, b"", {"Retry-After": "1"})]
    started = time.monotonic()
    assert Preview(connect(api.url, retry={"attempts": 2, "delay": 0}), {"path": "all"}).rows
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [("30", 30, 30), ("Wed, 21 Oct 2099 07:28:00 GMT", 86400, 86400), ("soon", None, None), ("9" * 50, None, None)],
)
def test_a_wait_beyond_the_deadline_is_told_at_once(api, text, least, most):
    api.fail_next = [Reply(429, b"", {"Retry-After": text})] * 2
    started = time.monotonic()
    with pytest.raises(RateLimitedError) as caught:
        Preview(connect(api.url, retry={"attempts": 2, "delay": 0}), {"path": "all"}, seconds=5)
    assert time.monotonic() - started < 2
    assert caught.value.retry_after == least == most


def test_a_failure_in_the_middle_of_pages_is_tried_again(api):
    api.routes["/v1/x"] = lambda seen: Reply.json([1, 2] if seen.params["offset"] != "6" else [])
    adapter = connect(api.url, retry={"attempts": 2, "delay": 0})
    query = {"path": "x", "paging": {"kind": "offset", "page_size": 2}}
    api.fail_next = [Reply(503)]
    assert len(Preview(adapter, query).rows) == 6


# POST ---------------------------------------------------------------------------------------------------------------


def test_post_needs_the_connections_leave(api):
    with pytest.raises(NotAQueryError) as caught:
        Preview(connect(api.url), {"path": "echo", "method": "POST"})
    assert caught.value.field == "/query/method"
    assert api.seen == []
    assert Preview(connect(api.url, allow_post=True), {"path": "echo", "method": "POST", "body": {"a": 1}}).rows
    assert api.seen[0].json == {"a": 1}


def test_a_post_that_may_have_worked_is_not_repeated(api):
    adapter = connect(api.url, allow_post=True, retry={"attempts": 3, "delay": 0})
    api.fail_next = [Reply(500)]
    with pytest.raises(UnreachableError):
        Preview(adapter, {"path": "echo", "method": "POST"})
    assert len(api.seen) == 1
    api.fail_next = [Reply(429)]
    Preview(adapter, {"path": "echo", "method": "POST"})
    assert len(api.seen) == 3


# Status checks ------------------------------------------------------------------------------------------------------


def names(adapter: HTTPAPIAdapter) -> list[tuple[str, bool | None]]:
    return [(str(step.name), step.ok) for step in check(adapter)[0]]


def test_a_healthy_check_walks_its_steps(api):
    adapter = connect(f"{api.url}/basic", auth=LOGINS["basic"], status_path="me")
    assert names(adapter) == [
        ("resolve", True), ("policy", True), ("connect", True), ("authenticate", True), ("sample", True),
    ]  # fmt: skip
    server = adapter.server()
    assert server is not None
    assert (server.product, server.version) == ("OrderAPI", "1.2")
    assert [notice.code for notice in adapter.notices()] == ["tls_off"]
    assert names(connect(api.url))[-1] == ("sample", True)


def test_without_a_status_path_only_a_refused_login_fails(api):
    assert names(connect(f"{api.url}/bearer", auth=LOGINS["bearer"]))[-1] == ("authenticate", True)
    steps, error = check(connect(f"{api.url}/bearer", auth={"kind": "bearer", "token": "wrong"}))
    assert isinstance(error, AuthenticationError)
    assert steps[-1].code == "authentication"


def test_a_status_path_that_is_not_there_or_no_json_is_its_own_failure(api):
    for path in ("nothing", "web"):
        _, error = check(connect(api.url, auth=LOGINS["bearer"], status_path=path))
        assert error is not None
        assert error.field == "/config/status_path"


def test_a_check_of_a_server_that_is_down_fails_at_connect():
    steps, error = check(connect(f"http://127.0.0.1:{closed_port()}", auth=LOGINS["bearer"]))
    assert isinstance(error, UnreachableError)
    assert [(str(step.name), step.ok) for step in steps] == [
        ("resolve", True), ("policy", True), ("connect", False), ("authenticate", None),
    ]  # fmt: skip


def test_a_check_whose_time_runs_out_says_so(api):
    def late(seen):
        time.sleep(3)
        return Reply()

    api.routes["/v1"] = late
    _, error = check(connect(api.url), seconds=0.5)
    assert error is not None
    assert error.code == "deadline"


def test_describe_tells_the_columns(api):
    adapter = connect(api.url)
    query = HTTPAPIAdapter.query_class.model_validate({"path": "all", "flatten": True})
    described = adapter.describe(query, {}, Deadline.after(5))
    assert [column.name for column in described.columns] == [
        "id", "customer.name", "customer.address.city", "amount", "paid", "lines",
    ]  # fmt: skip


def test_columns_are_known_where_an_offset_passes_the_end(api):
    preview = Preview(connect(api.url), {"path": "all"}, offset=1000)
    assert preview.rows == []
    assert list(preview.types) == ["id", "customer", "amount", "paid", "lines"]
    assert Preview(connect(api.url), {"path": "empty"}).columns == ()


@pytest.mark.parametrize(
    "settings",
    [
        {"auth": {"kind": "bearer"}},
        {"auth": {"kind": "basic"}},
        {"auth": {"kind": "digest", "user": "u"}},
        {"auth": {"kind": "none", "token": "x"}},
        {"auth": {"kind": "basic", "user": "a:b"}},
        {"verify": False},
        {"proxies": {"all": "http://127.0.0.1"}},
        {"max_answer_mb": 1000},
        {"headers": {f"X-{number}": "1" for number in range(33)}},
    ],
)
def test_settings_that_do_not_fit_are_refused(settings):
    with pytest.raises(ValidationError):
        connect("https://api.example.com", **settings)
