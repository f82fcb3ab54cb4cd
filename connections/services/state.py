"""The state of a connection, told without opening a secret or reaching a source."""

from __future__ import annotations

from typing import Any

from connections.adapters import schema
from connections.models import Connection
from connections.services import drafts, expiry, sources, upgrading, vault
from connections.services.errors import CatalogueError, ConfigOutdated, Locked, Paused

STATES = ("locked", "invalid", "unavailable", "paused", "unchecked", "ready")

BROKEN = ("locked", "invalid", "unavailable")


def state(connection: Connection) -> str:
    """The first of ``STATES`` that holds."""
    if vault.problem(connection) is not None:
        return "locked"
    adapter = sources.find(connection.source)
    if adapter is not None and drafts.outdated(adapter, connection):
        return "invalid"
    try:
        sources.usable(connection.source, connection.organisation)
    except CatalogueError:
        return "unavailable"
    if connection.paused_at is not None:
        return "paused"
    return "unchecked" if connection.status_at is None else "ready"


def require_running(connection: Connection) -> None:
    """Raise ``Paused`` when all use of the connection is stopped."""
    if connection.paused_at is not None:
        reason = f": {connection.paused_reason}" if connection.paused_reason else "."
        raise Paused(f"The connection {connection.slug} is paused{reason}")


def require_usable(connection: Connection) -> sources.AdapterClass:
    """The adapter class, when the connection may be used now. Raises what stands in the way."""
    require_running(connection)
    return _sound(connection)


def _sound(connection: Connection) -> sources.AdapterClass:
    adapter = sources.usable(connection.source, connection.organisation)
    if (problem := vault.problem(connection)) is not None:
        raise Locked(problem, hint="Enter the secrets again.")
    if found := drafts.outdated(adapter, connection):
        raise ConfigOutdated(
            "The stored settings no longer fit this source. Open the connection and save it again.", problems=found
        )
    return adapter


def explanation(connection: Connection) -> str:
    """What is wrong with a connection and how to mend it, in words; empty when nothing is."""
    if (problem := vault.problem(connection)) is not None:
        return f"{problem} Enter the secrets again."
    try:
        _sound(connection)
        require_running(connection)
    except CatalogueError as exc:
        return exc.message if exc.hint is None or exc.hint in exc.message else f"{exc.message} {exc.hint}"
    return ""


def broken(connection: Connection, state: str) -> list[dict[str, Any]]:
    """Why a connection in this ``state`` must be mended before it is used, as a warning; empty where it need not be."""
    return [{"code": state, "message": explanation(connection)}] if state in BROKEN else []


def warnings(connection: Connection) -> list[dict[str, Any]]:
    """What a careful administrator would change: unverified TLS, an http address, a secret that ends soon."""
    found: list[dict[str, Any]] = []
    config = upgrading.config(connection)
    mode = schema.get(config, ("tls", "mode"))
    if mode in ("disable", "require", "verify-ca"):
        texts = {
            "disable": "The connection is not encrypted: whoever is on the way can read its password and data.",
            "require": "The server's certificate is not checked: whoever is on the way can take its place.",
            "verify-ca": "The host's name in the certificate is not checked.",
        }
        found.append({"code": "tls_unverified", "message": texts[mode]})
    if str(config.get("base_url", "")).startswith("http://"):
        found.append({"code": "tls_unverified", "message": "The address is http: nothing is encrypted."})
    return found + expiry.warnings(connection)


def secrets_shown(connection: Connection) -> dict[str, Any]:
    """Every secret of the active schema as ``{"set", "updated_at"}``, nested like the config.

    Where it is known when a secret ends, ``expires_at`` and ``expiries`` tell; ``ref`` where it is kept elsewhere.
    """
    names, expiries = vault.names(connection), expiry.of_secrets(connection)
    elsewhere = vault.references_of(connection)
    adapter = sources.find(connection.source)
    paths = schema.secret_paths(adapter.config_class, upgrading.config(connection)) if adapter else []
    shown: dict[str, Any] = {}
    for path in [*paths, *(tuple(name.split(".")) for name in names if tuple(name.split(".")) not in paths)]:
        updated_at = names.get(".".join(path))
        ends = expiry.shown(expiries, ".".join(path)) if updated_at is not None else {}
        ref = {"ref": elsewhere[".".join(path)]} if ".".join(path) in elsewhere else {}
        schema.put(shown, path, {"set": updated_at is not None, "updated_at": updated_at, **ends, **ref})
    return shown
