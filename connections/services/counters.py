"""Counters of rows, each one more than before, up to what a column holds."""

from __future__ import annotations

from typing import Final

from connections.services.errors import UsedUp

LAST: Final = 2**31 - 1
"""What an integer column of PostgreSQL holds. Nobody gets there by saving: such a row was edited from outside."""


def after(number: int) -> int:
    """The next value of a connection's counter. Raises ``UsedUp``."""
    if number >= LAST:
        raise UsedUp(
            "The connection's row was changed outside the catalogue: a counter in it is at its end.",
            hint="Clone the connection, enter the secrets there, and delete this one.",
        )
    return number + 1
