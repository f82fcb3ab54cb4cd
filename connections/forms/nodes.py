"""A pydantic model as a tree of inputs. Built once for each model; knows no values.

Every input has a name: ``config__tls__mode``, ``secrets__password``. Inputs of a branch carry its tag
(``config__auth__key__user``), as two branches may have settings of one name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from connections.adapters import schema
from connections.adapters.schema import Path
from connections.adapters.shapes import Kind, Shape, shape

SECRETS = "secrets"


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """One setting with one input. ``certain`` is False inside a branch or an optional group."""

    path: Path
    name: str
    field: FieldInfo
    shape: Shape
    certain: bool

    @property
    def secret(self) -> bool:
        return self.shape.kind is Kind.SECRET


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """A nested model that is always there."""

    path: Path
    field: FieldInfo
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False)
class OptionalGroup:
    """A nested model that may be absent. ``name`` is the checkbox that says whether it is used."""

    path: Path
    name: str
    field: FieldInfo
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    tag: str
    model: type[BaseModel]
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """One of several nested models. ``name`` is the select that says which; ``key`` is its member in the settings."""

    path: Path
    name: str
    field: FieldInfo
    key: str
    nullable: bool
    branches: tuple[Branch, ...]

    def branch(self, tag: Any) -> Branch | None:
        return next((branch for branch in self.branches if branch.tag == tag), None)


Control = OptionalGroup | Choice
Node = Leaf | Group | Control
Chosen = Callable[[Control], Any]
"""What the inputs say now: whether an optional group is used (a bool), which branch is chosen (its tag)."""


@cache
def tree(model: type[BaseModel], part: str) -> tuple[Node, ...]:
    """The inputs of ``model``. ``part`` is the member of a request that they make up: ``config`` or ``query``."""
    return tuple(_nodes(model, (), part, "", certain=True))


def walk(nodes: Sequence[Node]) -> Iterator[Node]:
    """All nodes, those of every branch included."""
    for node in nodes:
        yield node
        for inner in node.branches if isinstance(node, Choice) else ():
            yield from walk(inner.nodes)
        if isinstance(node, Group | OptionalGroup):
            yield from walk(node.nodes)


def active(node: Node, chosen: Chosen) -> tuple[Node, ...]:
    """The nodes inside ``node`` that count under what is chosen."""
    if isinstance(node, Group):
        return node.nodes
    if isinstance(node, OptionalGroup):
        return node.nodes if chosen(node) else ()
    if isinstance(node, Choice):
        branch = node.branch(chosen(node))
        return branch.nodes if branch is not None else ()
    return ()


def find(nodes: Sequence[Node], path: Sequence[str], chosen: Chosen) -> Node | None:
    """The node that ``path`` is about: the nearest that stands, or None when its first member is not known."""
    for node in nodes:
        if not path or node.path[-1] != path[0]:
            continue
        return find(active(node, chosen), path[1:], chosen) or node
    return None


def _nodes(
    model: type[BaseModel], prefix: Path, part: str, stem: str, *, certain: bool, skip: str = ""
) -> Iterator[Node]:
    for name, field in model.model_fields.items():
        if name == skip:
            continue
        path, suffix = (*prefix, name), f"{stem}__{name}"
        kind = shape(field)
        if kind.kind is Kind.UNION:
            yield _choice(field, kind, path, part, suffix)
        elif kind.kind is Kind.GROUP and kind.model is not None:
            inner = tuple(_nodes(kind.model, path, part, suffix, certain=certain and not kind.nullable))
            # The hyphen keeps the checkbox apart from a setting that is called "use".
            use = f"{part}{suffix}-use"
            yield OptionalGroup(path, use, field, inner) if kind.nullable else Group(path, field, inner)
        else:
            secret = kind.kind is Kind.SECRET
            yield Leaf(path, f"{SECRETS if secret else part}{suffix}", field, kind, certain)


def _choice(field: FieldInfo, kind: Shape, path: Path, part: str, stem: str) -> Choice:
    key = schema.discriminator(field) or ""
    branches = []
    for model in schema.models(field):
        tag = schema.tag(model, key)
        inside = f"{stem}__{re.sub(r'[^A-Za-z0-9_]', '-', tag)}"
        branches.append(Branch(tag, model, tuple(_nodes(model, path, part, inside, certain=False, skip=key))))
    return Choice(path, f"{part}{stem}__{key}", field, key, kind.nullable, tuple(branches))
