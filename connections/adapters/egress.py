"""Egress: which addresses an adapter may reach.

A host name says nothing about where a connection ends, so every address it resolves to is judged, at every attempt,
and the adapter connects to an address that was judged in that same attempt. The table is our own: the standard
library's ``is_private`` and ``is_global`` have gaps (translated, mapped and carrier ranges).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from connections.adapters.errors import EgressDeniedError, InvalidError, UnreachableError
from connections.adapters.limits import Deadline

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_CLOSED_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "168.63.129.16/32",  # Azure's wire server, a public-looking address of the host
    )
)
_OPEN_V6 = ipaddress.IPv6Network("2000::/3")  # the only range IANA gives out; all else is closed
_CLOSED_V6 = tuple(ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))

# No allow-list opens these: instance metadata hands credentials to whoever asks.
_METADATA: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "169.254.0.0/16",
        "100.100.100.200/32",
        "192.0.0.192/32",
        "168.63.129.16/32",
        "fd00:ec2::254/128",
        "fe80::/10",
        "::/128",
        "0.0.0.0/8",
    )
)
_LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))

MAX_ADDRESSES = 16
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")


def parse_address(text: str) -> Address | None:
    """The address that ``text`` spells in its standard form, or None when it is a name."""
    try:
        address = ipaddress.ip_address(text.strip("[]") if text.startswith("[") else text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
        raise InvalidError("An address with a scope id cannot be reached from here.", field="/config/host")
    return address


def require_host(text: str) -> str:
    """``text`` when it is a plain host name or address. Raises ``ValueError`` for anything a driver could read as more.

    Sockets, lists, user parts, ports, spellings of numbers (``127.1``, ``0x7f000001``) and characters outside ASCII
    are refused: each has made some library connect elsewhere than a check thought.
    """
    if not text.isascii() or len(text) > 253:
        raise ValueError("Enter a host name in ASCII letters (punycode for others), at most 253 characters.")
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in bare:
        address = ipaddress.IPv6Address(bare) if "%" not in bare else None
        if address is None:
            raise ValueError("Enter the address without a scope id.")
        return str(address)
    labels = bare.removesuffix(".").split(".")
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("Enter a host name or an IP address, without scheme, port, path or user.")
    if re.fullmatch(r"(0[xX][0-9a-fA-F]*|[0-9]+)", labels[-1]):
        return str(ipaddress.IPv4Address(bare))  # its ValueError says what is wrong with the number
    return bare


@dataclass(frozen=True, slots=True)
class Opening:
    """A network that an organisation may reach although it is closed to all. ``port`` None means any."""

    network: Network
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """``10.1.0.0/16``, ``10.1.2.3/32:5432`` or ``[fd00::/8]:5432``."""
        found = re.fullmatch(r"\[?([0-9a-fA-F.:]+/\d+)\]?(?::(\d+))?", text.strip())
        if found is None:
            raise ValueError(f"{text!r} is not a network such as 10.1.0.0/16 or 10.1.2.3/32:5432.")
        return cls(ipaddress.ip_network(found[1]), int(found[2]) if found[2] else None)

    def __str__(self) -> str:
        return f"[{self.network}]:{self.port}" if self.port else str(self.network)

    def holds(self, address: Address, port: int) -> bool:
        return address.version == self.network.version and address in self.network and self.port in (None, port)


def _system_resolver(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """What one organisation may reach. ``loopback`` is for development and tests; production settings refuse it.

    ``own`` are the catalogue's own services (database, cache, itself): closed even where a network is opened.
    """

    openings: tuple[Opening, ...] = ()
    own: tuple[Opening, ...] = ()
    loopback: bool = False
    resolver: Callable[[str, int], list[str]] = _system_resolver

    def as_dict(self) -> dict[str, Any]:
        """The policy as plain JSON, the form in which it reaches a worker."""
        return {
            "openings": [str(opening) for opening in self.openings],
            "own": [str(opening) for opening in self.own],
            "loopback": self.loopback,
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        return cls(
            openings=tuple(Opening.parse(text) for text in fields.get("openings", ())),
            own=tuple(Opening.parse(text) for text in fields.get("own", ())),
            loopback=bool(fields.get("loopback")),
        )

    def allows(self, address: Address, port: int) -> bool:
        if _within(address, _METADATA) or any(own.holds(address, port) for own in self.own):
            return False
        if _within(address, _LOOPBACK):
            return self.loopback
        if any(opening.holds(address, port) for opening in self.openings):
            return True
        return _is_public(address)

    def judge(self, address: Address, port: int, *, field: str = "/config/host") -> None:
        """Raise ``EgressDeniedError`` unless this policy lets the organisation reach the address."""
        if not self.allows(address, port):
            raise EgressDeniedError(
                f"{address} port {port} is not an address that this organisation may reach.",
                field=field,
                step="policy",
                hint="Ask the platform's operators to open this network for your organisation.",
            )

    def resolve(self, host: str, port: int, deadline: Deadline, *, field: str = "/config/host") -> list[Address]:
        """All addresses of ``host``, unjudged, at most ``MAX_ADDRESSES``."""
        try:
            name = require_host(host)
        except ValueError as exc:
            raise InvalidError(str(exc), field=field) from None
        literal = parse_address(name)
        if literal is not None:
            return [literal]
        deadline.require()
        try:
            found = self.resolver(name, port)
        except (OSError, UnicodeError):
            raise UnreachableError(
                f"The name {name} cannot be resolved.", field=field, step="resolve", hint="Check the spelling of the host."
            ) from None
        addresses = [address for text in found[:MAX_ADDRESSES] if (address := parse_address(text)) is not None]
        if not addresses:
            raise UnreachableError(f"The name {name} has no address.", field=field, step="resolve")
        return addresses

    def reach(self, host: str, port: int, deadline: Deadline, *, field: str = "/config/host") -> list[Address]:
        """The addresses of ``host``, every one judged. One closed address closes the name."""
        addresses = self.resolve(host, port, deadline, field=field)
        for address in addresses:
            self.judge(address, port, field=field)
        return addresses

    def connect(self, host: str, port: int, deadline: Deadline, *, field: str = "/config/host") -> socket.socket:
        """A TCP socket to a judged address of ``host``, with its timeout set to what is left."""
        return dial(self.reach(host, port, deadline, field=field), host, port, deadline, field=field)


def dial(
    addresses: Sequence[Address], host: str, port: int, deadline: Deadline, *, field: str = "/config/host"
) -> socket.socket:
    """A TCP socket to the first of the judged ``addresses`` that answers. ``host`` is for the message only."""
    reason = "it did not answer"
    for position, address in enumerate(addresses):
        share = deadline.require() / (len(addresses) - position)
        try:
            return socket.create_connection((str(address), port), timeout=share)
        except TimeoutError:
            reason = "it did not answer in time"
        except ConnectionRefusedError:
            reason = "it refused the connection"
        except OSError as exc:
            reason = exc.strerror or "the network is unreachable"
    raise UnreachableError(
        f"{host} port {port} cannot be reached: {reason}.",
        field=field,
        step="connect",
        hint="Check host and port, that the server is running, and that a firewall lets the catalogue through.",
    )


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return not _within(address, _CLOSED_V4)
    return address in _OPEN_V6 and not _within(address, _CLOSED_V6)
