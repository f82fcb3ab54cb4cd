"""A connection URL: the box that it is pasted into, and what it spells as the form's values."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from connections.adapters import schema
from connections.adapters.config import Config
from connections.adapters.schema import Nested


def initial_from_url(model: type[Config], url: str) -> tuple[Nested, Nested]:
    """What ``url`` spells, as ``(config, secrets)``, nested like the settings.

    Raises ``ValueError``, whose text is for the reader and does not repeat the URL.
    """
    config: Nested = {}
    secrets: Nested = {}
    settings = model.parse_url(url)
    hidden = set(schema.secret_paths(model, settings))
    for path in schema.paths(settings):
        schema.put(secrets if path in hidden else config, path, schema.get(settings, path))
    return config, secrets


class _UrlInput(forms.TextInput):
    """An input for a URL that may hold a password: what was pasted is never rendered again."""

    def format_value(self, value: Any) -> None:
        return None


def url_field() -> forms.Field:
    """The "Paste a URL" box."""
    attrs = {"class": "vLargeTextField", "autocomplete": "off", "spellcheck": "false", "data-url": True}
    help_text = _("Fills the settings below. The URL itself is not kept.")
    return forms.CharField(
        label=_("Paste a URL"), required=False, help_text=help_text, widget=_UrlInput(attrs), strip=True
    )
