"""The net under drivers: a worker connects to judged places only."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.hostile.liar import Liar

SCRIPT = """
import json, socket, sys
from connections.adapters.addresses import *
from connections.adapters.egress import EgressPolicy
from connections.adapters.limits import Deadline
from connections.adapters.vouching import vouched
from connections.runner import egress_hook

assert egress_hook.install()
port = int(sys.argv[1])
found = {}

def attempt(name, act):
    vouched.refused = None
    try:
        act()
        found[name] = "allowed"
    except PermissionError:
        found[name] = str(vouched.refused)
    except OSError as exc:
        found[name] = type(exc).__name__

def tcp(place, family=socket.AF_INET):
    with socket.socket(family) as sock:
        sock.settimeout(2)
        sock.connect(place)

def datagram():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", ("127.0.0.1", port))

def library():
    import urllib.request
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://127.0.0.1:{port}/", timeout=2)

attempt("before", lambda: tcp(("127.0.0.1", port)))
attempt("name", lambda: tcp(("localhost", port)))
attempt("unix", lambda: tcp("/var/run/docker.sock", socket.AF_UNIX))
attempt("datagram", datagram)
EgressPolicy(loopback=True).reach("127.0.0.1", port, Deadline.after(5))
attempt("judged", lambda: tcp(("127.0.0.1", port)))
attempt("same address in another spelling", lambda: tcp(("127.0.0.1".encode().decode(), port)))
attempt("another port", lambda: tcp(("127.0.0.1", port + 1)))
attempt("another address", lambda: tcp(("127.0.0.2", port)))
vouched.forget()
attempt("the next job", lambda: tcp(("127.0.0.1", port)))
policy = EgressPolicy(loopback=True)
attempt("the policy's own connect", lambda: policy.connect("127.0.0.1", port, Deadline.after(5)).close())
pair = socket.socketpair()
attempt("a pair", lambda: (pair[0].send(b"x"), pair[0].sendmsg([b"y"])))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    with Liar(lambda wire: wire.silence()) as liar:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(liar.port)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        answers: dict[str, Any] = json.loads(done.stdout)
        answers["port"] = liar.port
    return answers


def test_a_place_that_was_not_judged_is_refused_and_named(found):
    port = found["port"]
    assert found["before"] == f"127.0.0.1 port {port}"
    assert found["name"] == f"localhost port {port}"
    assert found["another port"] == f"127.0.0.1 port {port + 1}"
    assert found["another address"] == f"127.0.0.2 port {port}"


def test_sockets_of_this_machine_and_datagrams_are_refused(found):
    assert found["unix"] == "a socket of this machine"
    assert found["datagram"] == f"127.0.0.1 port {found['port']}"


def test_a_judged_place_is_reached_in_its_own_job_only(found):
    assert found["judged"] == found["the policy's own connect"] == found["a pair"] == "allowed"
    assert found["the next job"] == f"127.0.0.1 port {found['port']}"
