"""The first packets of a connection, as far as asking for TLS: no driver is needed to look at a certificate."""

from __future__ import annotations

import socket
import ssl
import struct

from connections.adapters.errors import ProtocolError, RateLimitedError, TLSError

_SSL, _PROTOCOL_41, _SECURE, _PLUGIN_AUTH = 0x800, 0x200, 0x8000, 0x80000
_UTF8MB4 = 45
_MOST = 1024


def ask_for_tls(plain: socket.socket, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
    """Read the greeting, ask for TLS and shake hands. Raises ``TLSError`` where the server has none."""
    greeting = _packet(plain)
    if greeting[:1] == b"\xff":
        raise RateLimitedError("The server takes no connection now.", step="tls")
    version_end = greeting.find(b"\0", 1)
    if greeting[:1] != b"\x0a" or version_end < 0 or len(greeting) < version_end + 16:
        raise _not_mysql()
    (capabilities,) = struct.unpack_from("<H", greeting, version_end + 14)  # after thread, challenge and filler
    if not capabilities & _SSL:
        raise TLSError(
            "The server does not offer TLS.",
            field="/config/tls",
            step="tls",
            hint="Turn TLS on at the server, or choose another verification.",
        )
    flags = _SSL | _PROTOCOL_41 | _SECURE | _PLUGIN_AUTH
    plain.sendall(struct.pack("<I", 32 | 1 << 24) + struct.pack("<IIB23x", flags, 1 << 24, _UTF8MB4))
    return context.wrap_socket(plain, server_hostname=host)


def _packet(plain: socket.socket) -> bytes:
    (head,) = struct.unpack("<I", _exactly(plain, 4))
    size = head & 0xFFFFFF
    if not 0 < size <= _MOST:
        raise _not_mysql()
    return _exactly(plain, size)


def _exactly(plain: socket.socket, size: int) -> bytes:
    """Not one byte more: what follows belongs to the handshake."""
    found = b""
    while len(found) < size:
        piece = plain.recv(size - len(found))
        if not piece:
            raise _not_mysql()
        found += piece
    return found


def _not_mysql() -> ProtocolError:
    return ProtocolError(
        "What answers at this host and port does not speak MySQL's protocol.", field="/config/port", step="connect"
    )
