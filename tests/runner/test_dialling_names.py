"""Looking up names from a worker that sends nothing but along connections; and workers of an ordinary user."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from connections.runner import confinement, isolation, nameservers
from connections.runner.isolation import notices
from connections.runner.isolation.libc import prctl
from connections.runner.isolation.sockets import Place, place
from connections.runner.nameservers import is_nameserver

SCRIPT = """
import ctypes, fcntl, json, os, socket, struct, sys, tempfile, threading
from connections.adapters.egress import EgressPolicy
from connections.adapters.errors import AdapterError
from connections.adapters.registry import discover
from connections.runner import realms
from connections.runner.isolation.libc import call
from connections.runner.supervisor import LocalRunner
from tests.hostile.evil import SITE
from tests.runner.asking import Asker

NEW_MOUNTS, NEW_USER, NEW_NETWORK = 0x20000, 0x10000000, 0x40000000
user, group = os.geteuid(), os.getegid()
call("unshare", NEW_MOUNTS | NEW_NETWORK | (NEW_USER if user else 0))
if user:
    for name, line in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(line)
call("mount", None, b"/", None, ctypes.c_ulong(1 << 18 | 1 << 14), None)
settings = tempfile.NamedTemporaryFile("w", suffix=".conf")
settings.write("nameserver 127.0.0.77\\n")
settings.flush()
call("mount", settings.name.encode(), b"/etc/resolv.conf", None, ctypes.c_ulong(4096), None)
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", 0x41))  # SIOCSIFFLAGS: up, running

heard = []

def answered(question, way):
    at = 12
    labels = []
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode())
        at += question[at] + 1
    kind = struct.unpack("!H", question[at + 1 : at + 3])[0]
    name = ".".join(labels)
    heard.append((name, way, kind))
    cut = way == "udp" and name.startswith("long")
    found = kind == 1 and not cut
    flags = 0x8180 | (0x0200 if cut else 0)
    head = question[:2] + struct.pack("!HHHHH", flags, 1, int(found), 0, 0) + question[12 : at + 5]
    return head + (b"\\xc0\\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + bytes([10, 1, 2, 3]) if found else b"")

def by_udp(sock):
    while True:
        question, peer = sock.recvfrom(512)
        sock.sendto(answered(question, "udp"), peer)

def by_tcp(sock):
    while True:
        accepted, _ = sock.accept()
        with accepted:
            while length := accepted.recv(2):
                answer = answered(accepted.recv(struct.unpack("!H", length)[0]), "tcp")
                accepted.sendall(struct.pack("!H", len(answer)) + answer)

udp = socket.socket(type=socket.SOCK_DGRAM)
udp.bind(("127.0.0.77", 53))
tcp = socket.create_server(("127.0.0.77", 53))
for serve, sock in ((by_udp, udp), (by_tcp, tcp)):
    threading.Thread(target=serve, args=(sock,), daemon=True).start()

sys.path.append(SITE)
realms.registry = discover()
runner = LocalRunner(workers=2, share=2, spares=1)
told = {"in force": runner.status()["isolation"]["connects_dialled"]}
closed = EgressPolicy().as_dict()
for name in ("shop.test", "long.test"):
    try:
        Asker(runner, {"base_url": f"http://{name}/"}).ask(source="http_api", query={"path": "/"}, egress=closed)
    except AdapterError as error:
        told[name] = [error.code, error.message]
places = [["127.0.0.77", 53], ["127.0.0.78", 53]]
rows = Asker(runner).ask(
    source="evil_network", query={"do": "dialling.reach", "given": {"places": places}}, egress=closed, connection=None
).rows
told["reached"] = dict(rows)
told["heard"] = sorted(set(heard))
runner.close()
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["in force"] is True
    return found


def test_names_are_looked_up_and_what_they_lead_to_is_judged(told: dict[str, Any]):
    for name in ("shop.test", "long.test"):
        code, message = told[name]
        assert code == "egress_denied"
        assert "10.1.2.3" in message
    ways = {(name, way) for name, way, _ in told["heard"]}
    assert ways == {("shop.test", "udp"), ("long.test", "udp"), ("long.test", "tcp")}


def test_only_the_systems_nameservers_are_asked(told: dict[str, Any]):
    reached = told["reached"]
    assert reached["udp 127.0.0.77"] == reached["waiting 127.0.0.77"] == "got 0"
    assert {got for tried, got in reached.items() if tried.endswith(".78")} == {"OSError Permission denied"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("nameserver 192.0.2.53\nsearch example.org\n", [("192.0.2.53", 0)]),
        ("; nameserver 192.0.2.1\nnameserver ::1\nnameserver fe80::1%7\n", [("::1", 0), ("fe80::1", 7)]),
        ("nameserver 10.0.0.1\n" * 3 + "nameserver 10.0.0.4\n", [("10.0.0.1", 0)]),
        ("nameserver nonsense\nnameserver\n", [("127.0.0.1", 0)]),
        ("", [("127.0.0.1", 0)]),
    ],
)
def test_nameservers_are_those_that_the_c_library_asks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, named: list[tuple[str, int]]
):
    settings = tmp_path / "resolv.conf"
    settings.write_text(text)
    monkeypatch.setattr(nameservers, "SETTINGS", settings)
    found = nameservers.nameservers()
    assert {(str(each.address), each.scope) for each in found} == set(named)
    assert all(is_nameserver(each) for each in found)
    assert not any(is_nameserver(Place(each.address, 54, each.scope)) for each in found)


