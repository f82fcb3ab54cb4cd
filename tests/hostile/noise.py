"""Honest conversations, changed at random, thousands of them against one adapter: run as a process of its own.

    python -m tests.hostile.noise postgresql 10000

A server's whole side of a conversation is recorded once from a fake that is honest. Then it is said again, with a few
of its messages changed, and the connection's end behind it, so that no exchange waits for its deadline. The process
has a worker's limit on memory, does what a worker does with a job, and prints what became of all exchanges as JSON.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import resource
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from connections.adapters.contract import Environment
from connections.adapters.egress import EgressPolicy
from connections.adapters.limits import Budget, Deadline
from connections.adapters.registry import registry
from connections.runner.jobs import Job, Operation
from connections.runner.operations import failure, perform
from tests.hostile import mysql as my
from tests.hostile import postgresql as pg
from tests.hostile.attack import SECRET, spellings
from tests.hostile.liar import Liar, Script, Wire

SECONDS = 5.0
MEMORY = 512 * 2**20
VALUES = {
    16: b"t",
    17: b"\\x00ff",
    20: b"9007199254740993",
    21: b"-7",
    23: b"42",
    25: b"text",
    114: b'{"a":[1,null]}',
    700: b"NaN",
    1000: b"{t,f,NULL}",
    1007: b"{1,2,{3}}",
    1009: b'{"a b",NULL,""}',
    1042: b"x ",
    1082: b"2024-02-29",
    1114: b"0044-03-15 10:11:12 BC",
    1184: b"2024-02-29 10:11:12.5+00",
    1186: b"P1Y2M3DT4H5M6S",
    1700: b"-1.50",
    1266: b"10:11:12+05:30",
    2249: b'(1,,"x")',
    2950: b"12345678-1234-1234-1234-123456789abc",
    3802: b"[1e400]",
}
"""Types of PostgreSQL, each with a text that is one."""
KINDS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 245, 246, 252, 253, 254, 255, 99)
EXTREMES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\4", b"\xff\xff\xff\0")

Messages = list[tuple[int, bytes]]
"""What a server says, message by message, each after how many bytes of the client's."""

NONCE = re.compile(rb"r=([0-9A-Za-z+/=]{24})")
HERE = b"@" * 24
PATIENCE = 0.004
"""Seconds that a server waits, once, for what the client would have said by now, had nothing been changed."""


def changed(noise: random.Random, content: bytes) -> bytes:
    """``content`` with a few bytes flipped, left out, doubled, cut off or made extreme."""
    found = bytearray(content)
    for _ in range(noise.randint(1, 4)):
        if not found:
            break
        at, kind = noise.randrange(len(found)), noise.randrange(5)
        if kind == 0:
            found[at] = noise.randrange(256)
        elif kind == 1:
            del found[at : at + noise.randint(1, 9)]
        elif kind == 2:
            found[at:at] = found[at : at + noise.randint(1, 40)]
        elif kind == 3:
            found[at : at + 4] = noise.choice(EXTREMES)
        elif noise.random() < 0.2:
            del found[at:]
    return bytes(found)


def disturbed(noise: random.Random, messages: Messages) -> tuple[Messages, int]:
    """The conversation with one to three messages changed, moved, doubled or made up, and how many those are."""
    found = list(messages)
    count = noise.randint(1, 3)
    for _ in range(count):
        at, other, kind = noise.randrange(len(found)), noise.randrange(len(found)), noise.randrange(10)
        after, content = found[at]
        if kind < 6:
            found[at] = (after, changed(noise, content))
        elif kind == 6:
            found.insert(other, (found[other][0], content))
        elif kind == 7:
            found[at], found[other] = (after, found[other][1]), (found[other][0], content)
        elif kind == 8:
            del found[at]
            found = found or [(0, b"")]
        else:
            found[at] = (after, noise.randbytes(noise.randint(1, 200)))
    return found, count


# What each protocol says when it is honest -----------------------------------------------------------------------


def postgresql(noise: random.Random) -> tuple[Script, dict[str, Any]]:
    described = [(b"c%d" % at, noise.choice(list(VALUES))) for at in range(noise.randint(1, 6))]
    rows = b"".join(pg.row([noise.choice([None, VALUES[oid]]) for _, oid in described]) for _ in range(5))
    return pg.lying(lambda wire: wire.send(rows + pg.complete(5)), described), {"sql": "select 1"}


