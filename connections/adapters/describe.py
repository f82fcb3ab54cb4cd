"""A source's settings as rows, for documentation that is generated from the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from connections.adapters import schema
from connections.adapters.schema import Path, extra
from connections.adapters.shapes import Bounds, Kind, Shape, default, shape


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting. ``type`` is in words; ``default`` is plain JSON, None for none.

    ``endpoint`` is True when it decides where secrets go: changing it asks for them again. It is None for a secret.
    ``when`` says under which choice the setting exists (``auth.kind is key``), or is empty. ``example`` is plain JSON.
    """

    path: Path
    title: str
    type: str
    required: bool
    default: Any
    secret: bool
    endpoint: bool | None
    description: str
    section: str
    when: str = ""
    example: Any = None


def describe_model(model: type[BaseModel]) -> list[SettingRow]:
    """Every setting of ``model`` in the order of its schema, those of all branches included."""
    return list(_rows(model, (), section=None, endpoint=True, when=""))


def title_of(name: str, field: FieldInfo) -> str:
    """The setting's title, or its name in words: ``read_only`` is "Read only"."""
    return field.title or name.replace("_", " ").capitalize()


def type_words(kind: Shape) -> str:
    """A shape in plain words: ``whole number, 1 to 65535``."""
    if kind.kind is Kind.CHOICE:
        return "one of " + ", ".join(str(choice) for choice in kind.choices)
    if kind.item is not None:
        return ("list of " if kind.kind is Kind.LIST else "names, each with ") + type_words(kind.item)
    words = _WORDS[kind.kind]
    limits = _limits(kind.bounds, " characters" if kind.kind in (Kind.TEXT, Kind.SECRET) else "")
    return f"{words}, {limits}" if limits else words


_WORDS = {
    Kind.BOOLEAN: "yes or no",
    Kind.INTEGER: "whole number",
    Kind.NUMBER: "number",
    Kind.TEXT: "text",
    Kind.RECORDS: "list of rows",
    Kind.MIXED: "text or JSON",
    Kind.JSON: "JSON",
    Kind.SECRET: "secret text",
    Kind.GROUP: "group",
    Kind.UNION: "choice",
}


def _limits(bounds: Bounds, unit: str) -> str:
    low = next((value for value in (bounds.ge, bounds.min_length) if value is not None), None)
    high = next((value for value in (bounds.le, bounds.max_length) if value is not None), None)
    words = [
        f"over {bounds.gt}" if bounds.gt is not None else "",
        f"{low} to {high}{unit}" if low is not None and high is not None else "",
        f"at least {low}{unit}" if low is not None and high is None else "",
        f"at most {high}{unit}" if low is None and high is not None else "",
        f"under {bounds.lt}" if bounds.lt is not None else "",
    ]
    return ", ".join(word for word in words if word)


def _rows(
    model: type[BaseModel], prefix: Path, *, section: str | None, endpoint: bool, when: str, skip: str | None = None
) -> Iterator[SettingRow]:
    for name, field in model.model_fields.items():
        if name == skip:
            continue
        kind = shape(field)
        placed = section if section is not None else extra(field, "section") or ""
        decides = endpoint and schema.is_endpoint(field)
        row = _row((*prefix, name), field, kind, placed, decides, when)
        if kind.kind is Kind.UNION:
            yield from _branches(row, field, placed, decides)
        elif kind.kind is Kind.GROUP and kind.model is not None:
            used = _and(when, f"{'.'.join(row.path)} is used") if kind.nullable else when
            yield from _rows(kind.model, row.path, section=placed, endpoint=decides, when=used)
        else:
            yield row


def _branches(row: SettingRow, field: FieldInfo, section: str, endpoint: bool) -> Iterator[SettingRow]:
    """The choice itself, then the settings of each branch."""
    key = schema.discriminator(field) or ""
    branches: Sequence[type[BaseModel]] = schema.models(field)
    tags = [schema.tag(branch, key) for branch in branches]
    chosen = default(field)
    yield SettingRow(
        path=(*row.path, key),
        title=row.title,
        type="one of " + ", ".join(tags),
        required=row.required,
        default=chosen.get(key) if isinstance(chosen, dict) else None,
        secret=False,
        endpoint=endpoint,
        description=row.description,
        section=section,
        when=row.when,
    )
    for tag, branch in zip(tags, branches, strict=True):
        only = _and(row.when, f"{'.'.join((*row.path, key))} is {tag}")
        yield from _rows(branch, row.path, section=section, endpoint=endpoint, when=only, skip=key)


def _row(path: Path, field: FieldInfo, kind: Shape, section: str, endpoint: bool, when: str) -> SettingRow:
    secret = kind.kind is Kind.SECRET
    return SettingRow(
        path=path,
        title=title_of(path[-1], field),
        type=type_words(kind),
        required=field.is_required(),
        default=None if secret else default(field),
        secret=secret,
        endpoint=None if secret else endpoint,
        description=field.description or "",
        section=section,
        when=when,
        example=next(iter(field.examples or ()), None),
    )


def _and(when: str, more: str) -> str:
    return f"{when}, {more}" if when else more
