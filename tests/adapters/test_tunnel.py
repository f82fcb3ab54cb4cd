"""SSH tunnels through a real SSH server in this process, to a real PostgreSQL."""

from __future__ import annotations

import contextlib
import io
import os
import selectors
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import paramiko
import pytest

from connections.adapters.contract import Environment, Step
from connections.adapters.egress import EgressPolicy
from connections.adapters.errors import AdapterError
from connections.adapters.limits import Deadline
from connections.adapters.tunnel import _is_ours
from connections.sources.postgresql import PostgreSQLAdapter
from tests.sources.postgresql import adapter_of
from tests.sources.reading import read

USER, PASSWORD = "hopper", "hopper-password"
CLIENT_KEY = paramiko.RSAKey.generate(2048)


class JumpHost(paramiko.ServerInterface):  # type: ignore[misc]
    """Takes one user, by password or key, and forwards to loopback only."""

    def __init__(self) -> None:
        self.targets: dict[int, tuple[str, int]] = {}

    def get_allowed_auths(self, username: str) -> str:
        return "password,publickey"

    def check_auth_password(self, username: str, password: str) -> int:
        return paramiko.AUTH_SUCCESSFUL if (username, password) == (USER, PASSWORD) else paramiko.AUTH_FAILED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        known = username == USER and key.asbytes() == CLIENT_KEY.asbytes()
        return paramiko.AUTH_SUCCESSFUL if known else paramiko.AUTH_FAILED

    def check_channel_direct_tcpip_request(self, chanid: int, origin: Any, destination: tuple[str, int]) -> int:
        if destination[0] not in ("127.0.0.1", "localhost"):
            return paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        with contextlib.suppress(OSError), socket.create_connection(destination, timeout=2):
            self.targets[chanid] = destination
            return paramiko.OPEN_SUCCEEDED
        return paramiko.OPEN_FAILED_CONNECT_FAILED


@dataclass
class Running:
    port: int
    host_key: str
    logins: list[paramiko.Transport]


