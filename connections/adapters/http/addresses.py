"""URLs that cannot lead elsewhere: the base URL of a connection, paths beneath it, names of headers.

Paths are plain text and are encoded here. What servers and proxies are known to read as more than a name (``..``,
``//``, ``\\``, ``;``, ``?``, ``#``, ``%``) is refused, not encoded: some of them decode twice.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from connections.adapters.egress import require_host

DEFAULT_PORTS = {"http": 80, "https": 443}

_UNSAFE = re.compile(r"[/\\;?#%\x00-\x1f\x7f-\x9f]")
_HEADER = re.compile(r"[A-Za-z0-9!#$&'*+.^_`|~-]{1,100}")  # RFC 9110's token, without %
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")

# They say who asks, for which host, or where the message ends: for the client alone to write.
_OWN_HEADERS = frozenset(
    {
        *("accept-encoding", "authorization", "connection", "content-encoding", "content-length", "content-type"),
        *("cookie", "cookie2", "expect", "forwarded", "host", "http2-settings", "keep-alive", "max-forwards"),
        *("method-override", "origin", "referer", "remote-user", "set-cookie", "te", "trailer", "transfer-encoding"),
        *("upgrade", "via", "x-http-method", "x-http-method-override", "x-method-override", "x-original-url"),
        *("x-real-ip", "x-rewrite-url"),
    }
)
_OWN_PREFIXES = ("proxy-", "sec-", "x-forwarded-", "x-webauth-", "x-remote-", "access-control-")


def plain_base_url(text: str) -> str:
    """``text`` in its one spelling: ``https://api.example.com/v1``, without a slash at the end.

    Raises ``ValueError`` for anything but scheme, host, port and a plain path.
    """
    if not re.fullmatch(r"[\x21-\x7e]{1,2000}", text):
        raise ValueError("Enter a URL in ASCII, without spaces.")
    found = re.fullmatch(r"(?i:(https?)://)([^/\\?#]*)(/[^?#]*)?", text)
    if found is None:
        raise ValueError("Enter a URL such as https://api.example.com/v1, without ? and #.")
    scheme, authority, path = found[1].lower(), found[2], found[3] or ""
    if "@" in authority:
        raise ValueError("Enter the URL without user and password; choose how to sign in below.")
    try:
        port = urlsplit(f"//{authority}").port
    except ValueError:
        raise ValueError("Enter a port from 1 to 65535.") from None
    name = re.sub(r":\d*$", "", authority)
    host = require_host(name).lower()
    host = f"[{host}]" if ":" in host else host
    if port == 0:
        raise ValueError("Enter a port from 1 to 65535.")
    place = host if port in (None, DEFAULT_PORTS[scheme]) else f"{host}:{port}"
    parts = relative_path(path).removesuffix("/")
    return f"{scheme}://{place}/{parts}" if parts else f"{scheme}://{place}"


def relative_path(text: str) -> str:
    """A path beneath a base URL, encoded: ``a b/é`` as ``a%20b/%C3%A9``. One slash at either end is allowed.

    Raises ``ValueError`` for one that could leave the base.
    """
    inner = text.removeprefix("/")
    if not inner:
        return ""
    tail = "/" if inner.endswith("/") else ""
    return "/".join(segment(part) for part in inner.removesuffix("/").split("/")) + tail


def segment(text: str) -> str:
    """One segment of a path, encoded. Raises ``ValueError`` for one that could be read as more than a name."""
    if text in ("", ".", "..") or _UNSAFE.search(text):
        raise ValueError("A path is plain names between single slashes: no '..', '//', '\\', ';', '?', '#' or '%'.")
    try:
        return quote(text, safe="~!$&'()*+,=:@")
    except UnicodeEncodeError:
        raise ValueError("The path has a character that is none (half of a surrogate pair).") from None


def header_name(text: str) -> str:
    """``text`` when a connection may send a header of this name. Raises ``ValueError``."""
    if not _HEADER.fullmatch(text):
        raise ValueError("Enter a header name: letters, digits and dashes.")
    plain = text.lower().replace("_", "-")  # many servers read X_Forwarded_For as X-Forwarded-For
    if plain in _OWN_HEADERS or plain.startswith(_OWN_PREFIXES):
        raise ValueError(f"The header {text} is written by the catalogue alone.")
    return text


def header_value(text: str) -> str:
    """``text`` when it can be sent as a header's value as it is. Raises ``ValueError`` without repeating it."""
    if len(text) > 8192 or not _VALUE.fullmatch(text):
        raise ValueError("Enter printable ASCII, without line breaks, at most 8192 characters.")
    return text
