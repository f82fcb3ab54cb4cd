"""Previews as a web server asks for them: answered before Django, and just as Django would answer them."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.utils import translation

from connections.api import short, wsgi
from connections.api.wsgi import ShortWay
from connections.models import Event
from connections.services import queries
from tests.catalogue import Tenant

pytestmark = pytest.mark.django_db(transaction=True)
PATH = "/api/v1/orgs/acme/connections/shop/preview/"
BODY = {"query": {"sql": "select id, item from orders order by id"}, "limit": 2}


@dataclass
class Answered:
    status: str
    headers: dict[str, str]
    content: bytes
    by_django: bool

    @property
    def json(self) -> Any:
        return json.loads(self.content)


@dataclass
class Server:
    """What a web server does with an application, one request at a time."""

    key: str
    django: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        handler = WSGIHandler()

        def usual(environ: dict[str, Any], start_response: Any) -> Any:
            self.django.append(environ)
            return handler(environ, start_response)

        self.usual = usual
        self.application = ShortWay(usual)

    def post(self, body: Any = BODY, path: str = PATH, application: Any = None, **environ: Any) -> Answered:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        told: list[Any] = []
        before = len(self.django)
        result = (application or self.application)(
            {
                "REQUEST_METHOD": "POST",
                "SCRIPT_NAME": "",
                "PATH_INFO": path,
                "QUERY_STRING": "",
                "CONTENT_TYPE": "application/json",
                "CONTENT_LENGTH": str(len(content)),
                "HTTP_HOST": "testserver",
                "HTTP_AUTHORIZATION": f"Bearer {self.key}",
                "REMOTE_ADDR": "198.51.100.7",
                "SERVER_NAME": "testserver",
                "SERVER_PORT": "80",
                "SERVER_PROTOCOL": "HTTP/1.1",
                "wsgi.url_scheme": "http",
                "wsgi.input": io.BytesIO(content),
                "wsgi.errors": sys.stderr,
                "wsgi.multithread": True,
                **environ,
            },
            lambda status, headers, exc_info=None: told.append((status, dict(headers))),
        )
        whole = b"".join(result)
        if hasattr(result, "close"):
            result.close()
        status, sent = told[-1]
        return Answered(status, sent, whole, len(self.django) > before)


@pytest.fixture
def server(acme: Tenant) -> Server:
    acme.sqlite("Shop", rows=5)
    return Server(acme.keys["analyst"])


def unlike(headers: dict[str, str]) -> dict[str, str]:
    """Headers without those that are another request's by nature."""
    own = ("X-Request-ID", "X-Process-Time", "Content-Length")
    return {name: value for name, value in headers.items() if name not in own}


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "https": ({"wsgi.url_scheme": "https"}, {"SECURE_HSTS_SECONDS": 60, "SECURE_SSL_REDIRECT": True}),
    "behind a proxy": (
        {"HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_FORWARDED_FOR": "203.0.113.9"},
        {
            "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https"),
            "SECURE_SSL_REDIRECT": True,
            "SECURE_HSTS_SECONDS": 60,
            "SECURE_HSTS_PRELOAD": True,
            "CATALOG_PROXIES": 1,
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_answer_is_the_one_that_django_gives(server: Server, settings: Any, case: str) -> None:
    environ, changed = CASES[case]
    for name, value in changed.items():
        setattr(settings, name, value)
    server = Server(server.key)
    own = server.post(**environ)
    theirs = server.post(application=server.usual, **environ)
    assert (own.by_django, theirs.by_django) == (False, True)
    assert own.status == theirs.status == "200 OK"
    assert unlike(own.headers) == unlike(theirs.headers)
    for answer in (own, theirs):
        assert answer.headers["Content-Length"] == str(len(answer.content))
        assert answer.json["request_id"] == answer.headers["X-Request-ID"]
        assert 0 < float(answer.headers["X-Process-Time"]) < 60_000
    assert (own.json["rows"], own.json["columns"]) == (theirs.json["rows"], theirs.json["columns"])
    assert own.json.keys() == theirs.json.keys()
    seen = Event.objects.filter(action="connection.preview").order_by("at").values_list("ip", "result", "request_id")
    address = "203.0.113.9" if "CATALOG_PROXIES" in changed else "198.51.100.7"
    ids = [own.headers["X-Request-ID"], theirs.headers["X-Request-ID"]]
    assert list(seen) == [(address, result, rid) for rid in ids for result in ("started", "ok")]


@pytest.mark.parametrize(
    ("body", "environ", "status"),
    [
        ({**BODY, "query": {"sql": "select * from ordrs"}}, {}, 422),
        ({**BODY, "query": {"sql": ""}}, {}, 400),
        ({**BODY, "limit": -1}, {}, 400),
        ({**BODY, "nonsense": 1}, {}, 400),
        (b"{", {}, 400),
        (BODY, {"HTTP_AUTHORIZATION": "Bearer cat_nobody_0000"}, 401),
        (BODY, {"path": PATH.replace("shop", "other")}, 404),
        (BODY, {"path": PATH.replace("acme", "globex")}, 404),
        (BODY, {"path": PATH.replace("shop", "\u00c3\u00bc")}, 404),
        (BODY, {"HTTP_ACCEPT": "image/png"}, 406),
        (BODY, {"CONTENT_TYPE": "text/plain"}, 415),
        (BODY, {"REQUEST_METHOD": "PUT"}, 405),
        (BODY, {"HTTP_HOST": "elsewhere.example"}, 400),
    ],
)
def test_what_is_refused_is_refused_as_django_does(
    server: Server, body: Any, environ: dict[str, Any], status: int
) -> None:
    rid = {"HTTP_X_REQUEST_ID": "a-request-of-mine"}
    own = server.post(body, **environ, **rid)
    theirs = server.post(body, application=server.usual, **environ, **rid)
    assert own.by_django
    assert own.status == theirs.status
    assert own.status.startswith(str(status))
    assert unlike(own.headers) == unlike(theirs.headers)
    assert own.headers["X-Request-ID"] == theirs.headers["X-Request-ID"] == "a-request-of-mine"
    assert own.json == theirs.json


def test_a_refusal_takes_the_time_since_the_request_came(server: Server) -> None:
    refused = server.post({**BODY, "query": {"sql": "select * from ordrs"}})
    assert refused.json["code"] == "query"
    events = Event.objects.filter(request_id=refused.headers["X-Request-ID"]).order_by("at")
    assert list(events.values_list("result", "code")) == [("started", ""), ("failed", "query")]
    spent = (events[1].at - events[0].at).total_seconds() * 1000
    assert float(refused.headers["X-Process-Time"]) >= spent > 0


def test_plain_http_is_sent_to_https_without_an_answer(server: Server, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    sent = Server(server.key).post()
    assert (sent.by_django, sent.status.split()[0], sent.content) == (True, "301", b"")
    assert not Event.objects.filter(action="connection.preview").exists()


@pytest.mark.parametrize(
    "changed",
    [
        {"CATALOG_PROGRAM_MIDDLEWARE": [*wsgi.STOCK, "connections.api.middleware.NoPage"]},
        {"MIDDLEWARE": ["connections.api.middleware.NoPage", "connections.api.middleware.RequestMiddleware"]},
    ],
)
def test_a_deployment_with_middleware_of_its_own_has_all_requests_pass_it(
    server: Server, settings: Any, changed: dict[str, Any]
) -> None:
    for name, value in changed.items():
        setattr(settings, name, value)
    answer = Server(server.key).post(application=None)
    assert (answer.by_django, answer.status) == (True, "200 OK")


@pytest.mark.parametrize("environ", [{"SCRIPT_NAME": "/catalogue"}, {"HTTP_HOST": ""}, {"QUERY_STRING": "format=csv"}])
def test_what_is_out_of_the_ordinary_is_djangos(server: Server, environ: dict[str, Any]) -> None:
    assert server.post(**environ).by_django


def test_a_body_that_breaks_off_is_no_request(server: Server) -> None:
    content = json.dumps(BODY).encode()
    answer = server.post(content, CONTENT_LENGTH=str(len(content) + 1))
    assert answer.by_django


def test_a_fault_of_ours_is_told_and_logged_as_djangos_are(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(queries, "read_on", lambda *_: 1 / 0)
    answer = server.post()
    assert (answer.by_django, answer.status.split()[0], answer.json["code"]) == (True, "500", "internal")
    assert "ZeroDivisionError" not in answer.content.decode()
    assert any(record.levelname == "ERROR" for record in caplog.records)


def test_a_request_starts_and_finishes_by_signal(server: Server) -> None:
    heard: list[str] = []

    def on_start(environ: dict[str, Any], **_: Any) -> None:
        heard.append(environ["PATH_INFO"])

    def on_finish(**_: Any) -> None:
        heard.append("finished")

    request_started.connect(on_start)
    request_finished.connect(on_finish)
    try:
        assert not server.post().by_django
    finally:
        request_started.disconnect(on_start)
        request_finished.disconnect(on_finish)
    assert heard == [PATH, "finished"]


def test_a_refusal_is_not_in_the_language_of_a_page_before_it(server: Server) -> None:
    translation.activate("de")
    try:
        refused = server.post({**BODY, "query": {"sql": "select * from ordrs"}})
    finally:
        translation.deactivate()
    assert refused.json["title"] == server.post({**BODY, "query": {"sql": "select * from ordrs"}}).json["title"]


def test_nobody_outside_can_put_a_failure_into_a_request(server: Server) -> None:
    answer = server.post(HTTP_CONNECTIONS_FAILED="x", **{f"HTTP_{short.FAILED.upper()}": "x"})
    assert (answer.by_django, answer.status) == (False, "200 OK")
