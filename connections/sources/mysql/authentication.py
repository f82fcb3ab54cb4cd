"""How a server may ask for the password. Who only claims to be the server must not get to read it."""

from __future__ import annotations

from typing import Any

from pymysql import _auth

from connections.adapters.errors import AuthenticationError

SCRAMBLED = frozenset({"", "mysql_native_password", "client_ed25519", "caching_sha2_password"})
"""Methods that answer a challenge. The second stage of caching_sha2_password shows the password."""
READABLE = frozenset({"mysql_clear_password", "dialog", "sha256_password"})
"""Methods that hand over the password itself, or encrypt it with a key that the other end names."""


def require_opening(method: str, trusted: bool) -> None:
    """Refuse a greeting whose method would put the password into the very first answer."""
    if method == "sha256_password":
        require_method(method, trusted)


def require_method(method: str, trusted: bool) -> None:
    """Raise ``AuthenticationError`` unless ``method`` may be answered. ``trusted``: TLS shows who the server is."""
    if method in SCRAMBLED or (method in READABLE and trusted):
        return
    if method in READABLE:
        raise _not_sent()
    raise AuthenticationError(
        "The server asks for the password by a method that is not supported.",
        field="/config/user",
        step="authenticate",
        hint="Let the user log in by caching_sha2_password or mysql_native_password.",
    )


def _not_sent() -> AuthenticationError:
    return AuthenticationError(
        "The server asked for the password in a way that could be read on the way, and it was not sent.",
        field="/config/tls/mode",
        step="authenticate",
        hint="Verify the server's name (verify-full), or give its own CA (verify-ca).",
    )


class _Method:
    """PyMySQL makes one for each login and calls ``authenticate`` with the server's packet."""

    def __init__(self, session: Any) -> None:
        self.session = session

    def send(self, answer: bytes) -> Any:
        self.session.write_packet(answer)
        return self.session._read_packet()


class CachingSHA2(_Method):
    """A challenge first; the password itself only when the server's cache does not know it, and TLS is verified."""

    def authenticate(self, packet: Any) -> Any:
        if packet.is_auth_switch_request():
            self.session.salt = packet.read_all().removesuffix(b"\0")
            packet = self.send(_auth.scramble_caching_sha2(self.session.password, self.session.salt))
        if not packet.is_extra_auth_data():
            return packet
        if packet.get_all_data()[1:2] == b"\x03":  # accepted from the cache
            return self.session._read_packet()
        if not self.session.trusted:
            raise _not_sent()
        return self.send(self.session.password + b"\0")


class Clear(_Method):
    def authenticate(self, packet: Any) -> Any:
        require_method("mysql_clear_password", self.session.trusted)
        return self.send(self.session.password + b"\0")


class Dialog(_Method):
    """PAM: the first question is for the password; there is nobody to answer a second."""

    def authenticate(self, packet: Any) -> Any:
        require_method("dialog", self.session.trusted)
        return self.send(self.session.password + b"\0")


class Ed25519(_Method):
    def authenticate(self, packet: Any) -> Any:
        raise AuthenticationError(
            "The server asks for the password by ed25519, which is not supported.",
            field="/config/user",
            step="authenticate",
            hint="Let the user log in by mysql_native_password, with TLS.",
        )


HANDLERS: dict[str, type[_Method]] = {
    "caching_sha2_password": CachingSHA2,
    "sha256_password": Clear,
    "mysql_clear_password": Clear,
    "dialog": Dialog,
    "client_ed25519": Ed25519,
}
