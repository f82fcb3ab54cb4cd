"""What is derived from a source's pydantic models: secret paths, the endpoint, problems with their pointers.

A path is a tuple of member names (``("auth", "password")``). Settings travel in two parts, ``config`` without and
``secrets`` with the secret members, both nested alike; ``join`` makes the whole that the model validates.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from connections.adapters.wrongs import words

Path = tuple[str, ...]
Nested = dict[str, Any]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_MASK = re.compile(r"(?=.*\S)[\s*•●∙·⦁⬤]+|\s*\[hidden\]\s*")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with what was sent. ``pointer`` is a JSON pointer into the request."""

    pointer: str
    code: str
    detail: str

    def as_dict(self) -> dict[str, str]:
        return {"pointer": self.pointer, "code": self.code, "detail": self.detail}


def pointer(prefix: str, path: Path | tuple[str | int, ...]) -> str:
    """``("auth", "a/b")`` under ``/config`` as ``/config/auth/a~1b``."""
    return prefix + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def pointer_told(prefix: str, path: Path | tuple[str | int, ...]) -> str:
    """As ``pointer``, up to the first part that is no usual name: a secret may have been sent in a name's place."""
    odd = next((at for at, part in enumerate(path) if not _NAME.fullmatch(str(part))), len(path))
    return pointer(prefix, path[:odd])


def members(annotation: Any) -> tuple[Any, ...]:
    """The alternatives of a field's type, without None and without ``Annotated`` around them."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return members(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return tuple(kind for part in get_args(annotation) for kind in members(part))
    return () if annotation is type(None) else (annotation,)


def discriminator(field: FieldInfo) -> str | None:
    """The name of the member that says which alternative of a discriminated field is meant."""
    if isinstance(field.discriminator, str):
        return field.discriminator
    for part in get_args(field.annotation):
        for note in get_args(part)[1:] if get_origin(part) is Annotated else ():
            if isinstance(note, FieldInfo) and isinstance(note.discriminator, str):
                return note.discriminator
    return None


def models(field: FieldInfo) -> tuple[type[BaseModel], ...]:
    """The nested models a field may hold: none, one, or the branches of a discriminated union."""
    return tuple(kind for kind in members(field.annotation) if isinstance(kind, type) and issubclass(kind, BaseModel))


def tag(branch: type[BaseModel], name: str) -> str:
    """The value of a branch's discriminator member."""
    (value,) = get_args(branch.model_fields[name].annotation)
    return str(value)


def branch(field: FieldInfo, value: Any) -> type[BaseModel] | None:
    """The nested model that ``value`` (plain JSON) means, or None when it means none."""
    choices = models(field)
    name = discriminator(field)
    if not choices:
        return None
    if name is None:
        return choices[0] if isinstance(value, Mapping) or value is PydanticUndefined else None
    if not isinstance(value, Mapping):
        return None
    return next((choice for choice in choices if tag(choice, name) == value.get(name)), None)


def default(field: FieldInfo) -> Any:
    """A field's default as plain JSON; ``PydanticUndefined`` when it must be given."""
    value = field.get_default(call_default_factory=True, validated_data={})
    return value.model_dump(mode="json", exclude_none=True) if isinstance(value, BaseModel) else value


def is_secret(field: FieldInfo) -> bool:
    return any(kind in (SecretStr, SecretBytes) for kind in members(field.annotation))


def is_mask(text: str) -> bool:
    """Whether ``text`` is what is shown in place of a secret (stars, bullets), and so cannot be meant as one."""
    return _MASK.fullmatch(text) is not None


