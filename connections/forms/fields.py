"""One setting as one Django field. A field reads text into a JSON value. Whether that will do, the model judges."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django import forms
from django.core.validators import ProhibitNullCharactersValidator
from django.utils.translation import gettext_lazy as _

from connections.adapters.describe import title_of
from connections.adapters.schema import extra
from connections.adapters.shapes import Bounds, Kind, Shape, shape
from connections.forms.nodes import Leaf
from connections.forms.pasted import LARGEST, PastedField, PastedWidget, plain_lines
from connections.forms.rows import Column, RowsField, RowsWidget, as_text, structured
from connections.forms.secrets import SecretField, SecretWidget
from connections.forms.wording import choice_label, label, placeholder, translated

ACCEPT = {"pem": ".pem,.crt,.cer,.key,.pub,.txt", "json": ".json,application/json"}
_LONG = ("textarea", *ACCEPT)


class TextField(forms.CharField):
    """Text. What is around it is stripped, unless that is all there is (a delimiter may be a space)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(strip=False, required=False, **options)
        self.validators = [ProhibitNullCharactersValidator()]

    def to_python(self, value: Any) -> str:
        text = plain_lines(value or "")
        return text.strip() or text

    def has_changed(self, initial: Any, data: Any) -> bool:
        return plain_lines(as_text(initial)) != plain_lines(data or "")


class MixedField(TextField):
    """Text, or a JSON list or object where what is entered spells one."""

    def prepare_value(self, value: Any) -> Any:
        return as_text(value)

    def to_python(self, value: Any) -> Any:
        return structured(super().to_python(value))

    def run_validators(self, value: Any) -> None:
        if isinstance(value, str):
            super().run_validators(value)


def form_field(leaf: Leaf, initial: Any, set_at: datetime | bool | None = None) -> forms.Field:
    """The Django field of a setting. ``initial`` is its JSON value now; ``set_at`` when its stored secret was set."""
    options: dict[str, Any] = {
        "label": label(leaf.path[-1], leaf.field),
        "help_text": translated(leaf.field.description),
    }
    field = _MAKERS[leaf.shape.kind](leaf, initial, options)
    if isinstance(field.widget, SecretWidget):
        field.widget.set_at = set_at
    field.widget.attrs |= _requirement(leaf, field, set_at)
    return field


def is_required(leaf: Leaf) -> bool:
    """Whether the setting must be given. A list may be empty, and a checkbox always says something."""
    return leaf.field.is_required() and leaf.shape.kind not in (Kind.BOOLEAN, Kind.LIST, Kind.MAP, Kind.RECORDS)


def _requirement(leaf: Leaf, field: forms.Field, set_at: datetime | bool | None) -> dict[str, Any]:
    """The ``required`` attribute; where the input may not count, a mark from which JavaScript makes it."""
    uploads = isinstance(field.widget, PastedWidget) or (isinstance(field.widget, SecretWidget) and field.widget.long)
    if not is_required(leaf) or uploads or set_at:
        return {}
    return {"required": True} if leaf.certain else {"data-required": True}


def _text(leaf: Leaf, initial: Any, options: dict[str, Any]) -> forms.Field:
    widget = extra(leaf.field, "widget")
    attrs = {"placeholder": placeholder(leaf.field), **_lengths(leaf.shape.bounds)}
    if widget in ACCEPT:
        largest = leaf.shape.bounds.max_length or LARGEST
        return PastedField(widget=PastedWidget(_given(attrs), ACCEPT[widget], largest), required=False, **options)
    if widget == "textarea" or _has_lines(initial):
        return TextField(widget=forms.Textarea(_given({"rows": 5, "class": "vLargeTextField", **attrs})), **options)
    plain = {"class": "vTextField", "autocomplete": "off", "spellcheck": "false"}
    return TextField(widget=forms.TextInput(_given({**plain, **attrs})), **options)


def _has_lines(initial: Any) -> bool:
    """Whether this is more than a line of text: an input of one line would drop the line ends."""
    return "\n" in plain_lines(as_text(initial))


def _mixed(leaf: Leaf, initial: Any, options: dict[str, Any]) -> forms.Field:
    attrs = {"class": "vTextField", "spellcheck": "false", "placeholder": placeholder(leaf.field)}
    if _has_lines(initial):
        return MixedField(widget=forms.Textarea(_given({"rows": 5, **attrs, "class": "vLargeTextField"})), **options)
    return MixedField(widget=forms.TextInput(_given({"autocomplete": "off", **attrs})), **options)


