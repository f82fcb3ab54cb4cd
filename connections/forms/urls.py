"""A connection URL as the form's values."""

from __future__ import annotations

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
