"""The query of a preview as a form: the source's own settings of a query, parameters, and which rows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connections.adapters.schema import Problem
from connections.forms import SettingsForm
from connections.services.orders import Request
from connections.services.sources import AdapterClass

BLANK_ROWS = 2
MAX_PARAMETERS = 200
PAGE_SIZES = (20, 50, 100, 500)


class WindowForm(forms.Form):
    """Which rows, and how long to wait for them."""

    limit = forms.IntegerField(
        label=gettext_lazy("Rows"), min_value=0, max_value=1000, initial=50, widget=forms.NumberInput({"list": "sizes"})
    )
    timeout = forms.IntegerField(
        label=gettext_lazy("Seconds"), required=False, min_value=1, max_value=60, help_text=gettext_lazy("20 if empty.")
    )


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """A parameter as it was typed."""

    name: str = ""
    value: str = ""
    error: str = ""


class QueryForm:
    """What to preview. ``table`` is a path that a button names in place of what is typed."""

    def __init__(self, adapter: AdapterClass, data: QueryDict | None = None) -> None:
        self.adapter = adapter
        self.table = _table(data.get("_table")) if data is not None else None
        initial = {"table": self.table} if self.table else None
        typed = data if self.table is None else None
        self.query = SettingsForm(adapter.query_class, part="query", title=str(_("Query")), data=typed, config=initial)
        self.window = WindowForm(data)
        self.rows = _typed_rows(data) if data is not None and self.table is None else []
        self.errors: list[Problem] = []

    @property
    def parameter_rows(self) -> list[ParameterRow]:
        """What was typed, and some blank rows."""
        return [*self.rows, *[ParameterRow()] * BLANK_ROWS]

    @property
    def takes_parameters(self) -> bool:
        return self.adapter.takes_parameters

    def request(self, *, offset: int = 0, format: str = "json", limit: int | None = None) -> Request | None:
        """What to ask for, or None when the form is wrong; it then says where."""
        good = self.window.is_valid() & (self.table is not None or self.query.is_valid())
        parameters = self._parameters()
        if not good or parameters is None:
            return None
        return Request(
            query={"table": self.table} if self.table is not None else self.query.cleaned_settings()[0],
            parameters=parameters,
            limit=limit if limit is not None else self.window.cleaned_data["limit"],
            offset=offset,
            timeout=self.window.cleaned_data["timeout"],
            format=format,
        )

    def add_problems(self, problems: list[Problem]) -> None:
        """Put problems on their inputs; the outcome shows them all the same."""
        if self.query.is_bound:
            self.query.add_problems(found for found in problems if found.pointer.startswith("/query"))
        for problem in problems:
            name = problem.pointer.strip("/")
            if name in self.window.fields:
                self.window.add_error(name, ValidationError(problem.detail))

    def _parameters(self) -> dict[str, Any] | None:
        """Names and values, or None when a row is wrong."""
        found: dict[str, Any] = {}
        checked = []
        for row in self.rows:
            error = ""
            if not row.name:
                error = _("Name this parameter.")
            elif row.name in found:
                error = _("This name is given twice.")
            found[row.name] = value_of(row.value)
            checked.append(ParameterRow(row.name, row.value, error))
        self.rows = checked
        return None if any(row.error for row in checked) else found


def value_of(text: str) -> Any:
    """A parameter's value: as JSON where it is a number, true, false, null, a list or quoted; else the text."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, dict) else value


def offset_of(text: str | None) -> int:
    """The row to start at; 0 for what is no number."""
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 16 else 0


def _refuse(word: str) -> Any:
    raise ValueError(word)


def _table(text: str | None) -> list[str] | None:
    try:
        path = json.loads(text) if text else None
    except ValueError:
        return None
    good = isinstance(path, list) and 0 < len(path) <= 8 and all(isinstance(part, str) for part in path)
    return path if good else None


def _typed_rows(data: QueryDict) -> list[ParameterRow]:
    names, values = data.getlist("parameter_name"), data.getlist("parameter_value")
    rows = [ParameterRow(name.strip(), value) for name, value in zip(names, values, strict=False)]
    return [row for row in rows if row.name or row.value][:MAX_PARAMETERS]
