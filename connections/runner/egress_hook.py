"""A net under every driver written in Python: this process connects to places that were judged in the running job.

Each adapter connects to judged addresses by itself. A driver that resolves, redirects or discovers by itself would
go elsewhere; Python tells its audit hooks before it does. What connects in C (libpq) is not seen here: the dialler
(``runner.dialling``) holds for all. This one is stricter, as it knows what was judged in this very job, and names it.
"""

from __future__ import annotations

import ipaddress
import sys
from typing import Any, Final

from connections.adapters.vouching import vouched

_EVENTS: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})


def install() -> bool:
    """Watch this process from now on; there is no way back. True, as it is in force everywhere."""
    if not vouched.watched:
        vouched.watched = True
        sys.addaudithook(_watch)
    return True


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in _EVENTS:
        return
    address = arguments[1]
    if address is None or _place(address) in vouched:  # None: along a connection that stands
        return
    vouched.refused = vouched.refused or _described(address)
    raise PermissionError("This address was not judged.")


def _place(address: Any) -> tuple[str, int]:
    """Address and port in the form in which they are judged; of anything else, what no judge has ever seen."""
    try:
        return str(ipaddress.ip_address(address[0])), address[1]
    except (ValueError, TypeError, IndexError):
        return "", 0


def _described(address: Any) -> str:
    if isinstance(address, tuple) and len(address) >= 2:
        return f"{address[0]} port {address[1]}"
    return "a socket of this machine"
