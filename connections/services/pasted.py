"""Connection URLs that people paste: parsed into settings, and forgotten."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from connections.adapters import schema
from connections.services import sources
from connections.services.errors import Invalid
from connections.services.sources import AdapterClass

Nested = dict[str, Any]


def parse(adapter: AdapterClass, url: Any) -> tuple[Nested, Nested]:
    """``(config, secrets)`` as the URL spells them, not yet validated. Raises ``Invalid`` without repeating it."""
    if not isinstance(url, str) or not 0 < len(url) <= 8192:
        raise Invalid.at("/url", "A connection URL of at most 8192 characters.", "required" if not url else "invalid")
    try:
        found = adapter.config_class.parse_url(url)
    except ValidationError:
        raise Invalid.at("/url", "The URL's settings do not fit this source.") from None
    except ValueError as exc:
        raise Invalid.at("/url", str(exc)) from None
    config: Nested = {}
    secrets: Nested = {}
    secret_paths = set(schema.secret_paths(adapter.config_class, found))
    for path in schema.paths(found):
        schema.put(secrets if path in secret_paths else config, path, schema.get(found, path))
    return config, secrets


def settings(body: dict[str, Any]) -> tuple[Any, Any]:
    """Config and secrets of a request that may give a ``url`` in place of its config."""
    if body.get("url") is None:
        return body.get("config"), body.get("secrets")
    if body.get("config"):
        raise Invalid.at("/url", "Send either url or config.")
    adapter = sources.find(str(body.get("source")))
    if adapter is None:
        raise Invalid.at("/source", "There is no such source. GET /api/v1/sources/ lists them.", "unknown")
    config, secrets = parse(adapter, body["url"])
    given = body.get("secrets")
    return config, schema.join(secrets, given) if isinstance(given, dict) else given or secrets
