"""A change of config, merged into what is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from connections.adapters import schema
from connections.adapters.schema import Nested


def merge(model: type[BaseModel], stored: Mapping[str, Any], patch: Mapping[str, Any]) -> Nested:
    """RFC 7396 on ``stored``, except that an object whose discriminator changes is replaced, not merged."""
    merged = dict(stored)
    for name, value in patch.items():
        field_ = model.model_fields.get(name)
        before = merged.get(name)
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(before, Mapping):
            tag = schema.discriminator(field_) if field_ is not None else None
            replaced = tag is not None and tag in value and value[tag] != before.get(tag)
            inner = schema.branch(field_, before) if field_ is not None else None
            merged[name] = _without_nulls(value) if replaced else merge(inner or BaseModel, before, value)
        else:
            merged[name] = _without_nulls(value) if isinstance(value, Mapping) else value
    return merged


def _without_nulls(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
