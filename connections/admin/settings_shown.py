"""The settings of a connection for those who may not change them: labels and values, of secrets only whether set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from pydantic import BaseModel

from connections.adapters import schema
from connections.adapters.schema import Path
from connections.admin.visible import as_json, visible
from connections.forms.wording import label
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
        labels = dict(_labels(adapter.config_class, config))
    plain = [Row(_label(path, labels), _text(value)) for path, value in _values(config)]
    secret = []
    for name, moment in vault.names(connection).items():
        day = parse_datetime(moment)
        text = _("Set on %(day)s") % {"day": day.date().isoformat()} if day else _("Set")
        secret.append(Row(_label(tuple(name.split(".")), labels), text, secret=True))
    return [*plain, *secret]


def _label(path: Path, labels: dict[Path, str]) -> str:
    """What the form calls a setting, after the groups that it is in. What the schema does not know, by its name."""
    starts = [path[: length + 1] for length in range(len(path))]
    return " › ".join(labels.get(start, start[-1].replace("_", " ").capitalize()) for start in starts)


def _labels(model: type[BaseModel], config: Mapping[str, Any], prefix: Path = ()) -> Iterator[tuple[Path, str]]:
    """The labels of settings and of groups of settings, by their paths."""
    for name, field in model.model_fields.items():
        path = (*prefix, name)
        yield path, str(label(name, field))
        value = config.get(name, schema.default(field))
        nested = schema.branch(field, value)
        if nested is not None:
            yield from _labels(nested, value if isinstance(value, Mapping) else {}, path)


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
