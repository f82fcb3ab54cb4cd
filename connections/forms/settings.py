"""The form of a source's settings, made from its pydantic model.

    form = SettingsForm(adapter.config_class, config=connection.config, secrets_set={("password",): updated_at})
    form = SettingsForm(…, data=request.POST, files=request.FILES)
    if form.is_valid():
        config, secrets = form.cleaned_settings()

It never reads the database. ``connections/forms/settings.html`` renders all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext_lazy as _
from pydantic import BaseModel
from pydantic import ValidationError as ModelError

from connections.adapters import schema
from connections.adapters.schema import Nested, Path, Problem
from connections.adapters.shapes import default
from connections.forms.inputs import Inputs, SetAt
from connections.forms.layout import Section, lay_out
from connections.forms.nodes import SECRETS, Choice, Control, Leaf, Node, active, find, tree, walk
from connections.forms.patch import changes
from connections.forms.rendering import ProjectTemplates
from connections.forms.secrets import KEPT
from connections.forms.urls import url_field
from connections.forms.wording import label, translated

_ABSENT = object()
_PLACEHOLDER = "kept"  # stands for a stored secret while the model judges the rest; it goes nowhere


class SettingsForm(forms.Form):
    """The settings of ``model`` as native fields.

    ``config`` holds the stored settings, without secrets, or what a new form starts from. ``secrets_set`` says which
    secrets are stored and when each was set, ``references`` which of them are kept elsewhere; without it, none may be.
    ``part`` is the request member that the settings make up, ``config`` or
    ``query``; it starts the inputs' names and the problems' pointers. ``parse_url`` is the address that answers for
    the "Paste a URL" box; the box is there when the model reads URLs. ``title`` heads the settings without a section.
    """

    default_renderer = ProjectTemplates
    use_required_attribute = False  # an input that may not count must not stop the browser; fields.py marks the others

    class Media:
        css = {"all": ["connections/forms.css"]}
        js = [forms.Script("connections/forms.js", defer=True)]

    def __init__(
        self,
        model: type[BaseModel],
        *,
        config: Mapping[str, Any] | None = None,
        secrets_set: Mapping[Path, SetAt] | None = None,
        references: Mapping[Path, str] | None = None,
        data: Mapping[str, Any] | None = None,
        files: MultiValueDict[str, UploadedFile[Any]] | None = None,
        prefix: str | None = None,
        part: str = "config",
        parse_url: str = "",
        title: str = "",
    ) -> None:
        super().__init__(data=data, files=files, prefix=prefix)
        self.model = model
        self.part = part
        self.parse_url = parse_url
        self.title = translated(title) if title else _("Connection")
        self.nodes = tree(model, part)
        self.stored: Mapping[str, Any] = config or {}
        if self.reads_urls:
            self.fields["url"] = url_field()
        for made in Inputs(part, secrets_set or {}, references).of(self.nodes, self.stored):
            self.fields[made.node.name] = made.field
            self.initial[made.node.name] = made.initial

    @property
    def reads_urls(self) -> bool:
        return bool(getattr(self.model, "url_schemes", ()))

    @property
    def fill_name(self) -> str:
        """The name of the "Fill from URL" button."""
        return self.add_prefix("fill")

    @property
    def fill_requested(self) -> bool:
        """Whether the form was sent by "Fill from URL": nothing is to be saved then."""
        return self.is_bound and self.fill_name in self.data

    @property
    def pasted_url(self) -> str:
        """The URL in the box, for ``initial_from_url``. It may hold a password: never show or log it."""
        return str(self.data.get(self.add_prefix("url"), "")).strip()

    def sections(self) -> list[Section]:
        """What the templates render: sections of rows, in the order of the schema, "Advanced" last."""
        return lay_out(self)

    def cleaned_settings(self) -> tuple[Nested, Nested]:
        """``(config, secrets)`` of a valid form. ``config`` is whole, with defaults and without nulls.

        ``secrets`` holds changes only: absent keeps, a value or ``{"ref": …}`` sets, None clears.
        """
        if not self.is_valid():
            raise ValueError("The form is not valid; it has no settings.")
        return self._collect(self.nodes)

    def cleaned_patch(self) -> tuple[Nested, Nested]:
        """As ``cleaned_settings``, but ``config`` is the JSON Merge Patch that leads there from the stored settings."""
        config, secrets = self.cleaned_settings()
        return changes(self.model, self.stored, config), secrets

    def add_problems(self, problems: Iterable[Problem]) -> None:
        """Put each problem on the input that its pointer means; one that means none goes to the form's head."""
        for problem in problems:
            node = self._node(problem.pointer)
            detail: Any = _("This setting is required.") if problem.code == "required" else problem.detail
            if isinstance(node, Leaf | Control):
                self.add_error(node.name, ValidationError(detail, code=problem.code))
            else:
                # A problem of a group as a whole has no input of its own.
                named = f"{label(node.path[-1], node.field)}: {detail}" if node is not None else detail
                self.add_error(None, ValidationError(named, code=problem.code))

    def tell(self, problems: Sequence[Problem]) -> None:
        """On a form that nobody has sent yet: say what is wrong with the settings that it starts from."""
        self.cleaned_data = {}
        named = {p: f"{p.pointer.rpartition('/')[2]}: {p.detail}" for p in problems if p.code == "unknown"}
        self.add_problems(Problem(p.pointer, p.code, named.get(p, p.detail)) for p in problems)

    def clean(self) -> dict[str, Any]:
        """Let the model judge what is chosen. What is typed into a branch that is not chosen does not count."""
        self._forget_inactive_errors()
        if self.reads_urls and self.pasted_url and not self.fill_requested:
            self.add_error("url", _("This URL was not used. Paste it again and choose “Fill from URL”."))
        config, secrets = self._collect(self.nodes)
        placeholders = self._placeholders()
        try:
            self.model.model_validate(schema.join(schema.join(config, _without_nulls(secrets)), placeholders))
        except ModelError as exc:
            kept = {schema.pointer(f"/{SECRETS}", path) for path in schema.paths(placeholders)}
            found = schema.problems(exc, self.model, config=f"/{self.part}", secrets=f"/{SECRETS}")
            self.add_problems(p for p in found if p.pointer not in kept and not self._has_error(p))
        return self.cleaned_data

    def chosen(self, control: Control) -> Any:
        """What a control says now: whether a group is used, or the tag of the chosen branch."""
        value = self[control.name].value()
        return value if isinstance(control, Choice) else bool(value)

    def differs_from_default(self, node: Leaf | Control) -> bool:
        """Whether an input shows something that somebody chose, or waits for something to be chosen."""
        if self.is_bound and node.name in self.changed_data:
            return True
        if isinstance(node, Leaf):
            if node.secret:
                return self._is_set(node)
            missing = node.field.is_required() and self.initial[node.name] is None
            return missing or self.initial[node.name] != default(node.field)
        usual = default(node.field)
        if isinstance(node, Choice):
            return bool(self.initial[node.name] != (usual.get(node.key) if isinstance(usual, Mapping) else None))
        return bool(self.initial[node.name] != isinstance(usual, Mapping))

    def _is_set(self, leaf: Leaf) -> bool:
        """Whether a secret is stored for this input."""
        return bool(getattr(self.fields[leaf.name].widget, "set_at", None))

    # Reading -----------------------------------------------------------------------------------------------------

    def _collect(self, nodes: Sequence[Node]) -> tuple[Nested, Nested]:
        config: Nested = {}
        secrets: Nested = {}
        for node in nodes:
            name = node.path[-1]
            if isinstance(node, Leaf):
                value = self._value(node)
                if value is not _ABSENT:
                    (secrets if node.secret else config)[name] = value
                continue
            chosen = self.chosen(node) if isinstance(node, Control) else True
            if not chosen:
                continue
            config[name], inner = self._collect(active(node, self.chosen))
            if isinstance(node, Choice):
                config[name] = {node.key: chosen, **config[name]}
            if inner:
                secrets[name] = inner
        return config, secrets

    def _value(self, leaf: Leaf) -> Any:
        """A setting's JSON value. An input that was not touched gives back exactly what was stored."""
        cleaned = self.cleaned_data.get(leaf.name, _ABSENT)
        if leaf.secret:
            return _ABSENT if cleaned is KEPT else cleaned
        if leaf.name not in self.changed_data:
            cleaned = self.initial[leaf.name]
        if cleaned is None or (cleaned == "" and self._means_nothing(leaf)):
            return _ABSENT
        return cleaned

    def _means_nothing(self, leaf: Leaf) -> bool:
        """Whether an empty input leaves the setting out, rather than setting it to the empty text."""
        untouched = leaf.name not in self.changed_data and self.initial[leaf.name] == ""
        return not untouched and (leaf.shape.nullable or leaf.field.is_required())

    def _placeholders(self) -> Nested:
        """Placeholders for the stored secrets that are kept, and for those that are kept elsewhere."""
        found: Nested = {}
        for node in self._active_nodes():
            if not isinstance(node, Leaf) or not node.secret:
                continue
            cleaned = self.cleaned_data.get(node.name)
            if isinstance(cleaned, Mapping) or (cleaned is KEPT and self._is_set(node)):
                schema.put(found, node.path, _PLACEHOLDER)
        return found

    def _active_nodes(self) -> list[Node]:
        found: list[Node] = []
        waiting = list(self.nodes)
        while waiting:
            node = waiting.pop(0)
            found.append(node)
            waiting = [*active(node, self.chosen), *waiting]
        return found

    def _forget_inactive_errors(self) -> None:
        counted = {node.name for node in self._active_nodes() if isinstance(node, Leaf)}
        for node in walk(self.nodes):
            if isinstance(node, Leaf) and node.name not in counted:
                self.errors.pop(node.name, None)

    # Problems ----------------------------------------------------------------------------------------------------

    def _node(self, pointer: str) -> Node | None:
        first, *path = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]] or [""]
        return find(self.nodes, path, self.chosen) if first in (self.part, SECRETS) else None

    def _has_error(self, problem: Problem) -> bool:
        """Whether the input already says why its text is no value; the model then only misses that value."""
        node = self._node(problem.pointer)
        name = node.name if isinstance(node, Leaf | Control) else NON_FIELD_ERRORS
        return name in self.errors and name != NON_FIELD_ERRORS


def _without_nulls(nested: Mapping[str, Any]) -> Nested:
    return {
        name: _without_nulls(value) if isinstance(value, Mapping) else value
        for name, value in nested.items()
        if value is not None
    }
