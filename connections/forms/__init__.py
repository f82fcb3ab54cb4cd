"""A source's settings as a native Django form, derived from its pydantic model."""

from connections.forms.settings import SettingsForm
from connections.forms.urls import initial_from_url

__all__ = ["SettingsForm", "initial_from_url"]
