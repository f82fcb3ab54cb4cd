"""Connections: find, create, change, pause, clone, delete."""

from connections.services.connections.change import MAX_TAGS, TEXT_LIMITS, Change
from connections.services.connections.finding import STATUS_FILTERS, expiring_within, get, search, visible
from connections.services.connections.pausing import pause, resume
from connections.services.connections.saving import clone, create, delete, require_version, update

__all__ = [
    "MAX_TAGS",
    "STATUS_FILTERS",
    "TEXT_LIMITS",
    "Change",
    "clone",
    "create",
    "delete",
    "expiring_within",
    "get",
    "pause",
    "require_version",
    "resume",
    "search",
    "update",
    "visible",
]
