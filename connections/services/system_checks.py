"""What ``manage.py check`` says about the sources and the deployment."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from connections.adapters.registry import registry
from connections.models import triggers
from connections.services import walls
from connections.services.references import MOUNT, Pattern

CROSSING: Final = "connections.admin.crossing"
DJANGO: Final = "django.template.backends.django.DjangoTemplates"


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


def check_references(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """What the deployment says of secrets that are kept elsewhere can be read. What nobody can read opens nothing."""
    found: list[CheckMessage] = []
    for text in settings.CATALOG_REFERENCES:
        try:
            Pattern.parse(text)
        except ValueError as exc:
            found.append(Error(f"CATALOG_REFERENCES: {exc}", id="catalog.E022"))
    found += [
        Error(f"CATALOG_VAULT_MOUNTS: {entry!r} is not like secret:2, a mount and 1 or 2.", id="catalog.E023")
        for entry in settings.CATALOG_VAULT_MOUNTS
        if not MOUNT.fullmatch(entry)
    ]
    return found


def check_pages(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Forms of the admin say whose page they are on; without that, what they send is refused."""
    engines: list[dict[str, Any]] = settings.TEMPLATES
    return [
        Error(
            f"TEMPLATES lacks {CROSSING!r} among the builtins: every form of the admin would be refused.",
            hint="Add it to OPTIONS, as the settings of catalog_project have it.",
            id="catalog.E024",
        )
        for engine in engines
        if engine["BACKEND"] == DJANGO and CROSSING not in engine.get("OPTIONS", {}).get("builtins", ())
    ]


def check_row_security(app_configs: Any, databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """The wall in the database is what the settings say, and it binds the role that this process logs in as."""
    if "default" not in (databases or ()):
        return []
    return [Error(text, hint=hint, id="catalog.E031") for text, hint in walls.doubts()]


def check_ties(app_configs: Any, databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """What ties rows to their organisation and keeps the record is there.

    A warning: `migrate` asks first, and makes what is missing.
    """
    return [
        Warning(
            f"The database {name} lacks what ties rows to organisations or keeps the record: {', '.join(absent)}.",
            hint=f"Run manage.py migrate --database {name}. On PostgreSQL, add a migration that calls ties.make, or "
            "makes again what the migrations named in models/triggers.py made.",
            id="catalog.W030",
        )
        for name in databases or ()
        if (absent := triggers.missing(name))
    ]
