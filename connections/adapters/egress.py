"""Egress: which addresses an adapter may reach.

A host name says nothing about where a connection ends, so every address it resolves to is judged, at every attempt,
and the adapter connects to an address that was judged in that same attempt.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

from connections.adapters.addresses import LOOPBACK, METADATA, Address, Network, faces, is_public, is_this_host, within
from connections.adapters.errors import EgressDeniedError, InvalidError, UnreachableError
from connections.adapters.limits import Deadline
from connections.adapters.vouching import vouched

MAX_ADDRESSES = 16
RESOLVE_SECONDS = 10.0
PLAIN_HOST = "Enter a host name or an IP address, without scheme, port, path or user."
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
        if "%" in bare:
            raise ValueError("Enter the address without a scope id.")
        return str(_standard(ipaddress.IPv6Address, bare, PLAIN_HOST))
    labels = bare.removesuffix(".").split(".")
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(PLAIN_HOST)
    if re.fullmatch(r"(0[xX][0-9a-fA-F]*|[0-9]+)", labels[-1]):
        return str(_standard(ipaddress.IPv4Address, bare, "Enter an address as four plain numbers, like 192.0.2.1."))
    return bare


def _standard(kind: Callable[[str], Address], text: str, otherwise: str) -> Address:
    """The address in its standard form. What was entered, perhaps with a password in it, is in no error."""
    try:
        return kind(text)
    except ValueError:
        raise ValueError(otherwise) from None


@dataclass(frozen=True, slots=True)
class Opening:
    """A network that an organisation may reach although it is closed to all. ``port`` None means any."""

    network: Network
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """``10.1.0.0/16``, ``10.1.2.3/32:5432`` or ``[fd00::/8]:5432``."""
        return cls(*_network_and_port(text))

    def __str__(self) -> str:
        return f"[{self.network}]:{self.port}" if self.port else str(self.network)

    def holds(self, address: Address, port: int) -> bool:
        return address.version == self.network.version and address in self.network and self.port in (None, port)


@lru_cache(1024)
def _network_and_port(text: str) -> tuple[Network, int | None]:
    """Kept, as the same few are read for every preview."""
    found = re.fullmatch(r"\[?([0-9a-fA-F.:]+/\d+)\]?(?::(\d+))?", text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a network such as 10.1.0.0/16 or 10.1.2.3/32:5432.")
    return ipaddress.ip_network(found[1]), int(found[2]) if found[2] else None


def _system_resolver(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """What one organisation may reach. ``loopback`` is for development and tests; production settings refuse it.

    ``own`` are the catalogue's own services (database, cache, itself): closed even where a network is opened, as are
    ``own_names``, the names it answers to, in lower case. This host's own addresses are loopback by another name.
    """

    openings: tuple[Opening, ...] = ()
    own: tuple[Opening, ...] = ()
    own_names: tuple[str, ...] = ()
    loopback: bool = False
    resolver: Callable[[str, int], list[str]] = _system_resolver

    def as_dict(self) -> dict[str, Any]:
        """The policy as plain JSON, the form in which it reaches a worker."""
        return {
            "openings": [str(opening) for opening in self.openings],
            "own": [str(opening) for opening in self.own],
            "own_names": list(self.own_names),
            "loopback": self.loopback,
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        return cls(
            openings=tuple(Opening.parse(text) for text in fields.get("openings", ())),
            own=tuple(Opening.parse(text) for text in fields.get("own", ())),
            own_names=tuple(fields.get("own_names", ())),
            loopback=bool(fields.get("loopback")),
        )

    def allows(self, address: Address, port: int) -> bool:
        leads_to = tuple(faces(address))
        if any(within(face, METADATA) or any(own.holds(face, port) for own in self.own) for face in leads_to):
            return False
        if any(within(face, LOOPBACK) or is_this_host(face) for face in leads_to):
            return self.loopback and len(leads_to) == 1
        if any(opening.holds(address, port) for opening in self.openings):
            return True
        return is_public(address)

    def judge(self, address: Address, port: int, *, field: str = "/config/host") -> None:
        """Raise ``EgressDeniedError`` unless this policy lets the organisation reach the address."""
        if not self.allows(address, port):
            raise denied(address, port, field=field)
        vouched.add(address, port)

    def resolve(self, host: str, port: int, deadline: Deadline, *, field: str = "/config/host") -> list[Address]:
        """All addresses of ``host``, unjudged, at most ``MAX_ADDRESSES``."""
        try:
            name = require_host(host)
        except ValueError as exc:
            raise InvalidError(str(exc), field=field) from None
        literal = parse_address(name)
        if literal is not None:
            return [literal]
        self._require_not_ours(name, field)
        found = self._looked_up(name, port, deadline, field)
        addresses = [address for text in found[:MAX_ADDRESSES] if (address := parse_address(text)) is not None]
        if not addresses:
            raise UnreachableError(f"The name {name} has no address.", field=field, step="resolve")
        return addresses

    def _require_not_ours(self, name: str, field: str) -> None:
        plain = name.removesuffix(".").lower()
        for own in self.own_names:
            if plain == own:
                raise EgressDeniedError(
                    f"{name} is the catalogue's own name: it is not a source.", field=field, step="policy"
                )

    def _looked_up(self, name: str, port: int, deadline: Deadline, field: str) -> list[str]:
        """What the resolver finds, within the deadline: the system's own patience is longer, and it cannot be told."""
        answers: list[list[str]] = []

        def look_up() -> None:
            try:
                answers.append(self.resolver(name, port))
            except (OSError, UnicodeError):
                answers.append([])

        asking = threading.Thread(target=look_up, name="resolver", daemon=True)
        asking.start()
        asking.join(min(deadline.require(), RESOLVE_SECONDS))
        if not answers:
            deadline.require()
            raise UnreachableError(f"The name {name} was not resolved in time.", field=field, step="resolve")
        if not answers[0]:
            raise UnreachableError(
                f"The name {name} cannot be resolved.",
                field=field,
                step="resolve",
                hint="Check the spelling of the host.",
            )
        return answers[0]

    def reach(self, host: str, port: int, deadline: Deadline, *, field: str = "/config/host") -> list[Address]:
        """The addresses of ``host``, every one judged. One closed address closes the name."""
        addresses = self.resolve(host, port, deadline, field=field)
        for address in addresses:
            self.judge(address, port, field=field)
        return addresses

    def connect(self, host: str, port: int, deadline: Deadline, *, field: str = "/config/host") -> socket.socket:
        """A TCP socket to a judged address of ``host``, with its timeout set to what is left."""
        return dial(self.reach(host, port, deadline, field=field), host, port, deadline, field=field)


def denied(address: Address, port: int, *, field: str | None = None) -> EgressDeniedError:
    """What is told of an address that is closed to an organisation."""
    return EgressDeniedError(
        f"{address} port {port} is not an address that this organisation may reach.",
        field=field,
        step="policy",
        hint="Ask the platform's operators to open this network for your organisation.",
    )


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
        except PermissionError:  # from under this process: its supervisor's judgement, or the system's firewall
            raise denied(address, port, field=field) from None
        except OSError as exc:
            reason = exc.strerror or "the network is unreachable"
    raise UnreachableError(
        f"{host} port {port} cannot be reached: {reason}.",
        field=field,
        step="connect",
        hint="Check host and port, that the server is running, and that a firewall lets the catalogue through.",
    )
