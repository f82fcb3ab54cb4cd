"""Servers that answer almost right: bytes of an honest exchange, changed at random, from a seed that is told."""

import json
import random
import subprocess
import sys

import pytest

from tests.hostile import mysql as my
from tests.hostile import postgresql as pg
from tests.hostile.attack import SECRET, assert_unsaid, attack
from tests.hostile.liar import Liar, Wire
from tests.hostile.mysql import at as mysql_at
from tests.hostile.noise import changed
from tests.hostile.postgresql import at as postgresql_at
from tests.hostile.test_http import HEAD, TOKEN, ask, at, chunk, whole

TYPES = (16, 17, 20, 21, 23, 25, 114, 700, 1000, 1007, 1009, 1042, 1082, 1114, 1184, 1186, 1266, 1700, 2249, 2950, 3802)


def text(noise: random.Random) -> bytes:
    """A value that some type may look like."""
    plain = [
        b"1",
        b"t",
        b"2024-02-29",
        b"10:11:12+05:30",
        b"P1Y",
        b'{"a":1}',
        b"{1,2,{3}}",
        b'(1,,"x")',
        b"NaN",
        b"\\x00",
    ]
    return changed(noise, noise.choice(plain)) if noise.random() < 0.7 else noise.randbytes(noise.randrange(30))


@pytest.mark.parametrize("seed", range(30))
def test_postgresql_with_noise(runner, seed):
    noise = random.Random(seed)
    described = [(b"c%d" % n, noise.choice(TYPES)) for n in range(noise.randint(1, 6))]

    def lie(wire: Wire):
        rows = b"".join(pg.row([text(noise) for _ in described]) for _ in range(3))
        wire.send((changed(noise, rows) if seed % 2 else rows) + pg.complete(3))

    with Liar(pg.lying(lie, described)) as liar:
        settings = {"host": "127.0.0.1", "port": liar.port, "database": "d", "user": "u", "tls": {"mode": "disable"}}
        settings |= {"retry": {"attempts": 1}}
        outcome = attack(runner, "postgresql", settings, {"sql": "select 1"}, timeout=0.8)
    assert outcome.code in {"ok", "protocol", "unreachable", "deadline", "too_large"}, outcome.told


KINDS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 245, 246, 252, 253, 254, 255, 99)


@pytest.mark.parametrize("seed", range(30))
def test_mysql_with_noise(runner, seed):
    noise = random.Random(seed)
    described = [my.column(b"c%d" % n, noise.choice(KINDS)) for n in range(noise.randint(1, 6))]

    def lie(wire: Wire):
        rows = [my.row([text(noise) for _ in described]) for _ in range(3)]
        answer = my.result(described, rows)
        wire.send(changed(noise, answer) if seed % 2 else answer)

    with Liar(my.lying(lie, described)) as liar:
        settings = {"host": "127.0.0.1", "port": liar.port, "database": "d", "user": "u", "tls": {"mode": "disable"}}
        settings |= {"password": SECRET, "retry": {"attempts": 1}}
        outcome = attack(runner, "mysql", settings, {"sql": "select 'lie'"}, timeout=0.8)
    assert outcome.code in {"ok", "protocol", "unreachable", "deadline", "too_large", "query", "not_a_query"}, (
        outcome.told
    )
    assert_unsaid(liar.heard)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("part", ["greeting", "welcome"])
def test_logins_with_noise(runner, seed, part):
    noise = random.Random(seed)

    def script(wire: Wire):
        if part == "greeting":
            wire.send(changed(noise, my.greeting()))
        else:
            number, _ = my.log_in(wire)
            wire.send(changed(noise, my.packet(number + 1, my.OK)))
        wire.silence()

    with Liar(script) as liar:
        settings = {"host": "127.0.0.1", "port": liar.port, "database": "d", "user": "u", "tls": {"mode": "disable"}}
        settings |= {"password": SECRET, "retry": {"attempts": 1}}
        outcome = attack(runner, "mysql", settings, {"sql": "select 'lie'"}, timeout=0.5)
    assert outcome.code != "ok"
    assert outcome.code not in {"internal", "worker_crashed"}, outcome.told
    assert_unsaid(liar.heard)


@pytest.mark.parametrize("seed", range(30))
def test_http_with_noise(runner, seed):
    noise = random.Random(seed)
    body = b'[{"a": 1.50, "b": [null, true], "c": "x\\u00e9"}, {"a": 10000000000000000000000}]'
    answer = whole(body) if seed % 2 else HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(body) + b"0\r\n\r\n"

    def script(wire: Wire):
        while True:
            ask(wire)
            wire.send(changed(noise, answer))

    with Liar(script) as liar:
        outcome = attack(runner, "http_api", at(liar.port), {"path": "x"}, timeout=0.8)
    assert outcome.code not in {"internal", "worker_crashed"}, outcome.told
    assert TOKEN not in outcome.told


MESSAGES = {"postgresql": 7_000, "scram": 3_000, "mysql": 10_000, "http": 10_000}
SAID = {"ok", "protocol", "unreachable", "authentication", "authorization", "too_large", "query", "not_a_query"}


@pytest.mark.parametrize("fake", MESSAGES)
def test_ten_thousand_changed_messages_are_errors_of_ours_and_take_no_time(fake):
    """Without the time that forking and judging take: the adapters do what a worker does, in one process."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.noise", fake, str(MESSAGES[fake])],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    told = json.loads(done.stdout)
    assert told["messages"] >= MESSAGES[fake]
    assert set(told["codes"]) <= SAID, told
    assert told["codes"]["protocol"] > MESSAGES[fake] / 20, told
    assert told["slowest"] < 5, told


BANNERS = {
    "SSH": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    "SMTP": b"220 mail.example.com ESMTP\r\n",
    "FTP": b"220 ready\r\n",
    "IRC": b":server NOTICE AUTH :*** Looking up your hostname\r\n",
    "Redis": b"-ERR wrong number of arguments\r\n",
    "HTTP": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "MySQL": my.greeting(),
    "PostgreSQL": pg.WELCOME,
    "MSSQL": b"\x04\x01\x00\x2b\x00\x00\x01\x00" + bytes(35),
    "zeros": bytes(64),
    "ones": b"\xff" * 64,
}
OWN = {"postgresql": "PostgreSQL", "mysql": "MySQL", "http_api": "HTTP"}


@pytest.mark.parametrize("then", ["silence", "end"])
@pytest.mark.parametrize("banner", BANNERS)
@pytest.mark.parametrize("source", OWN)
def test_a_server_of_another_kind_is_a_protocol_error(runner, source, banner, then):
    if OWN[source] == banner:
        banner = "SSH"

    def script(wire: Wire):
        wire.send(BANNERS[banner])
        if then == "silence":
            wire.silence()

    with Liar(script) as liar:
        if source == "http_api":
            settings, query = at(liar.port), {"path": "x"}
        else:
            make = postgresql_at if source == "postgresql" else mysql_at
            settings, query = make(liar.port), {"sql": "select 1"}
        outcome = attack(runner, source, settings, query, timeout=1.5)
    assert outcome.code == "protocol", outcome.told
