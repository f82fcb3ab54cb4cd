"""The inputs of a tree under given settings: each node's Django field and what it shows at first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from connections.adapters import schema
from connections.adapters.schema import Path
from connections.adapters.shapes import Kind, default
from connections.forms.fields import form_field
from connections.forms.nodes import SECRETS, Choice, Control, Leaf, Node, OptionalGroup
from connections.forms.secrets import SecretWidget
from connections.forms.wording import branch_label, label, translated

SetAt = datetime | bool | None
"""When a secret was set; True when it is set and the time is not known."""


@dataclass(frozen=True, slots=True)
class Input:
    """One input. ``initial`` is its JSON value, a checkbox's bool, a choice's tag; always None for a secret."""

    node: Leaf | Control
    field: forms.Field
    initial: Any


@dataclass(frozen=True, slots=True)
class Inputs:
    """Makes inputs. ``part`` starts the pointers of plain settings; ``secrets_set`` tells which secrets are stored.

    ``references`` tells which of those are kept elsewhere, and where; None where none may be.
    """

    part: str
    secrets_set: Mapping[Path, SetAt]
    references: Mapping[Path, str] | None = None

    def of(self, nodes: Sequence[Node], values: Mapping[str, Any], *, stored: bool = True) -> Iterator[Input]:
        """The inputs of ``nodes``, whose values are ``values``. ``stored`` is False in a branch that is not in use."""
        for node in nodes:
            name = node.path[-1]
            value = values[name] if name in values else default(node.field)
            if isinstance(node, Leaf):
                yield self._leaf(node, value, stored=stored)
            elif isinstance(node, Choice):
                yield from self._choice(node, value, stored=stored)
            else:
                there = isinstance(value, Mapping)
                if isinstance(node, OptionalGroup):
                    yield self._use(node, used=there)
                yield from self.of(node.nodes, value if there else {}, stored=stored and there)

    def _leaf(self, leaf: Leaf, value: Any, *, stored: bool) -> Input:
        if leaf.secret:
            value = None
        elif value is None and leaf.shape.kind is Kind.BOOLEAN and not leaf.shape.nullable:
            value = False  # a checkbox shows no third state
        set_at = self.secrets_set.get(leaf.path) if leaf.secret and stored else None
        field = form_field(leaf, value, set_at)
        if isinstance(field.widget, SecretWidget) and self.references is not None:
            field.widget.refers = True
            field.widget.kept_at = self.references.get(leaf.path, "")
            for mark in ("required", "data-required"):  # the model asks for it: either of two inputs will do
                field.widget.attrs.pop(mark, None)
        return self._input(leaf, field, value)

    def _choice(self, node: Choice, value: Any, *, stored: bool) -> Iterator[Input]:
        tag = value.get(node.key) if isinstance(value, Mapping) else None
        choices = [(branch.tag, branch_label(branch.model, node.key)) for branch in node.branches]
        if node.nullable:
            choices.insert(0, ("", _("None")))
        elif node.branch(tag) is None:
            choices.insert(0, ("", _("Choose…")))
        field = forms.ChoiceField(
            choices=choices,
            required=False,
            label=label(node.path[-1], node.field),
            help_text=translated(node.field.description),
        )
        yield self._input(node, field, tag)
        for branch in node.branches:
            taken = branch.tag == tag
            yield from self.of(branch.nodes, value if taken else {}, stored=stored and taken)

    def _use(self, node: OptionalGroup, *, used: bool) -> Input:
        words = _("Use %(setting)s") % {"setting": label(node.path[-1], node.field)}
        field = forms.BooleanField(required=False, label=words, help_text=translated(node.field.description))
        return self._input(node, field, used)

    def _input(self, node: Leaf | Control, field: forms.Field, initial: Any) -> Input:
        root = f"/{SECRETS}" if isinstance(node, Leaf) and node.secret else f"/{self.part}"
        path = (*node.path, node.key) if isinstance(node, Choice) else node.path
        field.widget.attrs["data-pointer"] = schema.pointer(root, path)
        return Input(node, field, initial)