def _secret(leaf: Leaf, initial: Any, options: dict[str, Any]) -> forms.Field:
    widget = extra(leaf.field, "widget")
    long = widget in _LONG
    attrs = {"placeholder": placeholder(leaf.field), **_lengths(leaf.shape.bounds)}
    if not long:
        attrs["class"] = "vTextField"
    largest = leaf.shape.bounds.max_length or LARGEST
    secret = SecretWidget(_given(attrs), long=long, accept=ACCEPT.get(str(widget), ""), largest=largest)
    return SecretField(widget=secret, required=False, **options)


def _integer(leaf: Leaf, initial: Any, options: dict[str, Any]) -> forms.Field:
    bounds = leaf.shape.bounds
    low = bounds.ge if bounds.ge is not None else math.floor(bounds.gt) + 1 if bounds.gt is not None else None
    high = bounds.le if bounds.le is not None else math.ceil(bounds.lt) - 1 if bounds.lt is not None else None
    attrs = {"class": "vIntegerField", "min": low, "max": high, "placeholder": placeholder(leaf.field)}
    return forms.IntegerField(widget=forms.NumberInput(_given(attrs)), required=False, **options)


def _number(leaf: Leaf, initial: Any, options: dict[str, Any]) -> forms.Field:
    bounds = leaf.shape.bounds
    low = bounds.ge if bounds.ge is not None else bounds.gt
    high = bounds.le if bounds.le is not None else bounds.lt
    attrs = {"class": "vIntegerField", "min": low, "max": high, "step": "any", "placeholder": placeholder(leaf.field)}
    return forms.FloatField(widget=forms.NumberInput(_given(attrs)), required=False, **options)


def _boolean(leaf: Leaf, initial: Any, options: dict[str, Any]) -> forms.Field:
    if leaf.shape.nullable:
        field = forms.NullBooleanField(required=False, **options)
        field.widget.choices = [("unknown", _("Not set")), ("true", _("Yes")), ("false", _("No"))]
        return field
    return forms.BooleanField(required=False, **options)


def _choice(leaf: Leaf, initial: Any, options: dict[str, Any]) -> forms.Field:
    """A select. It has a blank choice when nothing may be chosen, or when what is stored is not offered any more."""
    values = {as_text(choice): choice for choice in leaf.shape.choices}
    choices = [(tag, choice_label(tag)) for tag in values]
    if leaf.shape.nullable:
        choices.insert(0, ("", _("Not set")))
    must_choose = not leaf.shape.nullable and (initial is None or as_text(initial) not in values)
    if must_choose:
        choices.insert(0, ("", _("Choose…")))
    return forms.TypedChoiceField(
        choices=choices, coerce=lambda tag: values.get(tag, tag), empty_value=None, required=must_choose, **options
    )


def _rows(leaf: Leaf, initial: Any, options: dict[str, Any]) -> forms.Field:
    columns = _columns(leaf.shape, options["label"])
    widget = RowsWidget(columns, placeholder=placeholder(leaf.field))
    return RowsField(leaf.shape, columns, initial=initial, widget=widget, **options)


def _columns(kind: Shape, title: Any) -> list[Column]:
    if kind.model is not None:
        return [
            Column(name, translated(title_of(name, info)), shape(info))
            for name, info in kind.model.model_fields.items()
        ]
    item = kind.item or Shape(Kind.TEXT)
    if kind.kind is Kind.LIST:
        return [Column("", title, item)]
    return [Column("key", _("Name"), Shape(Kind.TEXT)), Column("value", _("Value"), item)]


class _Indented(json.JSONEncoder):
    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "indent": 2})


def _json(leaf: Leaf, initial: Any, options: dict[str, Any]) -> forms.Field:
    attrs = {"rows": 6, "class": "vLargeTextField", "spellcheck": "false", "autocomplete": "off"}
    return forms.JSONField(widget=forms.Textarea(attrs), encoder=_Indented, required=False, **options)


_MAKERS: dict[Kind, Callable[[Leaf, Any, dict[str, Any]], forms.Field]] = {
    Kind.BOOLEAN: _boolean,
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.TEXT: _text,
    Kind.CHOICE: _choice,
    Kind.LIST: _rows,
    Kind.MAP: _rows,
    Kind.RECORDS: _rows,
    Kind.MIXED: _mixed,
    Kind.JSON: _json,
    Kind.SECRET: _secret,
}


def _lengths(bounds: Bounds) -> dict[str, Any]:
    return {"minlength": bounds.min_length or None, "maxlength": bounds.max_length}


def _given(attrs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attrs.items() if value is not None and value != ""}
