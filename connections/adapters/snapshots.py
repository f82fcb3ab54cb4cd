"""Snapshots: what a version of a source's schema was, kept as a file beside the source.

``manage.py schemas`` writes and compares them. They are also how the endpoint of settings of an older version is
known: secrets are sealed for the endpoint under the schema of their time.

The files are ``schemas/<source>.<version>.json`` in the package that holds the source's module; beside a module that
is in no package, the folder is ``<module>_schemas``.
"""

from __future__ import annotations

import functools
import json
import pathlib
import sys
from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from connections.adapters import schema
from connections.adapters.describe import describe_model
from connections.adapters.schema import Nested

if TYPE_CHECKING:
    from connections.adapters.base import Adapter

Snapshot = dict[str, Any]
ANNOTATIONS = frozenset({"title", "description", "examples", "section", "widget"})
"""Members of a JSON Schema that say nothing about what is valid. A new wording is no new schema."""
NAMED = frozenset({"properties", "$defs"})
"""Members whose own members are names, not words of JSON Schema."""
VALUES = frozenset({"default", "const", "enum"})
"""Members that hold values."""


def of(adapter: type[Adapter[Any, Any]]) -> Snapshot:
    """The schema of ``adapter`` as it is now."""
    rows = describe_model(adapter.config_class)
    return {
        "source": adapter.id,
        "version": adapter.config_class.schema_version,
        "endpoint": _endpoint_fields(adapter.config_class),
        "secrets": sorted({".".join(row.path) for row in rows if row.secret}),
        "config": _schema(adapter.config_class),
        "query": _schema(adapter.query_class),
    }


def text(snapshot: Snapshot) -> str:
    """A snapshot as its file has it."""
    return json.dumps(snapshot, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def folder(adapter: type[Adapter[Any, Any]]) -> pathlib.Path:
    """Where the snapshots of a source are kept."""
    module = sys.modules[adapter.__module__]
    parent = sys.modules.get(adapter.__module__.rpartition(".")[0])
    own = pathlib.Path(str(module.__file__))
    if parent is not None and parent.__file__ is not None:
        return pathlib.Path(parent.__file__).parent / "schemas"
    return own.parent / "schemas" if hasattr(module, "__path__") else own.with_name(f"{own.stem}_schemas")


def file(adapter: type[Adapter[Any, Any]], version: int) -> pathlib.Path:
    return folder(adapter) / f"{adapter.id}.{version}.json"


def kept(adapter: type[Adapter[Any, Any]]) -> dict[int, Snapshot]:
    """The kept snapshots by version."""
    found = {}
    for place in folder(adapter).glob(f"{adapter.id}.*.json"):
        number = place.name.removeprefix(f"{adapter.id}.").removesuffix(".json")
        if number.isdecimal():
            found[int(number)] = json.loads(place.read_text())
    return dict(sorted(found.items()))


def strays(place: pathlib.Path, sources: Container[str]) -> dict[str, list[str]]:
    """The snapshots in the folder ``place`` of other sources than these: the names of their files, by id."""
    found: dict[str, list[str]] = {}
    for each in sorted(place.glob("*.json")):
        source, _, number = each.name.removesuffix(".json").rpartition(".")
        if number.isdecimal() and source not in sources:
            found.setdefault(source, []).append(each.name)
    return found


def endpoint(adapter: type[Adapter[Any, Any]], config: Mapping[str, Any], version: int) -> Nested | None:
    """The endpoint of ``config`` under ``version`` of the schema; None where nothing is known of that version."""
    if version == adapter.config_class.schema_version:
        return schema.endpoint(adapter.config_class, config)
    fields = _kept_fields(file(adapter, version))
    return None if fields is None else _select(fields, config)


@functools.cache
def _kept_fields(place: pathlib.Path) -> Nested | None:
    """The endpoint's fields of a kept snapshot. Read once: the file comes with the code."""
    try:
        fields: Nested = json.loads(place.read_text())["endpoint"]
    except FileNotFoundError:
        return None
    return fields


def _endpoint_fields(model: type[BaseModel]) -> Nested:
    """What ``schema.endpoint`` selects, as data: a field is True, a group ``{"of"}``, a choice ``{"by", "of"}``."""
    found: Nested = {}
    for name, field in model.model_fields.items():
        if not schema.is_endpoint(field) or schema.is_secret(field):
            continue
        key, nested = schema.discriminator(field), schema.models(field)
        if key is not None:
            found[name] = {"by": key, "of": {schema.tag(each, key): _endpoint_fields(each) for each in nested}}
        else:
            found[name] = {"of": _endpoint_fields(nested[0])} if nested else True
    return found


def _select(fields: Nested, config: Mapping[str, Any]) -> Nested:
    found: Nested = {}
    for name, node in fields.items():
        if name not in config:
            continue
        value = config[name]
        inner = None
        if node is not True and isinstance(value, Mapping):
            inner = node["of"].get(value.get(node["by"])) if "by" in node else node["of"]
        found[name] = value if inner is None else _select(inner, value)
    return found


def _schema(model: type[BaseModel]) -> Nested:
    """The JSON Schema of ``model`` without what is only told, and with the defaults that a factory makes."""
    whole = model.model_json_schema()
    _put_defaults(model, whole, whole.get("$defs", {}))
    return {name: _bare(name, value) for name, value in whole.items() if name not in ANNOTATIONS}


def _put_defaults(model: type[BaseModel], node: Nested, definitions: Nested) -> None:
    for name, field in model.model_fields.items():
        if field.default_factory is not None and not schema.is_secret(field):
            node["properties"][name]["default"] = to_jsonable_python(schema.default(field))
        for each in schema.models(field):
            if each.__name__ in definitions:
                _put_defaults(each, definitions[each.__name__], definitions)


def _bare(name: str, value: Any) -> Any:
    if name in VALUES:
        return value
    if isinstance(value, dict):
        named = name in NAMED
        return {
            key: _bare("" if named else key, each) for key, each in value.items() if named or key not in ANNOTATIONS
        }
    if isinstance(value, list):
        return [_bare("", each) for each in value]
    return value
