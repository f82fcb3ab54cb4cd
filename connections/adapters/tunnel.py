"""An SSH tunnel: a port on loopback, for this process alone, that ends at the source.

Both ends are judged: the jump host's every address, and the source's address where this side knows it. A source's
name that only the jump host can resolve is its network's own. The jump host's key is pinned.
"""

from __future__ import annotations

import base64
import io
import os
import selectors
import socket
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

from connections.adapters.egress import EgressPolicy, parse_address
from connections.adapters.errors import (
    AuthenticationError,
    DriverMissingError,
    InvalidError,
    TLSError,
    UnreachableError,
)
from connections.adapters.limits import Deadline
from connections.adapters.network import Tunnel, TunnelPassword

if TYPE_CHECKING:
    import paramiko

CHUNK = 32768


class Forward:
    """An open tunnel. Every connection to ``port`` on loopback comes out at the source."""

    def __init__(self, transport: paramiko.Transport, target: tuple[str, int], described: str) -> None:
        self.described = described
        self._transport = transport
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    @classmethod
    def open(cls, tunnel: Tunnel, host: str, port: int, egress: EgressPolicy, deadline: Deadline) -> Forward:
        """Log in to the jump host, and try the way to ``host`` once. Raises ``AdapterError`` naming the field."""
        try:
            import paramiko
        except ImportError:
            raise DriverMissingError(
                "paramiko is not installed. Run: pip install 'paramiko>=4.0'", hint="pip install 'paramiko>=4.0'"
            ) from None
        _judge_target(host, port, egress, deadline)
        plain = egress.connect(tunnel.host, tunnel.port, deadline, field="/config/tunnel/host")
        transport = paramiko.Transport(plain)
        try:
            _shake_hands(transport, tunnel, deadline)
            _log_in(transport, tunnel, deadline)
            _channel(transport, (host, port), deadline.require()).close()
        except BaseException:
            transport.close()
            raise
        return cls(transport, (host, port), f"{tunnel.user}@{tunnel.host} port {tunnel.port}")

    @property
    def alive(self) -> bool:
        return bool(self._transport.is_active())

    def close(self) -> None:
        self._listener.close()
        self._transport.close()

    def _serve(self) -> None:
        while True:
            try:
                accepted, peer = self._listener.accept()
            except OSError:  # closed
                return
            if not _is_ours(peer):
                accepted.close()
                continue
            threading.Thread(target=self._carry, args=(accepted,), daemon=True).start()

    def _carry(self, accepted: socket.socket) -> None:
        with closing(accepted):
            try:
                channel = _channel(self._transport, self._target, timeout=30)
            except UnreachableError:
                return
            with closing(channel):
                _pump(accepted, channel)


def _judge_target(host: str, port: int, egress: EgressPolicy, deadline: Deadline) -> None:
    if parse_address(host) is not None:
        egress.reach(host, port, deadline)
        return
    try:
        addresses = egress.resolve(host, port, deadline)
    except UnreachableError:
        return
    for address in addresses:
        egress.judge(address, port)


def _shake_hands(transport: paramiko.Transport, tunnel: Tunnel, deadline: Deadline) -> None:
    import paramiko

    kind, pinned = _pinned(tunnel.host_key)
    transport.get_security_options().key_types = _algorithms(kind, transport)
    try:
        transport.start_client(timeout=deadline.require())
    except (paramiko.SSHException, OSError, EOFError):
        raise UnreachableError(
            f"The SSH handshake with {tunnel.host} port {tunnel.port} failed, or its host key is of another type "
            "than the pinned one.",
            field="/config/tunnel/host",
            step="tunnel",
        ) from None
    if transport.get_remote_server_key().asbytes() != pinned:
        raise TLSError(
            "The jump host shows another host key than the pinned one.",
            field="/config/tunnel/host_key",
            step="tunnel",
            hint="Compare it with the server's own key before you change it here: somebody may be in between.",
        )


