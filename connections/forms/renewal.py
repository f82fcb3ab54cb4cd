"""New values for the secrets of stored settings: an input for each that is in use, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext as _
from pydantic import BaseModel

from connections.adapters import schema
from connections.adapters.schema import Nested, Path, Problem
from connections.forms.inputs import Inputs, SetAt
from connections.forms.layout import FieldItem
from connections.forms.nodes import SECRETS, Choice, Control, Leaf, Node, active, tree
from connections.forms.pasted import Pasted
from connections.forms.rendering import ProjectTemplates
from connections.forms.secrets import KEPT, REPLACE, SecretEntry
from connections.forms.wording import label

POINTER = "/new"
"""Starts the pointers of these inputs: the settings' own form may stand on the same page."""


class SecretsForm(forms.Form):
    """As ``SettingsForm``, of the secrets alone, for settings that stay as they are in ``config``."""

    default_renderer = ProjectTemplates
    use_required_attribute = False

    def __init__(
        self,
        model: type[BaseModel],
        config: Mapping[str, Any],
        *,
        secrets_set: Mapping[Path, SetAt],
        references: Mapping[Path, str] | None = None,
        data: Mapping[str, Any] | None = None,
        files: MultiValueDict[str, UploadedFile[Any]] | None = None,
        prefix: str = "new",
    ) -> None:
        super().__init__(data=data, files=files, prefix=prefix)
        nodes = tree(model, "config")
        self.leaves = {leaf.name: leaf for leaf, _words in _in_use(nodes, config)}
        labels = {leaf.name: words for leaf, words in _in_use(nodes, config)}
        for made in Inputs("config", secrets_set, references).of(nodes, config):
            if made.node.name not in self.leaves:
                continue
            self.fields[made.node.name] = made.field
            made.field.label = labels[made.node.name]
            made.field.widget.attrs["data-pointer"] = schema.pointer(POINTER, made.node.path)
            for mark in ("required", "data-required"):  # left empty, a secret stays as it is
                made.field.widget.attrs.pop(mark, None)
        set_ = [name for name, leaf in self.leaves.items() if secrets_set.get(leaf.path)]
        self.order_fields(set_)
        if len(set_) == 1:  # which one is to be replaced is no question then
            self.initial = {set_[0]: SecretEntry(Pasted(), REPLACE)}

    @property
    def items(self) -> list[FieldItem]:
        """What the templates render."""
        return [FieldItem(self[name], required=False, checkbox=False, fieldset=False) for name in self.fields]

    def clean(self) -> dict[str, Any]:
        if not self.errors and not self._changes():
            raise ValidationError(_("Enter at least one new secret."), code="required")
        return self.cleaned_data

    def cleaned_secrets(self) -> Nested:
        """The changes, nested like the config: a value sets, None clears, absent keeps."""
        if not self.is_valid():
            raise ValueError("The form is not valid; it has no secrets.")
        found: Nested = {}
        for path, value in self._changes().items():
            schema.put(found, path, value)
        return found

    def add_problems(self, problems: Iterable[Problem]) -> None:
        """Put each problem on the input that its pointer means; one that means none goes to the form's head."""
        names = {schema.pointer(f"/{SECRETS}", leaf.path): name for name, leaf in self.leaves.items()}
        for problem in problems:
            self.add_error(names.get(problem.pointer), ValidationError(problem.detail, code=problem.code))

    def _changes(self) -> dict[Path, Any]:
        values = {leaf.path: self.cleaned_data.get(name, KEPT) for name, leaf in self.leaves.items()}
        return {path: value for path, value in values.items() if value is not KEPT}


def _in_use(nodes: Sequence[Node], config: Mapping[str, Any], before: str = "") -> Iterator[tuple[Leaf, str]]:
    """The secrets that count under ``config``, each with its label: inside a group with the group's name before it."""

    def chosen(control: Control) -> Any:
        value = schema.get(config, control.path)
        if isinstance(control, Choice):
            return value.get(control.key) if isinstance(value, Mapping) else None
        return isinstance(value, Mapping)

    for node in nodes:
        words = f"{before}{label(node.path[-1], node.field)}"
        if isinstance(node, Leaf):
            if node.secret:
                yield node, words
        else:
            yield from _in_use(active(node, chosen), config, f"{words}: ")