def scram(noise: random.Random) -> tuple[Script, dict[str, Any]]:
    def script(wire: Wire) -> None:
        pg.start(wire)
        wire.send(pg.authentication(10, b"SCRAM-SHA-256\0\0"))
        found = NONCE.search(pg.hear(wire))
        wire.send(pg.authentication(11, b"r=%sserver,s=c2FsdHNhbHQ=,i=4096" % (found[1] if found else b"")))
        pg.hear(wire)
        wire.send(pg.authentication(12, b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=") + pg.WELCOME)

    return script, {"sql": "select 1"}


def mysql(noise: random.Random) -> tuple[Script, dict[str, Any]]:
    kinds = KINDS if noise.random() < 0.3 else (my.VARCHAR, my.JSON, 246, 252)
    described = [my.column(b"c%d" % at, noise.choice(kinds)) for at in range(noise.randint(1, 6))]
    rows = [my.row([noise.choice([None, *VALUES.values()]) for _ in described]) for _ in range(5)]
    return my.lying(lambda wire: wire.send(my.result(described, rows)), described), {"sql": "select 'lie'"}


def http(noise: random.Random) -> tuple[Script, dict[str, Any]]:
    body = b'[{"a": 1.50, "b": [null, true], "c": "x\\u00e9"}, {"a": 10000000000000000000000}]'
    plain = b"HTTP/1.1 %s\r\nContent-Type: application/%s\r\n"
    length = b"Content-Length: %d\r\n\r\n%s"
    packed = gzip.compress(body)
    answers = [
        plain % (b"200 OK", b"json") + length % (len(body), body),
        plain % (b"200 OK", b"json")
        + b"Transfer-Encoding: chunked\r\n\r\n20\r\n"
        + (body[:32] + b"\r\n%x\r\n" % (len(body) - 32) + body[32:] + b"\r\n0\r\n\r\n"),
        plain % (b"200 OK", b"json") + b"Content-Encoding: gzip\r\n" + length % (len(packed), packed),
        plain % (b"200 OK", b"x-ndjson") + length % (24, b'{"a":1}\n{"a":2}\n{"b":3}\n'),
        plain % (b"200 OK", b"json") + b'Link: </v1/x?page=2>; rel="next"\r\n' + length % (len(body), body),
        b"HTTP/1.1 100 Continue\r\n\r\n" + plain % (b"404 Not Found", b"json") + length % (2, b"{}"),
        plain % (b"302 Found", b"json") + b"Location: /v1/y\r\n" + length % (0, b""),
    ]
    return lambda wire: (wire.read_some(), wire.send(noise.choice(answers)))[1], {"path": "x"}


FAKES: dict[str, tuple[str, Callable[[random.Random], tuple[Script, dict[str, Any]]]]] = {
    "postgresql": ("postgresql", postgresql),
    "scram": ("postgresql", scram),
    "mysql": ("mysql", mysql),
    "http": ("http_api", http),
}


def settings(source: str, port: int, fake: str) -> dict[str, Any]:
    if source == "http_api":
        login = {"kind": "header", "name": "X-API-Key", "value": SECRET.encode().hex()}
        return {"base_url": f"http://127.0.0.1:{port}/v1", "auth": login, "retry": {"attempts": 1}}
    password = {} if fake == "postgresql" else {"password": SECRET}
    server = {"host": "127.0.0.1", "port": port, "database": "d", "user": "u", "tls": {"mode": "disable"}}
    return server | {"retry": {"attempts": 1}} | password


def split(fake: str, said: bytes) -> list[bytes]:
    """What a server said at once, as messages of its protocol."""
    if fake == "http":
        return re.findall(rb"[^\n]*\n|[^\n]+$", said)
    found, at = [], 0
    while at < len(said):
        mysql = fake == "mysql"
        size = (
            4 + int.from_bytes(said[at : at + 3], "little") if mysql else 1 + struct.unpack_from("!i", said, at + 1)[0]
        )
        found.append(said[at : at + size])
        at += size
    return found


# Saying it -------------------------------------------------------------------------------------------------------


class Speaker:
    """A port where each client is told ``messages``, and then nothing more."""

    def __init__(self) -> None:
        self.messages: Messages = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with sock:
                try:
                    self._say(sock)
                    sock.shutdown(socket.SHUT_WR)
                    sock.settimeout(None)
                    while sock.recv(65536):
                        pass
                except OSError:  # the client left in the middle
                    pass

    def _say(self, sock: socket.socket) -> None:
        heard, patient = b"", True
        sock.settimeout(PATIENCE)
        for after, messages in groupby(self.messages, key=itemgetter(0)):
            while patient and len(heard) < after:
                try:
                    piece = sock.recv(65536)
                except TimeoutError:
                    patient = False
                    break
                if not piece:
                    return
                heard += piece
            found = NONCE.search(heard)
            content = b"".join(content for _, content in messages)
            sock.sendall(content.replace(HERE, found[1]) if found else content)


class Exchange:
    """One job after the other, each as a worker would do it with a new adapter."""

    def __init__(self, source: str, scratch: Path) -> None:
        self._kind = registry[source]
        self._environment = Environment(EgressPolicy(loopback=True), None, scratch)
        self._source = source

    def code(self, values: dict[str, Any], query: dict[str, Any]) -> str:
        """What the job ends with: an error's code, or ``ok``. Raises for what tells a secret."""
        job = Job(
            id="noise",
            organisation="acme",
            connection="c",
            access_version=1,
            source=self._source,
            operation=Operation.READ,
            arguments={"query": query},
            timeout=SECONDS,
            budget=Budget(),
            egress={},
            root=None,
        )
        adapter = self._kind(self._kind.config_class.model_validate(values), self._environment)
        try:
            for _frame in perform(job, adapter, Deadline.after(SECONDS)):
                pass
        except Exception as exc:  # noqa: BLE001  as the worker does
            error = failure(exc, job)
            told = json.dumps(error.as_dict(), ensure_ascii=False).encode()
            if any(spelling in told for spelling in spellings()):
                raise AssertionError(f"The secret is told: {told!r}") from None
            return error.code if error.code != "internal" else f"internal: {error.message}"
        finally:
            adapter.close()
        return "ok"


def recorded(fake: str, noise: random.Random, exchange: Exchange) -> tuple[Messages, dict[str, Any]]:
    """An honest server's side of a conversation, whole."""
    source, make = FAKES[fake]
    script, query = make(noise)
    with Liar(script, keep_said=True) as liar:
        exchange.code(settings(source, liar.port, fake), query)
        nonce = NONCE.search(liar.heard)
        said = [(after, content.replace(nonce[1], HERE) if nonce else content) for after, content in liar.said]
    # A refusal of TLS is a byte and no message, but here no client asks for it.
    return [(after, message) for after, content in said for message in split(fake, content)], query


def conversations(fake: str, exchange: Exchange) -> Iterator[tuple[random.Random, Messages, dict[str, Any]]]:
    """Endlessly, each with the randomness to change it by. A recording serves for fifty."""
    seed = 0
    while True:
        messages, query = recorded(fake, random.Random(seed), exchange)
        for _ in range(50):
            seed += 1
            yield random.Random(seed), messages, query


def run(fake: str, wanted: int) -> dict[str, Any]:
    """Say at least ``wanted`` changed messages; what came of it, by code, and the slowest exchange in seconds."""
    codes: Counter[str] = Counter()
    said, slowest, slow = 0, 0.0, -1
    speaker = Speaker()
    with TemporaryDirectory() as folder:
        exchange = Exchange(FAKES[fake][0], Path(folder))
        values = settings(FAKES[fake][0], speaker.port, fake)
        for number, (noise, messages, query) in enumerate(conversations(fake, exchange)):
            speaker.messages, count = disturbed(noise, messages)
            started = time.monotonic()
            codes[exchange.code(values, query)] += 1
            took = time.monotonic() - started
            if took > slowest:
                slowest, slow = took, number
            said += count
            if said >= wanted:
                break
    return {"messages": said, "codes": codes, "slowest": round(slowest, 3), "number": slow}


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    sys.set_int_max_str_digits(0)
    sys.stdout.write(json.dumps(run(sys.argv[1], int(sys.argv[2]))))
