"""Which sources there are, and which an organisation may use."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from connections.adapters.base import Adapter
from connections.adapters.registry import BrokenSourceError, UnknownSourceError, registry
from connections.models import Organisation
from connections.services.errors import DriverMissing, Invalid, NotFound, SourceNotAllowed

AdapterClass = type[Adapter[Any, Any]]
_GONE = (
    "Ask the platform's operators to install the package that brings it; or delete the connection, and make one of "
    "another source."
)


def is_allowed(source: str, organisation: Organisation | None = None) -> bool:
    """Whether the deployment and the organisation let ``source`` be used. An empty list allows all."""
    lists = [settings.CATALOG_SOURCES, organisation.sources if organisation else []]
    return all(not allowed or source in allowed for allowed in lists)


def find(source: str) -> AdapterClass | None:
    """The adapter class of ``source``, or None when it is unknown or broken."""
    try:
        return registry[source]
    except (UnknownSourceError, BrokenSourceError):
        return None


def usable(source: str, organisation: Organisation) -> AdapterClass:
    """The adapter class of ``source``. Raises ``SourceNotAllowed`` or ``DriverMissing`` when it cannot be used now."""
    adapter = editable(source, organisation)
    if adapter.driver is not None and not adapter.driver.available:
        raise DriverMissing(
            f"{adapter.driver.module} is not installed. Run: {adapter.driver.install}", hint=adapter.driver.install
        )
    return adapter


def editable(source: str, organisation: Organisation) -> AdapterClass:
    """The adapter class for changing settings; a missing driver does not stand in the way."""
    if not is_allowed(source, organisation):
        raise SourceNotAllowed(f"The source {source} is not allowed in this organisation.")
    adapter = find(source)
    if adapter is None:
        raise DriverMissing(f"The source {source} is not installed, or cannot be loaded.", hint=_GONE)
    return adapter


def chosen(source: Any, organisation: Organisation) -> AdapterClass:
    """The adapter class for a new connection. Raises ``Invalid`` at ``/source`` for one that is not known."""
    if not isinstance(source, str) or source not in registry:
        raise Invalid.at("/source", "There is no such source. GET /api/v1/sources/ lists them.", "unknown")
    return editable(source, organisation)


def summaries() -> list[dict[str, Any]]:
    """Every source of this deployment, broken ones included, as the REST list shows them."""
    found = []
    for source in registry:
        if not is_allowed(source):
            continue
        adapter = find(source)
        found.append(summary(adapter) if adapter is not None else _broken(source))
    return found


def summary(adapter: AdapterClass) -> dict[str, Any]:
    driver = adapter.driver
    return {
        "id": adapter.id,
        "label": adapter.label,
        "category": str(adapter.category),
        "available": driver is None or driver.available,
        "install": driver.install if driver else None,
        "capabilities": adapter.capabilities(),
        "docs_url": adapter.docs_url,
    }


def detail(source: str) -> dict[str, Any]:
    """One source with its schemas (JSON Schema 2020-12). Raises ``NotFound``."""
    adapter = find(source)
    if adapter is None or not is_allowed(source):
        raise NotFound
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {
        **summary(adapter),
        "config_schema": {"$schema": dialect, **adapter.config_class.model_json_schema()},
        "query_schema": {"$schema": dialect, **adapter.query_class.model_json_schema()},
    }


def _broken(source: str) -> dict[str, Any]:
    return {
        "id": source,
        "label": source,
        "category": "application",
        "available": False,
        "install": None,
        "capabilities": [],
        "docs_url": None,
    }
