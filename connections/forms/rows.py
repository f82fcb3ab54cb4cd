"""Lists, maps and records: rows of plain inputs. Blank rows are left out, so it works without JavaScript."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connections.adapters.shapes import Kind, Shape
from connections.forms.pasted import plain_lines
from connections.forms.wording import Text, choice_label

BLANK_ROWS = 3
Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """One input of every row. ``name`` is empty for the only column of a list."""

    name: str
    label: Text
    shape: Shape

    @property
    def choices(self) -> list[tuple[str, Text]]:
        if self.shape.kind is Kind.BOOLEAN:
            return [("true", gettext_lazy("Yes")), ("false", gettext_lazy("No"))]
        return [(as_text(choice), choice_label(choice)) for choice in self.shape.choices]

    @property
    def input_type(self) -> str:
        return "number" if self.shape.kind in (Kind.INTEGER, Kind.NUMBER) else "text"

    @property
    def step(self) -> str:
        return "1" if self.shape.kind is Kind.INTEGER else "any"


def as_text(value: Any) -> str:
    """A JSON value as an input of one line shows it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping | list):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)


def structured(text: str) -> Any:
    """The JSON list or object that ``text`` spells, or ``text`` itself when it spells none."""
    if not text.lstrip().startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def parse(shape: Shape, text: str) -> Any:
    """The JSON value that ``text`` spells. Raises ``ValidationError`` when it spells none of that kind."""
    if shape.kind is Kind.MIXED:
        return structured(text)
    if shape.kind is Kind.INTEGER:
        return forms.IntegerField().to_python(text)
    if shape.kind is Kind.NUMBER:
        return forms.FloatField().to_python(text)
    if shape.kind is Kind.BOOLEAN:
        return text == "true"
    return next((choice for choice in shape.choices if as_text(choice) == text), text)


class RowsWidget(forms.Widget):
    """The rows, some blank ones after them, and a template of one that JavaScript uses to add more."""

    template_name = "connections/forms/widgets/rows.html"
    use_fieldset = True

    def __init__(self, columns: Sequence[Column], attrs: dict[str, Any] | None = None, placeholder: str = "") -> None:
        super().__init__(attrs)
        self.columns = tuple(columns)
        self.placeholder = placeholder

    def id_for_label(self, id_: str | None) -> str:
        return ""  # a fieldset's legend labels the rows

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> list[Row]:
        values = [_all(data, self.input_name(name, column)) for column in self.columns]
        rows = ([plain_lines(text) for text in row] for row in zip(*values, strict=False))
        return [tuple(row) for row in rows if any(row)]

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, None, attrs)
        blank = ("",) * len(self.columns)
        rows = [*(value or []), *[blank] * BLANK_ROWS]
        context["widget"] |= {
            "headed": len(self.columns) > 1,
            "columns": self.columns,
            "rows": [self._cells(name, row) for row in rows],
            "blank": self._cells(name, blank),
        }
        return context

    def _cells(self, name: str, row: Row) -> list[dict[str, Any]]:
        return [
            {
                "name": self.input_name(name, column),
                "label": column.label,
                "value": text,
                "type": column.input_type,
                "lines": "\n" in text,
                "step": column.step,
                "choices": [(tag, words, tag == text) for tag, words in column.choices],
                "placeholder": self.placeholder,
            }
            for column, text in zip(self.columns, row, strict=True)
        ]

    @staticmethod
    def input_name(name: str, column: Column) -> str:
        """The name of a column's inputs, of the field ``name``."""
        return f"{name}-{column.name}" if column.name else name


class RowsField(forms.Field):
    """Cleans to a list of scalars, a map or a list of records, as ``shape`` says. ``initial`` is what is stored."""

    def __init__(self, shape: Shape, columns: Sequence[Column], **options: Any) -> None:
        super().__init__(required=False, **options)
        self.shape = shape
        self.columns = tuple(columns)
        self._stored = dict(zip(self.prepare_value(self.initial), self._records(self.initial), strict=True))

    def prepare_value(self, value: Any) -> list[Row]:
        """Stored values as rows of text; rows that came in stay as they are."""
        if isinstance(value, Mapping):
            return [(str(key), as_text(item)) for key, item in value.items()]
        if self.shape.kind is Kind.RECORDS and value and isinstance(value[0], Mapping):
            return [tuple(as_text(record.get(column.name)) for column in self.columns) for record in value]
        return [item if isinstance(item, tuple) else (as_text(item),) for item in value or ()]

    def _records(self, value: Any) -> list[dict[str, Any]]:
        """Stored values as what each of their rows cleans to."""
        if isinstance(value, Mapping):
            return [{"key": key, "value": item} for key, item in value.items()]
        return [item if self.shape.kind is Kind.RECORDS else {"": item} for item in value or ()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool([row for row in self.prepare_value(initial) if any(row)] != data)

    def clean(self, value: list[Row]) -> Any:
        parsed = [self._row(position, row) for position, row in enumerate(value, 1)]
        if self.shape.kind is Kind.LIST:
            return [row[""] for row in parsed]
        if self.shape.kind is Kind.RECORDS:
            return parsed
        names = [row.get("key") for row in parsed]
        for position, name in enumerate(names, 1):
            if name is None:
                raise ValidationError(_("Row %(row)d has a value but no name.") % {"row": position}, code="invalid")
            if name in names[: position - 1]:
                raise ValidationError(_("Row %(row)d repeats a name.") % {"row": position}, code="invalid")
        nothing = None if self.shape.item is not None and self.shape.item.nullable else ""
        return {row["key"]: row.get("value", nothing) for row in parsed}

    def _row(self, position: int, row: Row) -> dict[str, Any]:
        """What a row says. One that was not touched gives back exactly what was stored."""
        if row in self._stored:
            return self._stored[row]
        found = {}
        for column, text in zip(self.columns, row, strict=True):
            try:
                if text:
                    found[column.name] = parse(column.shape, text)
            except ValidationError as exc:
                words = {"row": position, "problem": exc.messages[0]}
                raise ValidationError(_("Row %(row)d: %(problem)s") % words, code="invalid") from None
        return found


def _all(data: Mapping[str, Any], name: str) -> list[str]:
    if hasattr(data, "getlist"):
        return list(data.getlist(name))
    value = data.get(name, [])
    return [value] if isinstance(value, str) else list(value)
