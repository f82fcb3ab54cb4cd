"""Settings that every source on a network shares: host, port, TLS, SSH tunnel, timeouts."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import AfterValidator, Field, SecretStr

from connections.adapters.config import ADVANCED, SECURITY, TUNNEL, Config, Settings
from connections.adapters.egress import require_host

Host = Annotated[str, Field(min_length=1, max_length=253), AfterValidator(require_host)]
Port = Annotated[int, Field(ge=1, le=65535)]


class TLSMode(StrEnum):
    DISABLE = "disable"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"


class TLS(Settings):
    """How the connection is encrypted. The default checks certificate and name."""

    mode: TLSMode = Field(
        TLSMode.VERIFY_FULL,
        title="Verification",
        description="verify-full checks the certificate and the host's name in it. "
        "disable and require let somebody on the way read or change what is sent.",
    )
    ca: str | None = Field(
        None,
        title="CA certificate",
        description="PEM. Left empty, the system's authorities are trusted.",
        max_length=65536,
        json_schema_extra={"widget": "pem"},
    )
    certificate: SecretStr | None = Field(
        None, title="Client certificate", description="PEM.", json_schema_extra={"widget": "pem"}
    )
    key: SecretStr | None = Field(None, title="Client key", description="PEM.", json_schema_extra={"widget": "pem"})


class TunnelPassword(Settings):
    kind: Literal["password"] = "password"
    password: SecretStr | None = Field(None, title="Password")


class TunnelKey(Settings):
    kind: Literal["key"] = "key"
    private_key: SecretStr | None = Field(
        None,
        title="Private key",
        description="OpenSSH or PEM; Ed25519, ECDSA or RSA.",
        json_schema_extra={"widget": "pem"},
    )
    passphrase: SecretStr | None = Field(None, title="Passphrase")


class Tunnel(Settings):
    """An SSH server through which the source is reached. Its host key is pinned."""

    host: Host = Field(title="SSH host", examples=["bastion.example.com"])
    port: Port = Field(22, title="SSH port")
    user: str = Field(title="SSH user", min_length=1, max_length=255)
    host_key: str = Field(
        title="Host key",
        description="One line of the server's public key, as ssh-keyscan prints it: type and key.",
        examples=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI…"],
        max_length=8192,
    )
    auth: Annotated[TunnelPassword | TunnelKey, Field(title="Sign in with", discriminator="kind")]


class NetworkConfig(Config):
    """Base for sources at a host and a port. A source narrows ``port`` with its own default."""

    default_port: ClassVar[int] = 0

    host: Host = Field(title="Host", examples=["db.example.com"])
    port: Port = Field(title="Port")
    tls: Annotated[TLS, Field(default_factory=TLS, title="Encryption (TLS)", json_schema_extra={"section": SECURITY})]
    tunnel: Tunnel | None = Field(None, title="SSH tunnel", json_schema_extra={"section": TUNNEL})
    connect_timeout: float = Field(
        10,
        title="Connect timeout",
        description="Seconds.",
        ge=1,
        le=60,
        json_schema_extra={"endpoint": False, "section": ADVANCED},
    )

    @classmethod
    def parse_url(cls, url: str) -> dict[str, Any]:
        """Host, port, user, password and database out of ``scheme://user:password@host:port/database``.

        A query string is read by ``parse_url_option``; what that does not know is an error, as it might decide
        where the password goes.
        """
        try:
            parts = urlsplit(url.strip())
            port = parts.port
        except ValueError:
            raise ValueError("This is not a connection URL.") from None
        if parts.scheme.split("+")[0] not in cls.url_schemes:
            raise ValueError(f"The URL's scheme is not one of {', '.join(cls.url_schemes)}.")
        if not parts.hostname:
            raise ValueError("The URL has no host.")
        found: dict[str, Any] = {"host": parts.hostname, "port": port or cls.default_port}
        named = {"user": parts.username, "password": parts.password, "database": parts.path.removeprefix("/")}
        for name, value in named.items():
            if value and name in cls.model_fields:
                found[name] = unquote(value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            cls.parse_url_option(name, value, found)
        return found

    @classmethod
    def parse_url_option(cls, name: str, value: str, found: dict[str, Any]) -> None:
        """Put one ``?name=value`` of a URL into ``found``. Raises ``ValueError`` for a name it does not know."""
        if name not in ("sslmode", "ssl-mode", "ssl_mode"):
            raise ValueError("The URL has an option that is not known; enter it in the form instead.")
        modes = {"disable": "disable", "disabled": "disable", "require": "require", "required": "require"}
        modes |= {"verify-ca": "verify-ca", "verify_ca": "verify-ca"}
        modes |= {"verify-full": "verify-full", "verify_identity": "verify-full"}
        chosen = modes.get(value.lower())
        if chosen is None:
            raise ValueError("The URL's TLS mode is not one of disable, require, verify-ca, verify-full.")
        found["tls"] = {"mode": chosen}
