"""Stored settings as the source's schema of today has them, in memory: a row may be of an older version of it.

Where the versions agree, which is the rule, all of this is one comparison of numbers. Where an upgrade is missing or
fails, the settings stay what they were: the connection is then ``invalid``, and its form opens with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from connections.adapters import schema, upgrades
from connections.adapters.schema import Nested
from connections.adapters.upgrades import UpgradeError
from connections.models import Connection
from connections.services import sources
from connections.services.sources import AdapterClass

ValueT = TypeVar("ValueT")


def config(connection: Connection) -> Nested:
    """The connection's settings, upgraded where they are old and can be."""
    return stored_config(connection.source, connection.config, connection.schema_version)


def stored_config(source: str, stored: Nested, version: int) -> Nested:
    """A config that was stored under ``version``, as ``config`` gives it: what a connection had earlier, too."""
    adapter = _behind(source, version)
    try:
        return stored if adapter is None else upgrades.config(adapter, stored, version)
    except UpgradeError:
        return stored


def probe(connection: Connection) -> Nested:
    """The connection's probe query, upgraded where it is old and can be."""
    stored: Nested = connection.probe
    adapter = _behind(connection.source, connection.schema_version)
    try:
        return stored if adapter is None else upgrades.query(adapter, stored, connection.schema_version)
    except UpgradeError:
        return stored


def version(connection: Connection) -> int:
    """The version of the schema that ``config`` is of."""
    adapter = _behind(connection.source, connection.schema_version)
    return connection.schema_version if adapter is None or problem(connection) else adapter.config_class.schema_version


def problem(connection: Connection) -> str | None:
    """Why the settings cannot be brought to today's schema, in words, or None."""
    adapter = _behind(connection.source, connection.schema_version)
    if adapter is None:
        return None
    try:
        upgrades.config(adapter, connection.config, connection.schema_version)
    except UpgradeError as exc:
        return str(exc)
    return None


def by_name(connection: Connection, values: Mapping[str, ValueT]) -> dict[str, ValueT]:
    """``values`` of secrets by their dotted paths of today, given by those they were stored under; dropped ones go."""
    adapter = _behind(connection.source, connection.schema_version)
    if adapter is None:
        return dict(values)
    try:
        moved = {name: upgrades.secret(adapter, tuple(name.split(".")), connection.schema_version) for name in values}
    except UpgradeError:
        return dict(values)
    return {".".join(path): values[name] for name, path in moved.items() if path is not None}


def secrets(connection: Connection, opened: Nested) -> Nested:
    """Unsealed secrets at their paths of today."""
    if _behind(connection.source, connection.schema_version) is None:
        return opened
    by_path: dict[str, Any] = {".".join(path): schema.get(opened, path) for path in schema.paths(opened)}
    found: Nested = {}
    for name, value in by_name(connection, by_path).items():
        schema.put(found, tuple(name.split(".")), value)
    return found


def _behind(source: str, version: int) -> AdapterClass | None:
    """The source, when ``version`` is not its own; None when there is nothing to upgrade, or nobody to do it."""
    adapter = sources.find(source)
    return adapter if adapter is not None and adapter.config_class.schema_version != version else None
