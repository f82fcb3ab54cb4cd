"""The settings of a connection for those who may not change them: labels and values, of secrets only whether set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from connections.adapters import schema
from connections.adapters.schema import Path
from connections.admin.visible import as_json, visible
from connections.models import Connection
from connections.services import sources, upgrading, vault


@dataclass(frozen=True, slots=True)
class Row:
    label: str
    value: str
    secret: bool = False


def rows(connection: Connection) -> list[Row]:
    """Every stored setting, in the order of the schema, then every secret that is set."""
    adapter = sources.find(connection.source)
    labels: dict[Path, str] = {}
    config = upgrading.config(connection)
    if adapter is not None:
        for path, field in schema.leaves(adapter.config_class, config):
            labels[path] = field.title or path[-1].replace("_", " ").capitalize()
    plain = [Row(_label(path, labels), _text(value)) for path, value in _values(config)]
    secret = []
    for name, moment in vault.names(connection).items():
        day = parse_datetime(moment)
        text = _("Set on %(day)s") % {"day": day.date().isoformat()} if day else _("Set")
        secret.append(Row(_label(tuple(name.split(".")), labels), text, secret=True))
    return [*plain, *secret]


def _label(path: Path, labels: dict[Path, str]) -> str:
    own = labels.get(path, path[-1].replace("_", " ").capitalize())
    return " › ".join([*(part.replace("_", " ").capitalize() for part in path[:-1]), own])


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(_("Yes") if value else _("No"))
    return visible(value if isinstance(value, str) else as_json(value))


def _values(nested: dict[str, Any], prefix: Path = ()) -> Iterator[tuple[Path, Any]]:
    for name, value in nested.items():
        if isinstance(value, dict) and value:
            yield from _values(value, (*prefix, name))
        else:
            yield (*prefix, name), value
