"""The catalogue's own services: what no connection may lead to, whatever networks are opened."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings

from connections.adapters.addresses import LOOPBACK, within
from connections.adapters.egress import Opening

FRESH_SECONDS: Final = 60.0
"""How long the addresses of a name are believed: they are looked up for every preview otherwise."""
DEFAULT_PORTS: Final = {
    "postgresql": 5432,
    "mysql": 3306,
    "redis": 6379,
    "rediss": 6379,
    "amqp": 5672,
    "amqps": 5671,
    "https": 443,
    "http": 80,
}


@dataclass(frozen=True, slots=True, eq=False)
class Own:
    """What was found for these very settings, and until when it is believed. Each is equal to itself only."""

    settings: tuple[Any, ...]
    places: tuple[Opening, ...]
    """``CATALOG_EGRESS_OWN``; where the catalogue's databases, caches, broker and vault are; its own addresses."""
    names: tuple[str, ...]
    """The names under which people reach the catalogue, in lower case."""
    until: float


_known: Own | None = None


def look() -> Own:
    """Where the catalogue itself is. The same object as long as nothing about it is known to have changed."""
    global _known
    now = (
        settings.CATALOG_EGRESS_OWN,
        settings.DATABASES,
        settings.CACHES,
        settings.ALLOWED_HOSTS,
        settings.CATALOG_VAULT_URL,
    )
    known = _known
    if (
        known is None
        or time.monotonic() >= known.until
        or any(a is not b for a, b in zip(now, known.settings, strict=True))
    ):
        stated = tuple(Opening.parse(text) for text in settings.CATALOG_EGRESS_OWN)
        found = _resolved([*_databases(), *_urls(), *_addresses()])
        known = _known = Own(now, stated + found, _names(), time.monotonic() + FRESH_SECONDS)
    return known


def _names() -> tuple[str, ...]:
    hosts = (host.lower().removesuffix(".") for host in settings.ALLOWED_HOSTS)
    return tuple(
        host for host in hosts if host[:1] not in ("", "*", ".") and host != "localhost" and not _literal(host)
    )


def _databases() -> Iterator[tuple[str, int | None]]:
    for database in settings.DATABASES.values():
        kind = database["ENGINE"].rpartition(".")[2]
        default = DEFAULT_PORTS.get(kind)
        for host in str(database.get("HOST") or "").split(","):
            if host and not host.startswith("/"):
                yield host, int(database.get("PORT") or default or 0) or None
            elif kind != "sqlite3":  # a socket of this machine; the server may listen on TCP as well
                yield "127.0.0.1", int(database.get("PORT") or default or 0) or None


def _urls() -> Iterator[tuple[str, int | None]]:
    caches: list[Any] = [cache.get("LOCATION") for cache in settings.CACHES.values()]
    for given in (*caches, getattr(settings, "CELERY_BROKER_URL", None), settings.CATALOG_VAULT_URL):
        for text in given if isinstance(given, (list, tuple)) else [given]:
            parts = urlsplit(text) if isinstance(text, str) and "://" in text else None
            if parts is not None and parts.hostname:
                yield parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)


def _addresses() -> Iterator[tuple[str, int | None]]:
    for host in settings.ALLOWED_HOSTS:
        address = _literal(host.strip("[]"))
        if address is not None and not within(address, LOOPBACK):
            yield str(address), None


def _literal(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _resolved(endpoints: list[tuple[str, int | None]]) -> tuple[Opening, ...]:
    """Their addresses, sorted. A name that does not resolve now is nowhere to go to either."""
    found = {(address, port) for host, port in endpoints for address in _look_up(host)}
    return tuple(Opening(ipaddress.ip_network(address), port) for address, port in sorted(found, key=str))


def _look_up(host: str) -> set[str]:
    try:
        return {str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return set()
