"""Whom this machine asks for addresses."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

from connections.runner.isolation.sockets import Place

SETTINGS: Final = Path("/etc/resolv.conf")
PORT: Final = 53
_MOST: Final = 3  # the C library asks no more
_NONE_NAMED: Final = frozenset({Place(ipaddress.ip_address("127.0.0.1"), PORT)})


def is_nameserver(where: Place) -> bool:
    """Whether names are looked up there. Reads the system's settings as they are now."""
    return where.port == PORT and where in nameservers()


def nameservers() -> frozenset[Place]:
    """Those of the system's settings; the local one where none is named."""
    try:
        lines = SETTINGS.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    words = [line.split() for line in lines]
    named = [each[1] for each in words if len(each) > 1 and each[0] == "nameserver"][:_MOST]
    return frozenset(place for text in named if (place := _place(text)) is not None) or _NONE_NAMED


def _place(text: str) -> Place | None:
    address, _, interface = text.partition("%")
    with suppress(ValueError, OSError):
        scope = (int(interface) if interface.isdigit() else socket.if_nametoindex(interface)) if interface else 0
        return Place(ipaddress.ip_address(address), PORT, scope)
    return None