def _pinned(line: str) -> tuple[str, bytes]:
    """Type and bytes of a public key's line; ssh-keyscan's host name before them is left out."""
    words = line.split()
    at = next((index for index, word in enumerate(words) if word.startswith(("ssh-", "ecdsa-"))), None)
    try:
        if at is None:
            raise ValueError
        return words[at], base64.b64decode(words[at + 1], validate=True)
    except (ValueError, IndexError):
        raise InvalidError(
            "The host key is not a line such as 'ssh-ed25519 AAAA…'.", field="/config/tunnel/host_key"
        ) from None


def _algorithms(kind: str, transport: paramiko.Transport) -> tuple[str, ...]:
    """The signature algorithms that a key of the pinned type can make, so that the server shows that key."""
    known = tuple(transport.get_security_options().key_types)
    wanted = ("rsa-sha2-512", "rsa-sha2-256") if kind == "ssh-rsa" else (kind,)
    found = tuple(name for name in known if name in wanted)
    if not found:
        raise InvalidError(f"Host keys of type {kind} are not supported.", field="/config/tunnel/host_key")
    return found


def _log_in(transport: paramiko.Transport, tunnel: Tunnel, deadline: Deadline) -> None:
    import paramiko

    transport.auth_timeout = deadline.require()
    password = isinstance(tunnel.auth, TunnelPassword)
    try:
        if isinstance(tunnel.auth, TunnelPassword):
            secret = tunnel.auth.password.get_secret_value() if tunnel.auth.password else ""
            transport.auth_password(tunnel.user, secret, fallback=False)
        else:
            transport.auth_publickey(tunnel.user, _private_key(tunnel))
    except paramiko.SSHException:
        raise AuthenticationError(
            f"The jump host rejected the login of {tunnel.user}.",
            field="/secrets/tunnel/auth/" + ("password" if password else "private_key"),
            step="tunnel",
        ) from None
    except (OSError, EOFError):
        raise UnreachableError(
            "The jump host ended the connection.", field="/config/tunnel/host", step="tunnel"
        ) from None


def _private_key(tunnel: Tunnel) -> paramiko.PKey:
    import paramiko

    auth: Any = tunnel.auth
    text = auth.private_key.get_secret_value() if auth.private_key else ""
    passphrase = auth.passphrase.get_secret_value() if auth.passphrase else None
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(text), passphrase)
        except (paramiko.SSHException, ValueError, IndexError, TypeError):
            continue
    raise AuthenticationError(
        "The private key cannot be read, or its passphrase is wrong.",
        field="/secrets/tunnel/auth/private_key",
        step="tunnel",
    )


def _channel(transport: paramiko.Transport, target: tuple[str, int], timeout: float) -> paramiko.Channel:
    import paramiko

    try:
        return transport.open_channel("direct-tcpip", target, ("127.0.0.1", 0), timeout=timeout)
    except (paramiko.SSHException, OSError, EOFError):
        raise UnreachableError(
            f"The jump host cannot reach {target[0]} port {target[1]}, or does not forward.",
            field="/config/host",
            step="tunnel",
        ) from None


def _pump(near: socket.socket, far: paramiko.Channel) -> None:
    """Copy both ways until one side ends."""
    with selectors.DefaultSelector() as ready:  # select() refuses descriptors above 1023
        ready.register(near, selectors.EVENT_READ, (near, far))
        ready.register(far, selectors.EVENT_READ, (far, near))
        while True:
            for key, _ in ready.select():
                source, sink = key.data
                try:
                    chunk = source.recv(CHUNK)
                    sink.sendall(chunk)
                except OSError:
                    return
                if not chunk:
                    return


def _is_ours(peer: tuple[str, int]) -> bool:
    """Whether the socket at ``peer`` belongs to this process: the port is open to the whole machine."""
    return any(_address(int(name)) == peer for name in os.listdir("/dev/fd"))


def _address(descriptor: int) -> Any:
    """Where a descriptor of this process is bound, ``None`` if it is no socket. The descriptor stays open."""
    try:
        borrowed = socket.socket(fileno=descriptor)
    except OSError:  # not a socket, or just closed
        return None
    try:
        return borrowed.getsockname()
    except OSError:
        return None
    finally:
        borrowed.detach()
