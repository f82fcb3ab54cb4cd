"""Config and secrets as they come in with a request, and what is wrong with where things are in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from connections.adapters import schema
from connections.adapters.schema import Nested, Path, Problem, pointer
from connections.services import references
from connections.services.errors import Invalid

MAX_DEPTH = 8


def objects(config: Any, secrets: Any) -> tuple[Nested, Nested]:
    """Both as objects that are neither too deep nor hold what cannot be stored. Raises ``Invalid``."""
    for name, value in (("/config", config), ("/secrets", secrets)):
        if value is not None and not isinstance(value, dict):
            raise Invalid.at(name, "Send a JSON object.")
        if value and _depth(value) > MAX_DEPTH:
            raise Invalid.at(name, f"Nested deeper than {MAX_DEPTH} objects.")
        if value and _has_nul(value):
            raise Invalid.at(name, "A text holds the character NUL.")
    return config or {}, secrets or {}


def active_paths(model: type[BaseModel], config: Nested) -> list[Path]:
    """Paths of the secrets that the source has under these settings."""
    return schema.secret_paths(model, schema.join(config, {}))


def misplaced(model: type[BaseModel], config: Nested, secrets: Nested, whole: Nested | None = None) -> list[Problem]:
    """Secrets inside ``config``, settings inside ``secrets``, and secrets that cannot be what was meant."""
    merged = config if whole is None else whole
    active = set(active_paths(model, merged))
    plain = {path for path, field_ in schema.leaves(model, merged) if not schema.is_secret(field_)}
    found = [
        Problem(pointer("/config", path), "secret", "This is a secret: send it in secrets.")
        for path in active
        if _holds(config, path)
    ]
    for path in schema.paths(secrets):
        value, place = schema.get(secrets, path), schema.pointer_told("/secrets", path)
        if path in plain:
            found.append(Problem(place, "not_secret", "This is a plain setting: send it in config."))
        elif path not in active:
            found.append(Problem(place, "unknown", "This source has no such secret, or not with these settings."))
        elif value is None or isinstance(value, references.Reference):
            continue
        elif not isinstance(value, str):
            found.append(Problem(place, "invalid", references.TEXT_OR_REFERENCE))
        elif not value:
            found.append(Problem(place, "blank", "Leave the secret out to keep it; send null to clear it."))
        elif schema.is_mask(value):
            found.append(Problem(place, "mask", "This looks like a mask. Leave the secret out to keep it."))
    return found


def set_values(secrets: Nested, active: Iterable[Path]) -> Nested:
    """What is to be set. Nothing where the source has no secret: it could lie across one that is kept."""
    known = set(active)
    given = {path: schema.get(secrets, path) for path in schema.paths(secrets) if path in known}
    return nest({path: value for path, value in given.items() if value is not None})


def nest(values: Mapping[Path, Any]) -> Nested:
    """Values by path, nested."""
    nested: Nested = {}
    for path, value in values.items():
        schema.put(nested, path, value)
    return nested


def _holds(nested: Nested, path: Path) -> bool:
    inner = schema.get(nested, path[:-1]) if path[:-1] else nested
    return isinstance(inner, Mapping) and path[-1] in inner


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any("\0" in name or _has_nul(inner) for name, inner in value.items())
    if isinstance(value, list):
        return any(_has_nul(inner) for inner in value)
    return isinstance(value, str) and "\0" in value


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max((_depth(inner) for inner in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((_depth(inner) for inner in value), default=0)
    return 0
