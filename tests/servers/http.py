"""An HTTP API for tests: it keeps to documented limits, and remembers what it was sent.

``OrderAPI`` serves 2 345 orders behind each kind of login and paging, with a page size of at most 100.
``RawServer`` writes whatever bytes a test wants, at the speed it wants.
"""

from __future__ import annotations

import base64
import gzip
import json
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.servers.authority import Certificate

ORDERS = 2345
LARGEST_PAGE = 100
USER, PASSWORD = "reader", "hun:ter2 @:/#?%é"
TOKEN = "tok-5b0c1f-CANARY"
API_KEY = "key-77aa-CANARY"


def order(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "customer": {"name": f"Customer {number % 7}", "address": {"city": "Zürich" if number % 2 else None}},
        "amount": number / 4,
        "paid": number % 3 == 0,
        "lines": [{"sku": f"S{number}", "count": number % 5}],
    }


@dataclass(frozen=True)
class Seen:
    """One request as it arrived. Header names are in lower case."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: bytes
    peer: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, value: Any, status: int = 200, **headers: str) -> Self:
        sent = {"Content-Type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()}
        return cls(status, json.dumps(value).encode(), sent)


class OrderAPI:
    """A server on a free port of 127.0.0.1, and what it has seen. Use it in a ``with`` block."""

    def __init__(self, certificate: Certificate | None = None, client_authority: str | None = None) -> None:
        self.seen: list[Seen] = []
        self.fail_next: list[Reply] = []
        """Replies that come instead of the next ones, in order."""
        self.routes: dict[str, Callable[[Seen], Reply]] = {}
        """Replies by path, before the server's own."""
        self._server = _Threaded(("127.0.0.1", 0), _handler(self))
        self.scheme = "http"
        if certificate is not None:
            self.scheme = "https"
            context = server_context(certificate, client_authority)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def origin(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The API's base URL."""
        return f"{self.origin}/v1"

    @property
    def connections(self) -> int:
        """How many TCP connections have made a request."""
        return len({seen.peer for seen in self.seen})

    def reply(self, seen: Seen) -> Reply:
        self.seen.append(seen)
        if self.fail_next:
            return self.fail_next.pop(0)
        if seen.path in self.routes:
            return self.routes[seen.path](seen)
        _, _, place = seen.path.partition("/v1/")
        login, _, rest = place.partition("/")
        if login in _LOGINS:
            if not _LOGINS[login](seen.headers):
                return Reply.json({"error": f"bad login {seen.headers}"}, 401, WWW_Authenticate="Basic")
            place = rest
        found = _OWN.get(place)
        return found(self, seen) if found is not None else Reply.json({"error": seen.path}, 404)


class _Threaded(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away early are part of the tests."""


def _handler(api: OrderAPI) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version, sys_version = "OrderAPI/1.2", ""
        timeout = 30
        disable_nagle_algorithm = True  # head and body are two writes

        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            reply = api.reply(
                Seen(
                    method=self.command,
                    path=parts.path,
                    params=dict(parse_qsl(parts.query, keep_blank_values=True)),
                    headers={name.lower(): value for name, value in self.headers.items()},
                    body=body,
                    peer=str(self.client_address),
                )
            )
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_POST = handle_any

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


# Logins ------------------------------------------------------------------------------------------------------------


def _basic(headers: dict[str, str]) -> bool:
    right = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    return headers.get("authorization") == f"Basic {right}"


_LOGINS: dict[str, Callable[[dict[str, str]], bool]] = {
    "basic": _basic,
    "bearer": lambda headers: headers.get("authorization") == f"Bearer {TOKEN}",
    "key": lambda headers: headers.get("x-api-key") == API_KEY,
}

# What is served ----------------------------------------------------------------------------------------------------


def _slice(start: int, size: int) -> list[dict[str, Any]]:
    return [order(number) for number in range(start, min(start + min(size, LARGEST_PAGE), ORDERS))]


def _number(seen: Seen, name: str, default: int) -> int:
    sent = seen.json if seen.body else seen.params
    return int(sent.get(name, default))


def _by_offset(api: OrderAPI, seen: Seen) -> Reply:
    return Reply.json({"items": _slice(_number(seen, "offset", 0), _number(seen, "limit", 20)), "total": ORDERS})


def _by_page(api: OrderAPI, seen: Seen) -> Reply:
    size = min(_number(seen, "per_page", 20), LARGEST_PAGE)
    return Reply.json(_slice((_number(seen, "page", 1) - 1) * size, size))


def _by_cursor(api: OrderAPI, seen: Seen) -> Reply:
    sent = seen.json if seen.body else seen.params
    start = int(base64.b64decode(sent["after"])) if "after" in sent else 0
    items = _slice(start, _number(seen, "limit", 20))
    end = start + len(items)
    cursor = base64.b64encode(str(end).encode()).decode() if end < ORDERS else None
    return Reply.json({"data": {"items": items}, "paging": {"next": cursor}})


def _by_link(api: OrderAPI, seen: Seen) -> Reply:
    start, size = _number(seen, "start", 0), _number(seen, "limit", 20)
    items = _slice(start, size)
    end = start + len(items)
    if end >= ORDERS:
        return Reply.json({"items": items, "next": None})
    there = f"{api.origin}{seen.path}?{urlencode({**seen.params, 'start': end})}"
    return Reply.json({"items": items, "next": there}, Link=f'<{there}>; rel="next", <{api.origin}/>; rel="first"')


def _lines(api: OrderAPI, seen: Seen) -> Reply:
    body = b"".join(json.dumps(order(number)).encode() + b"\n" for number in range(ORDERS))
    return Reply(200, body, {"Content-Type": "application/x-ndjson; charset=utf-8"})


def _zipped(api: OrderAPI, seen: Seen) -> Reply:
    plain = json.dumps(_slice(0, 50)).encode()
    if "gzip" not in seen.headers.get("accept-encoding", ""):
        return Reply(200, plain, {"Content-Type": "application/json"})
    return Reply(200, gzip.compress(plain), {"Content-Type": "application/json", "Content-Encoding": "gzip"})


_OWN: dict[str, Callable[[OrderAPI, Seen], Reply]] = {
    "me": lambda api, seen: Reply.json({"user": "reader"}),
    "offset": _by_offset,
    "page": _by_page,
    "cursor": _by_cursor,
    "link": _by_link,
    "lines": _lines,
    "zipped": _zipped,
    "all": lambda api, seen: Reply.json([order(number) for number in range(40)]),
    "empty": lambda api, seen: Reply.json([]),
    "forbidden": lambda api, seen: Reply.json({"error": "no"}, 403),
    "echo": lambda api, seen: Reply.json(
        {"path": seen.path, "params": seen.params, "body": seen.json if seen.body else None}
    ),
    "web": lambda api, seen: Reply(200, b"<html>Log in</html>", {"Content-Type": "text/html; charset=utf-8"}),
}

# Servers that lie --------------------------------------------------------------------------------------------------


class RawServer:
    """Runs ``script`` with each accepted socket, in a thread of its own. ``accepted`` counts connections."""

    def __init__(self, script: Callable[[socket.socket], None], context: ssl.SSLContext | None = None) -> None:
        self.accepted = 0
        self._script = script
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        for sock in (self._listener, *self._open):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._open.append(sock)
            threading.Thread(target=self._run, args=(sock,), daemon=True).start()

    def _run(self, sock: socket.socket) -> None:
        try:
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
                self._open.append(sock)
            self._script(sock)
        except OSError:
            pass  # the client went away
        finally:
            sock.close()


def read_request(sock: socket.socket) -> bytes:
    """The head of one request."""
    head = b""
    while b"\r\n\r\n" not in head and (chunk := sock.recv(65536)):
        head += chunk
    return head


def drip(sock: socket.socket, text: bytes, seconds: float = 0.2) -> None:
    """Send ``text`` byte by byte."""
    for position in range(len(text)):
        sock.sendall(text[position : position + 1])
        time.sleep(seconds)


def server_context(certificate: Certificate, client_authority: str | None = None) -> ssl.SSLContext:
    """TLS for a server; with ``client_authority`` (PEM) it wants a client certificate that it signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(certificate.certificate + certificate.key)
        file.flush()
        context.load_cert_chain(file.name)
    if client_authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=client_authority)
    return context
