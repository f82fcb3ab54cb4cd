"""HTTP API: a server of our own, over a real socket."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connections.testing import SourceConformance
from connections.testing.subject import ROWS, SPECIAL, UNICODE_NAME, UNICODE_TEXT
from tests.servers.http import OrderAPI, Reply, Seen

USER = "reader"
PASSWORD = "C4n4ry p@s:s/w?#r%41é"


class Shop:
    """An API that wants one login, which a test may change."""

    def __init__(self, api: OrderAPI) -> None:
        self.api = api
        self.login = (USER, PASSWORD)
        self.release = False
        for path, answer in {
            "me": lambda seen: Reply.json({"user": self.login[0]}),
            "orders": _orders,
            "endless": _endless,
            "slow": self._slow,
            "nulls": lambda seen: Reply.json([dict.fromkeys("abc"), {"a": 1, "b": "x", "c": [1]}]),
            "unicode": lambda seen: Reply.json([{UNICODE_NAME: UNICODE_TEXT}]),
            "echo": lambda seen: Reply.json([{"value": seen.params["value"]}]),
        }.items():
            api.routes[f"/shop/{path}"] = self._behind_login(answer)

    def settings(self, user: str = USER, password: str = PASSWORD) -> dict[str, Any]:
        auth = {"kind": "basic", "user": user, "password": password}
        return {"base_url": f"{self.api.origin}/shop", "auth": auth, "status_path": "me"}

    def let_in(self, user: str, password: str) -> dict[str, Any]:
        """Make this the login; its settings."""
        self.login = (user, password)
        return self.settings(user, password)

    def _behind_login(self, answer: Callable[[Seen], Reply]) -> Callable[[Seen], Reply]:
        def reply(seen: Seen) -> Reply:
            word, _, sent = seen.headers.get("authorization", "").partition(" ")
            right = ":".join(self.login).encode()
            if word != "Basic" or base64.b64decode(sent) != right:
                return Reply.json({"error": f"not with {base64.b64decode(sent)!r}"}, 401)
            return answer(seen)

        return reply

    def _slow(self, seen: Seen) -> Reply:
        end = time.monotonic() + 60
        while not self.release and time.monotonic() < end:
            time.sleep(0.05)
        return Reply.json([])


def _orders(seen: Seen) -> Reply:
    start, size = int(seen.params.get("offset", 0)), min(int(seen.params.get("limit", 10)), 10)
    return Reply.json([{"id": n, "item": f"item {n}"} for n in range(start + 1, min(start + size, ROWS) + 1)])


def _endless(seen: Seen) -> Reply:
    start, size = int(seen.params.get("offset", 0)), min(int(seen.params.get("limit", 10)), 10)
    return Reply(200, json.dumps([{"id": n} for n in range(start, start + size)]).encode(), {})


class TestHTTPAPI(SourceConformance):
    source = "http_api"
    steps = ("resolve", "policy", "connect", "authenticate", "sample")
    endpoint_fields = (
        "base_url",
        "auth.kind",
        "auth.scheme",
        "auth.name",
        "headers",
        "tls.mode",
        "tls.ca",
        "follow_redirects",
    )
    special_user_text = SPECIAL.replace(":", "")  # RFC 7617: a user name has no colon
    not_applicable = {
        "docs_url": "it is any vendor's API",
        "missing_database": "a base URL is all there is; a path that is missing is the query's fault",
        "forbidden_query": "status 403 does not say whether the login or the object is refused",
        "writing_query": "a GET reads; a POST is the source's to judge, and the connection's to allow",
        "duplicate_names_query": "an object in JSON has each name once",
        "empty_query": "columns are told by records, so none tell of none",
        "tables": "an API does not list what it has",
        "unicode_table": "an API does not list what it has",
        "session": "requests share nothing; cookies are not kept",
        "running": "a request ends with its connection",
    }

    def at(self, settings: dict[str, Any], host: str, port: int) -> dict[str, Any]:
        return {**settings, "base_url": f"http://{host}:{port}/shop", "connect_timeout": 1}

    @pytest.fixture
    def shop(self) -> Iterator[Shop]:
        with OrderAPI() as api:
            made = Shop(api)
            yield made
            made.release = True

    @pytest.fixture
    def settings(self, shop: Shop) -> dict[str, Any]:
        return shop.settings()

    @pytest.fixture
    def wrong_password(self, shop: Shop) -> dict[str, Any]:
        return shop.settings(password="C4n4ry-wrong")

    @pytest.fixture
    def log_in_with_password(self, shop: Shop) -> Callable[[str], dict[str, Any]]:
        return lambda password: shop.let_in(USER, password)

    @pytest.fixture
    def log_in_with_user(self, shop: Shop) -> Callable[[str], dict[str, Any]]:
        return lambda user: shop.let_in(user, PASSWORD)

    @pytest.fixture
    def ordered_query(self) -> dict[str, Any]:
        return {"path": "orders", "paging": {"kind": "offset"}}

    @pytest.fixture
    def endless_query(self) -> dict[str, Any]:
        return {"path": "endless", "paging": {"kind": "offset", "page_size": 10}}

    @pytest.fixture
    def bad_query(self) -> dict[str, Any]:
        return {"path": "no-such-path"}

    @pytest.fixture
    def slow_query(self) -> dict[str, Any]:
        return {"path": "slow"}

    @pytest.fixture
    def nulls_query(self) -> dict[str, Any]:
        return {"path": "nulls"}

    @pytest.fixture
    def unicode_query(self) -> dict[str, Any]:
        return {"path": "unicode"}

    @pytest.fixture
    def parameter_query(self) -> dict[str, Any]:
        return {"path": "echo", "params": {"value": {"$parameter": "value"}}}
