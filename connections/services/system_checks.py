"""What ``manage.py check`` says about the sources and the deployment."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from connections.adapters.registry import registry


def check_sources(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A broken plug-in is a warning: it is greyed out, and the others work. A wrong allow-list is an error."""
    found: list[CheckMessage] = [
        Warning(f"The source {source} cannot be used. {reason}", id="catalog.W001")
        for source, reason in registry.broken().items()
    ]
    found += [
        Error(f"CATALOG_SOURCES names {source!r}, which is not installed.", id="catalog.E020")
        for source in settings.CATALOG_SOURCES
        if source not in registry
    ]
    if settings.CATALOG_RUNNER not in ("local", "inline"):
        found.append(Error("CATALOG_RUNNER is not one of: local, inline.", id="catalog.E021"))
    return found
