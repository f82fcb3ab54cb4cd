"""Which addresses are closed to all, and what an address really leads to.

The standard library's ``is_private`` and ``is_global`` have gaps (translated, mapped and carrier ranges), so the table
is our own.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator, Sequence
from functools import cache

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
METADATA: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "169.254.0.0/16",
        "100.100.100.200/32",
        "192.0.0.192/32",
        "168.63.129.16/32",
        "fd00:ec2::/32",  # Amazon: metadata at ::254, pods' credentials at ::23
        "fd20:ce::254/128",  # Google
        "fd00:42::42/128",  # Scaleway
        "fe80::/10",
        "::/128",
        "0.0.0.0/8",
        "255.255.255.255/32",  # it can be bound, as if it were this host's
    )
)
LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))

# IPv4 inside IPv6: what stands there is where a translator or a tunnel would go on to. Bits from the right.
_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = ipaddress.IPv6Network("::/96")


def faces(address: Address) -> Iterator[Address]:
    """``address``, and the IPv4 addresses that it may lead to."""
    yield address
    if isinstance(address, ipaddress.IPv4Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    elif any(address in network for network in (*_NAT64, _COMPATIBLE)) and int(address) > 1:
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    elif address.sixtofour is not None:
        yield address.sixtofour
    elif address.teredo is not None:
        yield from address.teredo


def is_this_host(address: Address) -> bool:
    """Whether ``address`` is one of this machine's: only those can be bound. Sends nothing."""
    if _binds_anything():
        return False
    return not (address.is_multicast or address.is_unspecified) and binds(address)


@cache
def _binds_anything() -> bool:
    """Whether the system binds addresses that are not its own (``ip_nonlocal_bind``): then binding tells nothing."""
    return binds(ipaddress.IPv4Address("192.0.2.1"))


def binds(address: Address) -> bool:
    """Whether this machine lets a socket have ``address``. Sends nothing."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return not within(address, _CLOSED_V4)
    return address in _OPEN_V6 and not within(address, _CLOSED_V6)