@pytest.mark.parametrize(
    "content", [b"", b"\x02", b"\x02\x00\x00\x35\x7f\x00", b"\x01\x00/run/x", b"\x0a\x00" + bytes(20)]
)
def test_what_is_no_address_of_ip_is_no_place(content: bytes):
    assert place(content) is None


def test_a_worker_of_an_ordinary_user_is_dialled_for_and_no_other_worker_looks_into_it():
    """Its supervisor takes its sockets, so it must let its user look into it: Landlock keeps other workers out."""
    reader, writer = os.pipe()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        child = os.fork()
        if child == 0:
            try:
                os.chdir(folder)
                if os.getuid() == 0:
                    os.setgroups([])
                    os.setgid(65534)
                    os.setuid(65534)
                    prctl(4, 1)  # dumpable, as a process is that was started by this user
                os.write(writer, json.dumps(_as_user()).encode())
            except BaseException as exc:  # noqa: BLE001  the parent shows it
                os.write(writer, json.dumps(repr(exc)).encode())
            finally:
                os._exit(0)
        os.close(writer)
        with open(reader, "rb") as answer:
            found = json.loads(answer.read())
        os.waitpid(child, 0)
    assert isinstance(found, dict), found
    assert found.pop("connects_dialled") is True
    assert found.pop("supervisor") == "looked"
    assert len(found) == 6
    assert set(found.values()) == {"refused"}, found


def _as_user() -> dict[str, Any]:
    expected = confinement.trial()
    parent = os.getpid()
    secret = ctypes.create_string_buffer(b"the other's secret")
    at = ctypes.addressof(secret)

    def confined() -> None:
        folder, _ = confinement.start(parent)
        isolation.confine(
            network=True,
            root=None,
            scratch=str(folder),
            memory=0,
            hand_over=lambda listener: None,
            traceable=expected.traceable,
        )

    ready, say = os.pipe()
    other = os.fork()
    if other == 0:
        confined()
        os.write(say, b"R")
        time.sleep(30)
        os._exit(0)
    os.read(ready, 1)
    looked = "looked" if notices.memory(other, at, 18) == secret.value else "saw something else"
    reader, writer = os.pipe()
    nosy = os.fork()
    if nosy == 0:
        confined()
        libc = ctypes.CDLL(None)
        tries = {
            "memory": lambda: notices.memory(other, at, 18),
            "mem": lambda: open(f"/proc/{other}/mem", "rb"),  # noqa: SIM115
            "environ": lambda: open(f"/proc/{other}/environ", "rb"),  # noqa: SIM115
            "fd": lambda: os.listdir(f"/proc/{other}/fd"),
            "pidfd": lambda: os.pidfd_open(other),
            "ptrace": lambda: 1 / (libc.ptrace(16, other, 0, 0) + 1),
        }
        os.write(writer, json.dumps({name: _tried(attempt) for name, attempt in tries.items()}).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answer:
        found = json.loads(answer.read())
    for pid in (other, nosy):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return {**found, "supervisor": looked, "connects_dialled": expected.told()["connects_dialled"]}


def _tried(attempt: Any) -> str:
    try:
        attempt()
    except (OSError, ZeroDivisionError):
        return "refused"
    return "got it"