def is_endpoint(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return not (isinstance(extra, dict) and extra.get("endpoint") is False)


def extra(field: FieldInfo, name: str) -> Any:
    """One of our own marks on a field (``section``, ``widget``), or None."""
    return field.json_schema_extra.get(name) if isinstance(field.json_schema_extra, dict) else None


def leaves(model: type[BaseModel], config: Mapping[str, Any], prefix: Path = ()) -> Iterator[tuple[Path, FieldInfo]]:
    """Every plain and secret setting that is active under ``config``, nested ones included, in schema order.

    An optional nested model counts when ``config`` has it; of a union only the chosen branch does.
    """
    for name, field in model.model_fields.items():
        value = config.get(name, default(field))
        nested = branch(field, value)
        if nested is not None:
            yield from leaves(nested, value if isinstance(value, Mapping) else {}, (*prefix, name))
        elif not models(field):
            yield (*prefix, name), field


def secret_paths(model: type[BaseModel], config: Mapping[str, Any]) -> list[Path]:
    """Paths of the secrets that are active under ``config``, set or not."""
    return [path for path, field in leaves(model, config) if is_secret(field)]


def endpoint(model: type[BaseModel], config: Mapping[str, Any]) -> Nested:
    """The part of ``config`` that decides where its secrets go: all that is not marked otherwise."""
    found: Nested = {}
    for name, field in model.model_fields.items():
        if not is_endpoint(field) or is_secret(field) or name not in config:
            continue
        nested = branch(field, config[name])
        found[name] = endpoint(nested, config[name]) if nested is not None else config[name]
    return found


def get(nested: Mapping[str, Any], path: Path) -> Any:
    """The value at ``path``, or None."""
    value: Any = nested
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def put(nested: Nested, path: Path, value: Any) -> None:
    """Set the value at ``path``, making the objects on the way."""
    for name in path[:-1]:
        nested = nested.setdefault(name, {})
    nested[path[-1]] = value


def paths(nested: Mapping[str, Any], prefix: Path = ()) -> Iterator[Path]:
    """The paths of all values in ``nested`` that are not objects themselves."""
    for name, value in nested.items():
        if isinstance(value, Mapping):
            yield from paths(value, (*prefix, name))
        else:
            yield (*prefix, name)


def join(config: Mapping[str, Any], secrets: Mapping[str, Any]) -> Nested:
    """``config`` and ``secrets`` as the one object that the model validates."""
    whole = {name: (dict(value) if isinstance(value, Mapping) else value) for name, value in config.items()}
    for name, value in secrets.items():
        inner = whole.get(name)
        whole[name] = join(inner if isinstance(inner, Mapping) else {}, value) if isinstance(value, Mapping) else value
    return whole


def split(settings: BaseModel) -> tuple[Nested, Nested]:
    """A validated model as ``(config, secrets)`` in plain JSON; defaults are written out, nulls left out."""
    config: Nested = {}
    secrets: Nested = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if value is None:
            continue
        if isinstance(value, BaseModel):
            config[name], inner = split(value)
            if inner:
                secrets[name] = inner
        elif isinstance(value, SecretStr):
            secrets[name] = value.get_secret_value()
        elif isinstance(value, SecretBytes):
            secrets[name] = value.get_secret_value().decode()
        else:
            config[name] = settings.model_dump(mode="json", include={name})[name]
    return config, secrets


def problems(exc: ValidationError, model: type[BaseModel], *, config: str, secrets: str) -> list[Problem]:
    """A validation error as problems, each pointing into the part it was sent in. Values are never repeated.

    ``config`` and ``secrets`` are the pointers of the two parts: ``/config`` and ``/secrets``.
    """
    found = []
    for error in exc.errors(include_input=False, include_url=False):
        path, secret = _locate(model, error["loc"])
        code = (
            "required" if error["type"] == "missing" else "unknown" if error["type"] == "extra_forbidden" else "invalid"
        )
        found.append(Problem(pointer_told(secrets if secret else config, path), code, words(error)))
    return found


def _locate(model: type[BaseModel], loc: tuple[str | int, ...]) -> tuple[tuple[str | int, ...], bool]:
    """An error's place as a path without the tags that pydantic adds for unions, and whether it is a secret's."""
    path: list[str | int] = []
    current: type[BaseModel] | None = model
    secret = False
    parts = list(loc)
    while parts:
        part = parts.pop(0)
        path.append(part)
        field = current.model_fields.get(str(part)) if current is not None else None
        current = None
        if field is None:
            continue
        secret = is_secret(field)
        name = discriminator(field)
        if name is not None and parts:
            chosen = str(parts.pop(0))
            current = next((choice for choice in models(field) if tag(choice, name) == chosen), None)
        elif models(field):
            current = models(field)[0]
            if parts and parts[0] == current.__name__:
                parts.pop(0)
    return tuple(path), secret
