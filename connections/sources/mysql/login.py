"""Logging in: PyMySQL does, and what a server may ask for and what it is told is decided here."""

from __future__ import annotations

import ssl
import struct
from dataclasses import dataclass, field
from typing import Any

from pymysql.connections import Connection

from connections.sources.mysql.authentication import HANDLERS, require_method, require_opening

APPLICATION = "connection-catalogue"

_LONGEST_OF_LOGIN = 64 * 1024
"""Bytes of a packet before the server let us in: a greeting has a hundred or so."""

# https://mariadb.com/kb/en/connection/: MariaDB's own capabilities, said only by clients that do not say "MySQL".
_MYSQL = 1
_EXTENDED_METADATA = 1 << 3
_EXTENSIONS = slice(28, 32)


@dataclass(frozen=True, slots=True)
class Login:
    """As whom, and how. ``context`` is None without TLS; ``trusted`` when it shows who the server is."""

    host: str
    database: str
    user: str
    password: str = field(repr=False)
    charset: str
    context: ssl.SSLContext | None
    trusted: bool


class LoginConnection(Connection):  # type: ignore[misc]
    """A connection on a socket of ours. Reads no option file, opens no other socket, sends no file."""

    def __init__(self, login: Login) -> None:
        super().__init__(
            host=login.host,  # the name that the certificate must show
            user=login.user,
            password=login.password.encode(),
            database=login.database,
            charset=login.charset,
            ssl=login.context,
            ssl_disabled=login.context is None,
            autocommit=None,
            local_infile=False,
            program_name=APPLICATION,
            auth_plugin_map=dict(HANDLERS),
            defer_connect=True,
        )
        self.trusted = login.trusted
        self._extended = False
        self._greeting = False
        self._logged_in = False

    def _read_bytes(self, num_bytes: int) -> Any:
        if not self._logged_in and num_bytes > _LONGEST_OF_LOGIN:
            raise ValueError("no packet of a login")
        return super()._read_bytes(num_bytes)

    @property
    def is_mariadb(self) -> bool:
        return "mariadb" in self.server_version.lower()

    def _get_server_information(self) -> None:
        super()._get_server_information()
        require_opening(self._auth_plugin_name, self.trusted)

    def _request_authentication(self) -> None:
        # A server of MariaDB leaves "MySQL" unsaid as well.
        self._extended = not self.server_capabilities & _MYSQL
        if self._extended:
            self.client_flag &= ~_MYSQL
        self._greeting = True
        super()._request_authentication()

    def write_packet(self, payload: bytes) -> None:
        if self._greeting:
            # Of the two packets that begin with our capabilities, the one that asks for TLS has nothing else.
            self._greeting = len(payload) == _EXTENSIONS.stop
            said = _EXTENDED_METADATA if self._extended else 0
            payload = payload[: _EXTENSIONS.start] + struct.pack("<I", said) + payload[_EXTENSIONS.stop :]
        super().write_packet(payload)

    def _process_auth(self, plugin_name: bytes, auth_packet: Any, handler: Any = None) -> Any:
        require_method(plugin_name.decode("ascii", "replace"), self.trusted)
        return super()._process_auth(plugin_name, auth_packet, handler)
