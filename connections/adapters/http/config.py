"""The settings of a source that answers over HTTP."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from connections.adapters.config import ADVANCED, SECURITY, Config, Settings
from connections.adapters.http.addresses import header_name, header_value, plain_base_url, relative_path
from connections.adapters.network import TLS, TLSMode


def _secret_header_value(value: SecretStr) -> SecretStr:
    header_value(value.get_secret_value())
    return value


def _plain_path(text: str) -> str:
    relative_path(text)
    return text


def _plain_user(text: str) -> str:
    if ":" in text or not text.isprintable():
        raise ValueError("Enter a user without colon and control characters.")
    return text


HeaderName = Annotated[str, Field(max_length=100), AfterValidator(header_name)]
HeaderValue = Annotated[str, Field(max_length=8192), AfterValidator(header_value)]
SecretHeaderValue = Annotated[SecretStr, AfterValidator(_secret_header_value)]
PlainPath = Annotated[str, Field(max_length=2000), AfterValidator(_plain_path)]


class NoAuth(Settings):
    kind: Literal["none"] = "none"


class BasicAuth(Settings):
    """User and password, in the Authorization header."""

    kind: Literal["basic"] = "basic"
    user: Annotated[str, AfterValidator(_plain_user)] = Field(
        title="User", min_length=1, max_length=255, json_schema_extra={"endpoint": False}
    )
    password: SecretStr | None = Field(None, title="Password", description="May be empty where the user is a key.")


class BearerAuth(Settings):
    """A token, in the Authorization header."""

    kind: Literal["bearer"] = "bearer"
    scheme: str = Field(
        "Bearer",
        title="Word before the token",
        pattern=r"^[A-Za-z0-9._-]+$",
        max_length=32,
        examples=["Bearer", "Token"],
        json_schema_extra={"section": ADVANCED},
    )
    token: SecretHeaderValue = Field(title="Token")


class HeaderAuth(Settings):
    """A key, in a header of its own."""

    kind: Literal["header"] = "header"
    name: HeaderName = Field(title="Header", examples=["X-API-Key"])
    value: SecretHeaderValue = Field(title="Key")


Auth = NoAuth | BasicAuth | BearerAuth | HeaderAuth


class HTTPConfig(Config):
    """Base for sources behind a base URL. Every request stays beneath it."""

    url_schemes: ClassVar[tuple[str, ...]] = ("https", "http")

    base_url: Annotated[str, AfterValidator(plain_base_url)] = Field(
        title="Base URL",
        description="Queries read beneath it. http:// sends everything in the clear.",
        examples=["https://api.example.com/v1"],
        min_length=1,
        max_length=2000,
    )
    auth: Annotated[Auth, Field(default_factory=NoAuth, title="Sign in with", discriminator="kind")]
    headers: dict[HeaderName, HeaderValue] = Field(
        default_factory=dict,
        title="Headers",
        description="Sent with every request. They are shown to whoever may see this connection: no keys here.",
        max_length=32,
        json_schema_extra={"section": ADVANCED},
    )
    status_path: PlainPath | None = Field(
        None,
        title="Status path",
        description="What a status check reads, beneath the base URL: something small that needs the login. "
        "Left empty, the base URL itself is asked and only a refused login fails.",
        examples=["me"],
        json_schema_extra={"endpoint": False},
    )
    allow_post: bool = Field(
        False,
        title="Queries may use POST",
        description="For sources that are searched by POST. What a POST does is up to the source: "
        "turn this on only with a login that can change nothing.",
        json_schema_extra={"endpoint": False},
    )
    tls: Annotated[TLS, Field(default_factory=TLS, title="Encryption (TLS)", json_schema_extra={"section": SECURITY})]
    follow_redirects: bool = Field(
        False,
        title="Follow redirects",
        description="At most five, of GET requests. The login and the headers stay behind when one leaves the host.",
        json_schema_extra={"section": ADVANCED},
    )
    connect_timeout: float = Field(
        10,
        title="Connect timeout",
        description="Seconds, TLS included.",
        ge=1,
        le=60,
        json_schema_extra={"endpoint": False, "section": ADVANCED},
    )
    max_answer_mb: int = Field(
        16,
        title="Largest answer",
        description="MB, decompressed; one answer is one page of results.",
        ge=1,
        le=64,
        json_schema_extra={"endpoint": False, "section": ADVANCED},
    )

    @model_validator(mode="after")
    def _tls_fits_the_url(self) -> Self:
        if self.base_url.startswith("https:") and self.tls.mode is TLSMode.DISABLE:
            raise ValueError("The base URL says https: choose another verification than disable, or write http.")
        return self

    @classmethod
    def parse_url(cls, url: str) -> dict[str, Any]:
        """The base URL, and basic authentication where it has a user: ``https://user:password@host/path``."""
        parts = urlsplit(url.strip())
        if parts.scheme not in cls.url_schemes:
            raise ValueError(f"The URL's scheme is not one of {', '.join(cls.url_schemes)}.")
        userinfo, _, place = parts.netloc.rpartition("@")
        found: dict[str, Any] = {"base_url": plain_base_url(urlunsplit(parts._replace(netloc=place)))}
        if userinfo:
            user, _, password = userinfo.partition(":")
            found["auth"] = {"kind": "basic", "user": unquote(user)}
            if password:
                found["auth"]["password"] = unquote(password)
        return found
