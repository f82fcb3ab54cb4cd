"""The fields of a connection beside its settings: what people call it and file it under."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from connections.adapters.schema import Problem
from connections.models import Connection
from connections.services import upgrading
from connections.services.connections import MAX_TAGS, TEXT_LIMITS

WIDE = {"class": "vTextField"}


class TagsField(forms.CharField):
    """Tags as a text with commas between them."""

    def to_python(self, value: Any) -> Any:
        return [tag.strip() for tag in str(value or "").split(",") if tag.strip()]

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(map(str, value)) if isinstance(value, list) else value

    def run_validators(self, value: Any) -> None:
        for tag in value:
            super().run_validators(tag)
        if len(value) > MAX_TAGS:
            raise ValidationError(_("At most %(most)d tags."), params={"most": MAX_TAGS})


class ProbeField(forms.CharField):
    """A query as text: its SQL where that is all there is to it, else its JSON. Empty for none."""

    def to_python(self, value: Any) -> Any:
        text = str(value or "").strip()
        if not text.startswith("{"):
            return {"sql": text} if text else {}
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise ValidationError(_("This is not JSON, though it starts like it."), code="invalid") from None

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        only_sql = value.keys() == {"sql"} and isinstance(value["sql"], str)
        return value["sql"] if only_sql else json.dumps(value, ensure_ascii=False) if value else ""

    def run_validators(self, value: Any) -> None:
        """The source judges it."""


class DetailsForm(forms.Form):
    """What is beside the settings. ``slug`` is there for a new connection only: it never changes."""

    name = forms.CharField(label=_("Name"), max_length=TEXT_LIMITS["name"], widget=forms.TextInput(WIDE))
    slug = forms.SlugField(
        label=_("Slug"),
        required=False,
        max_length=80,
        widget=forms.TextInput({"class": "vTextField", "spellcheck": "false", "autocapitalize": "off"}),
        help_text=_("Part of the connection's address, for good. Left empty, it is made from the name."),
    )
    environment = forms.CharField(
        label=_("Environment"),
        required=False,
        max_length=TEXT_LIMITS["environment"],
        widget=forms.TextInput({**WIDE, "placeholder": "production", "list": "known-environments"}),
    )
    tags = TagsField(
        label=_("Tags"),
        required=False,
        max_length=64,
        widget=forms.TextInput({"class": "vTextField", "placeholder": "finance, nightly"}),
        help_text=_("With commas between them."),
    )
    description = forms.CharField(
        label=_("Description"),
        required=False,
        max_length=TEXT_LIMITS["description"],
        widget=forms.Textarea({"class": "vLargeTextField", "rows": 2}),
    )
    probe = ProbeField(
        label=_("Probe query"),
        required=False,
        widget=forms.Textarea({"class": "vLargeTextField", "rows": 2, "spellcheck": "false", "autocomplete": "off"}),
        help_text=_("What new secrets must be able to read before they come into use. SQL, or a query as JSON."),
    )
    version = forms.IntegerField(required=False, widget=forms.HiddenInput())

    def __init__(self, data: Any = None, *, connection: Connection | None = None) -> None:
        if connection is None:
            super().__init__(data)
            del self.fields["version"]
            return
        names = ("name", "environment", "tags", "description", "version")
        stored = {name: getattr(connection, name) for name in names}
        super().__init__(data, initial={**stored, "probe": upgrading.probe(connection)})
        del self.fields["slug"]

    def add_problems(self, problems: Iterable[Problem]) -> list[Problem]:
        """Put the problems on their inputs; return those that are about none of them."""
        others = []
        for problem in problems:
            name = problem.pointer.split("/")[1] if problem.pointer else ""
            if name in self.fields:
                self.add_error(name, ValidationError(problem.detail, code=problem.code))
            else:
                others.append(problem)
        return others
