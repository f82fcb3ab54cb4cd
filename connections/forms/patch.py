"""The JSON Merge Patch from stored settings to new ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from connections.adapters import schema
from connections.adapters.schema import Nested


def changes(model: type[BaseModel] | None, old: Mapping[str, Any], new: Mapping[str, Any]) -> Nested:
    """What turns ``old`` into ``new`` by RFC 7396: changed members, and null for those that are gone.

    Where another branch of a choice is taken, the new object comes whole, as the old one is replaced and not merged.
    """
    patch: Nested = {name: None for name in old if name not in new and old[name] is not None}
    for name, value in new.items():
        before = old.get(name)
        if name in old and before == value:
            continue
        field = model.model_fields.get(name) if model is not None else None
        branch = schema.branch(field, value) if field is not None else None
        same = field is None or branch is schema.branch(field, before)
        if isinstance(value, Mapping) and isinstance(before, Mapping) and same:
            patch[name] = changes(branch, before, value)
        else:
            patch[name] = value
    return patch
