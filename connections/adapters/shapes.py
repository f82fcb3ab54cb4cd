"""What kind of value a setting takes: the one reading of type annotations that forms and documentation share."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from connections.adapters import schema


class Kind(StrEnum):
    BOOLEAN = "boolean"
    INTEGER = "integer"
    NUMBER = "number"
    TEXT = "text"
    CHOICE = "choice"
    LIST = "list"
    MAP = "map"
    RECORDS = "records"
    MIXED = "mixed"  # text, or a JSON list or object
    JSON = "json"
    SECRET = "secret"  # noqa: S105
    GROUP = "group"
    UNION = "union"


SCALARS = frozenset({Kind.BOOLEAN, Kind.INTEGER, Kind.NUMBER, Kind.TEXT, Kind.CHOICE, Kind.MIXED})


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of a value, as declared: ``ge`` and ``le`` are inclusive, ``gt`` and ``lt`` are not."""

    ge: Any = None
    gt: Any = None
    le: Any = None
    lt: Any = None
    min_length: int | None = None
    max_length: int | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """The kind of a setting's value.

    ``choices`` are the JSON values of a CHOICE, in order. ``item`` is the shape of a LIST's items and a MAP's values.
    ``model`` is what each of RECORDS is. ``nullable`` says that it may be left out, with null for a meaning.
    """

    kind: Kind
    nullable: bool = False
    choices: tuple[Any, ...] = ()
    item: Shape | None = None
    model: type[BaseModel] | None = None
    bounds: Bounds = field(default_factory=Bounds)


def shape(info: FieldInfo) -> Shape:
    """The shape of one field of a model."""
    return _shape(info.annotation, tuple(info.metadata), secret=schema.is_secret(info), info=info)


def default(info: FieldInfo) -> Any:
    """A field's default as plain JSON; None when it has none or when it is null."""
    value = schema.default(info)
    return None if value is PydanticUndefined else to_jsonable_python(value)


def _shape(annotation: Any, notes: tuple[Any, ...], *, secret: bool = False, info: FieldInfo | None = None) -> Shape:
    alternatives = list(_alternatives(annotation, notes))
    nullable = any(kind is type(None) for kind, _ in alternatives)
    kinds = [kind for kind, _ in alternatives if kind is not type(None)]
    bounds = _bounds(note for _, found in alternatives for note in found)
    if secret:
        return Shape(Kind.SECRET, nullable, bounds=bounds)
    if kinds and all(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in kinds):
        union = info is not None and schema.discriminator(info) is not None
        return Shape(Kind.UNION if union else Kind.GROUP, nullable, model=kinds[0])
    if kinds and all(_is_choice(kind) for kind in kinds):
        return Shape(Kind.CHOICE, nullable, choices=tuple(value for kind in kinds for value in _choices(kind)))
    if len(kinds) != 1:
        return Shape(_several(kinds), nullable, bounds=bounds)
    return _single(kinds[0], nullable, bounds)


def _several(kinds: list[Any]) -> Kind:
    """The kind of a value that may be one of several types."""
    plain = [kind in (bool, int, float, str) or _is_choice(kind) for kind in kinds]
    if kinds and all(plain):
        return Kind.TEXT
    return Kind.MIXED if any(plain) else Kind.JSON


def _single(kind: Any, nullable: bool, bounds: Bounds) -> Shape:
    scalar = {bool: Kind.BOOLEAN, int: Kind.INTEGER, float: Kind.NUMBER}.get(kind)
    if scalar is not None:
        return Shape(scalar, nullable, bounds=bounds)
    origin = get_origin(kind) or kind
    arguments = get_args(kind)
    if isinstance(origin, type) and issubclass(origin, list | tuple | set | frozenset):
        return _list(arguments, nullable, bounds)
    if isinstance(origin, type) and issubclass(origin, dict | Mapping):
        return _map(arguments, nullable, bounds)
    if kind is Any or kind is object:
        return Shape(Kind.JSON, nullable)
    return Shape(Kind.TEXT, nullable, bounds=bounds)


def _list(arguments: tuple[Any, ...], nullable: bool, bounds: Bounds) -> Shape:
    if len(arguments) not in (1, 2) or (len(arguments) == 2 and arguments[1] is not Ellipsis):
        return Shape(Kind.JSON, nullable)
    item = _shape(arguments[0], ())
    if item.kind is Kind.GROUP and item.model is not None and _is_flat(item.model):
        return Shape(Kind.RECORDS, nullable, model=item.model, bounds=bounds)
    if item.kind not in SCALARS or item.nullable:
        return Shape(Kind.JSON, nullable)
    return Shape(Kind.LIST, nullable, item=item, bounds=bounds)


def _map(arguments: tuple[Any, ...], nullable: bool, bounds: Bounds) -> Shape:
    if len(arguments) != 2 or _shape(arguments[0], ()).kind is not Kind.TEXT:
        return Shape(Kind.JSON, nullable)
    item = _shape(arguments[1], ())
    if item.kind not in SCALARS:
        return Shape(Kind.JSON, nullable)
    return Shape(Kind.MAP, nullable, item=item, bounds=bounds)


def _is_flat(model: type[BaseModel]) -> bool:
    return all(shape(info).kind in SCALARS for info in model.model_fields.values())


def _alternatives(annotation: Any, notes: tuple[Any, ...]) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """The alternatives of a type, null among them, each with what ``Annotated`` says about it."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *found = get_args(annotation)
        yield from _alternatives(inner, (*notes, *found))
    elif origin in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from _alternatives(part, notes)
    else:
        yield annotation, notes


def _bounds(notes: Iterator[Any]) -> Bounds:
    found: dict[str, Any] = {}
    for note in notes:
        for part in note.metadata if isinstance(note, FieldInfo) else (note,):
            for name in Bounds.__dataclass_fields__:
                value = getattr(part, name, None)
                if value is not None:
                    found[name] = value
    return Bounds(**found)


def _is_choice(kind: Any) -> bool:
    return get_origin(kind) is Literal or (isinstance(kind, type) and issubclass(kind, Enum))


def _choices(kind: Any) -> tuple[Any, ...]:
    values = get_args(kind) if get_origin(kind) is Literal else tuple(kind)
    return tuple(value.value if isinstance(value, Enum) else value for value in values)
