"""What the templates render: sections of items, each item with the name of the partial that shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.forms.boundfield import BoundField
from django.utils.text import slugify
from django.utils.translation import gettext as _

from connections.adapters.config import ADVANCED
from connections.adapters.schema import extra
from connections.forms.fields import is_required
from connections.forms.nodes import Choice, Group, Leaf, Node, OptionalGroup, walk
from connections.forms.wording import Text, branch_label, label, translated

if TYPE_CHECKING:
    from connections.forms.settings import SettingsForm


@dataclass(frozen=True, slots=True)
class FieldItem:
    """One setting. ``fieldset`` says that it has several inputs, named by a legend and not by a label."""

    bound: BoundField
    required: bool
    checkbox: bool
    fieldset: bool
    template: str = "connections/forms/field.html"


@dataclass(frozen=True, slots=True)
class GroupItem:
    """Settings that belong together. ``headed`` is False where the section's heading says the same."""

    title: Text
    help: Text
    items: Sequence[Item]
    headed: bool
    template: str = "connections/forms/group.html"


@dataclass(frozen=True, slots=True)
class OptionalItem:
    """A checkbox, and the settings that count when it is ticked."""

    bound: BoundField
    title: Text
    items: Sequence[Item]
    used: bool
    template: str = "connections/forms/optional.html"


@dataclass(frozen=True, slots=True)
class BranchItem:
    tag: str
    title: Text
    items: Sequence[Item]
    chosen: bool


@dataclass(frozen=True, slots=True)
class ChoiceItem:
    """A select, and for each of its choices the settings that count when it is chosen."""

    bound: BoundField
    branches: Sequence[BranchItem]
    required: bool
    template: str = "connections/forms/choice.html"


Item = FieldItem | GroupItem | OptionalItem | ChoiceItem


@dataclass(slots=True)
class Section:
    """A part of the form. ``folded`` sections are shown closed unless ``open``."""

    title: Text
    id: str
    folded: bool = False
    open: bool = False
    items: list[Item] = field(default_factory=list)


def lay_out(form: SettingsForm) -> list[Section]:
    """The sections of ``form``, by first appearance, "Advanced" last."""
    grouped: dict[str, list[Node]] = {}
    for node in form.nodes:
        grouped.setdefault(extra(node.field, "section") or "", []).append(node)
    ordered = sorted(grouped, key=lambda name: (name == ADVANCED, name != ""))
    return [_section(form, name, grouped[name]) for name in ordered]


def _section(form: SettingsForm, name: str, nodes: Sequence[Node]) -> Section:
    folded = name == ADVANCED
    return Section(
        title=translated(name) if name else form.title,
        id=f"{form.add_prefix(form.part)}-section-{slugify(name) or 'main'}",
        folded=folded,
        open=folded and any(_needs_eyes(form, node) for node in walk(nodes)),
        items=[_item(form, node, section=name) for node in nodes],
    )


def _item(form: SettingsForm, node: Node, section: str = "") -> Item:
    if isinstance(node, Leaf):
        return _field(form, node)
    title = label(node.path[-1], node.field)
    if isinstance(node, Choice):
        return ChoiceItem(form[node.name], list(_branches(form, node)), required=node.field.is_required())
    items = [_item(form, inner) for inner in node.nodes]
    if isinstance(node, OptionalGroup):
        return OptionalItem(form[node.name], title, items, used=bool(form.chosen(node)))
    headed = str(title) != _(section) if section else True
    return GroupItem(title, translated(node.field.description), items, headed)


def _branches(form: SettingsForm, node: Choice) -> Iterator[BranchItem]:
    for branch in node.branches:
        items = [_item(form, inner) for inner in branch.nodes]
        yield BranchItem(
            branch.tag, branch_label(branch.model, node.key), items, chosen=form.chosen(node) == branch.tag
        )


def _field(form: SettingsForm, leaf: Leaf) -> FieldItem:
    bound = form[leaf.name]
    return FieldItem(
        bound,
        required=is_required(leaf),
        checkbox=bound.widget_type == "checkbox",
        fieldset=bound.use_fieldset,
    )


def _needs_eyes(form: SettingsForm, node: Node) -> bool:
    """Whether a folded input holds something to be seen: an error, another value than the default, a stored secret."""
    return not isinstance(node, Group) and (bool(form[node.name].errors) or form.differs_from_default(node))