@pytest.fixture(scope="module")
def jump_host() -> Iterator[Running]:
    key = paramiko.ECDSAKey.generate()
    listener = socket.create_server(("127.0.0.1", 0))
    running = Running(listener.getsockname()[1], f"{key.get_name()} {key.get_base64()}", [])

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = listener.accept()
                transport = paramiko.Transport(accepted)
                transport.add_server_key(key)
                running.logins.append(transport)
                server = JumpHost()
                with contextlib.suppress(paramiko.SSHException, EOFError):
                    transport.start_server(server=server, event=threading.Event())
                threading.Thread(target=forward, args=(transport, server), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield running
    listener.close()
    for transport in running.logins:
        transport.close()


def forward(transport: paramiko.Transport, server: JumpHost) -> None:
    while transport.is_active():
        channel = transport.accept(0.2)
        if channel is not None:
            threading.Thread(target=carry, args=(channel, server.targets[channel.chanid]), daemon=True).start()


def carry(channel: paramiko.Channel, target: tuple[str, int]) -> None:
    with contextlib.closing(channel), socket.create_connection(target) as far, selectors.DefaultSelector() as ready:
        ready.register(channel, selectors.EVENT_READ, far)
        ready.register(far, selectors.EVENT_READ, channel)
        while True:
            for source, _ in ready.select():
                try:
                    chunk = source.fileobj.recv(32768)  # type: ignore[union-attr]
                    source.data.sendall(chunk)
                except OSError:
                    return
                if not chunk:
                    return


def through(server: Any, jump_host: Running, **changes: Any) -> PostgreSQLAdapter:
    tunnel = {
        "host": "127.0.0.1",
        "port": jump_host.port,
        "user": USER,
        "host_key": jump_host.host_key,
        "auth": {"kind": "password", "password": PASSWORD},
    }
    return adapter_of(server, tunnel=tunnel | changes)


def pem(key: paramiko.PKey, passphrase: str | None = None) -> str:
    text = io.StringIO()
    key.write_private_key(text, password=passphrase)
    return text.getvalue()


def failed(adapter: PostgreSQLAdapter) -> AdapterError:
    with pytest.raises(AdapterError) as caught:
        read(adapter, "select 1", seconds=10)
    adapter.close()
    return caught.value


@pytest.mark.parametrize(
    "auth",
    [
        {"kind": "password", "password": PASSWORD},
        {"kind": "key", "private_key": pem(CLIENT_KEY)},
        {"kind": "key", "private_key": pem(CLIENT_KEY, "open sesame"), "passphrase": "open sesame"},
    ],
    ids=["password", "key", "key with passphrase"],
)
def test_a_preview_goes_through_the_tunnel(postgresql, jump_host, auth):
    adapter = through(postgresql, jump_host, auth=auth)
    assert read(adapter, "select 1").value == 1
    assert read(adapter, "select g from generate_series(1, 20000) g", limit=10_000).rows[-1] == [10_001]
    adapter.close()
    adapter.close()


def test_a_check_has_a_step_for_the_tunnel(postgresql, jump_host):
    adapter = through(postgresql, jump_host)
    steps = [item for item in adapter.check(Deadline.after(10)) if isinstance(item, Step)]
    names = ["resolve", "policy", "tunnel", "connect", "authenticate", "database", "privileges", "sample"]
    assert [(str(step.name), step.ok) for step in steps] == [(name, True) for name in names]
    adapter.close()


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        (
            {"auth": {"kind": "password", "password": "wrong"}},
            "authentication",
            "/secrets/tunnel/auth/password",
        ),
        (
            {"auth": {"kind": "key", "private_key": pem(paramiko.RSAKey.generate(2048))}},
            "authentication",
            "/secrets/tunnel/auth/private_key",
        ),
        ({"auth": {"kind": "key", "private_key": "nonsense"}}, "authentication", "/secrets/tunnel/auth/private_key"),
        ({"host_key": "ssh-ed25519 !"}, "invalid", "/config/tunnel/host_key"),
    ],
)
def test_a_tunnel_that_fails_names_its_setting(postgresql, jump_host, changes, code, field):
    error = failed(through(postgresql, jump_host, **changes))
    assert (error.code, error.field) == (code, field)


def test_another_host_key_is_refused_before_the_login(postgresql, jump_host):
    other = paramiko.ECDSAKey.generate()
    error = failed(through(postgresql, jump_host, host_key=f"{other.get_name()} {other.get_base64()}"))
    assert (error.code, error.field) == ("tls", "/config/tunnel/host_key")


def test_the_jump_host_and_the_source_are_judged(postgresql, jump_host):
    made = through(postgresql, jump_host)
    closed = PostgreSQLAdapter(made.config, Environment(EgressPolicy()))
    assert failed(closed).code == "egress_denied"
    metadata = made.config.model_copy(update={"host": "169.254.169.254"})
    assert failed(PostgreSQLAdapter(metadata, Environment(EgressPolicy(loopback=True)))).code == "egress_denied"


def test_the_tunnels_end_serves_this_process_alone(postgresql, jump_host):
    """Another process that dials the port is hung up on."""
    import subprocess
    import sys

    adapter = through(postgresql, jump_host)
    read(adapter, "select 1")
    assert adapter._forward is not None
    code = "import socket,sys; s=socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5); print(len(s.recv(1)))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(adapter._forward.port)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.stdout.strip() == "0", done.stderr  # at once: silence would be the server waiting to be spoken to
    adapter.close()


def test_a_tunnel_works_beside_a_thousand_descriptors_and_leaves_none(postgresql, jump_host):
    with contextlib.ExitStack() as held:
        for _ in range(1100):
            held.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        adapter = through(postgresql, jump_host)
        assert read(adapter, "select 1").value == 1
        before = len(os.listdir("/dev/fd"))
        for _ in range(3):
            assert not _is_ours(("127.0.0.1", 1))
        assert len(os.listdir("/dev/fd")) == before
        adapter.close()
