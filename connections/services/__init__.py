"""What the catalogue does. Permission, tenancy, events and quotas live here, once; doors only translate."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connections.services.frames import read

__all__ = ["read"]


def __getattr__(name: str) -> object:
    """``services.read`` is the door for Python programs; it loads when it is used."""
    if name == "read":
        from connections.services.frames import read

        return read
    raise AttributeError(name)
