"""Drafts of new connections and of changed ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from connections.adapters import schema
from connections.adapters.schema import Nested, Path, Problem, pointer
from connections.models import Connection, Organisation
from connections.services import events, references, upgrading, vault
from connections.services.actor import Actor
from connections.services.drafts.keeping import dropped_paths, kept_paths, stored_endpoint
from connections.services.drafts.merging import merge
from connections.services.drafts.sent import active_paths, misplaced, nest, objects, set_values
from connections.services.drafts.stored import resolved
from connections.services.drafts.validating import validated
from connections.services.errors import ReentryRequired
from connections.services.sources import AdapterClass


@dataclass(frozen=True, slots=True)
class Draft:
    """Validated settings. ``secrets`` is all that would be sealed, in plain text: it never leaves the services.

    Those that are kept elsewhere are in it as ``Reference``; their values are looked up at use only.
    """

    adapter: AdapterClass
    organisation: Organisation
    config: Nested
    secrets: Nested = field(repr=False)
    set_at: dict[str, str]
    config_changed: bool
    secrets_changed: bool

    def settings(self) -> Nested:
        """Config and secrets as one object: what an adapter is made from. Looks up what is kept elsewhere.

        Raises ``Unresolved`` or ``UnreachableError`` for a secret that has no value there.
        """
        return resolved(self.adapter, self.organisation, self.config, self.secrets)

    def __reduce__(self) -> Any:
        raise TypeError("A draft holds secrets and is not pickled.")


def new(adapter: AdapterClass, organisation: Organisation, config: Any, secrets: Any) -> Draft:
    """A draft of a connection that does not exist yet. Raises ``Invalid``."""
    config, secrets = objects(config, secrets)
    model = adapter.config_class
    active = active_paths(model, config)
    secrets, found = references.read(secrets, active, organisation)
    found += misplaced(model, config, secrets)
    plain, sealed = validated(model, organisation, config, set_values(secrets, active), found)
    times = _times(sealed, {}, set(schema.paths(sealed)))
    return Draft(adapter, organisation, plain, sealed, times, True, bool(sealed))


def changed(adapter: AdapterClass, connection: Connection, patch: Any, secrets: Any) -> Draft:
    """A draft of ``connection`` after a JSON Merge Patch of its config and changes of its secrets.

    Raises ``Invalid``, ``ReentryRequired`` when a kept secret would go elsewhere, ``Locked`` when a kept secret
    cannot be opened.
    """
    patch, secrets = objects(patch, secrets)
    model = adapter.config_class
    config = merge(model, upgrading.config(connection), patch)
    active = active_paths(model, config)
    secrets, found = references.read(secrets, active, connection.organisation)
    found += misplaced(model, patch, secrets, whole=config)
    set_ = set_values(secrets, active)
    cleared = {path for path in schema.paths(secrets) if schema.get(secrets, path) is None}
    kept = kept_paths(model, connection, config, set_, cleared)
    # Where nothing is entered or given up either, the row must open: its names may have been edited to keep nothing.
    stored = vault.unseal(connection) if kept or not (set_ or dropped_paths(model, connection, config)) else {}
    values = {path: schema.get(stored, path) for path in kept} | {p: schema.get(set_, p) for p in schema.paths(set_)}
    plain, sealed = validated(model, connection.organisation, config, nest(values), found)
    if kept and schema.endpoint(model, plain) != stored_endpoint(model, connection):
        raise ReentryRequired(
            "These settings decide where the secrets go. Enter the secrets again.",
            problems=[
                Problem(pointer("/secrets", path), "reentry_required", "Enter this secret again.") for path in kept
            ],
        )
    before = vault.names(connection)
    new_paths = set(schema.paths(sealed)) - kept
    secrets_changed = bool(new_paths) or {".".join(path) for path in schema.paths(sealed)} != set(before)
    return Draft(
        adapter,
        connection.organisation,
        plain,
        sealed,
        _times(sealed, before, new_paths),
        plain != connection.config or connection.schema_version != model.schema_version,
        secrets_changed,
    )


def changed_by(
    actor: Actor, asked: str, adapter: AdapterClass, connection: Connection, patch: Any, secrets: Any
) -> Draft:
    """``changed``, for ``actor`` who ``asked`` for it. A secret that was kept from going elsewhere is on record."""
    try:
        return changed(adapter, connection, patch, secrets)
    except ReentryRequired as exc:
        events.record(actor, "access.denied", connection, result="denied", code=exc.code, detail={"asked": asked})
        raise


def _times(sealed: Nested, before: dict[str, str], changed_paths: set[Path]) -> dict[str, str]:
    """When each secret was set: now for new ones, as before for kept ones."""
    now = timezone.now().isoformat().replace("+00:00", "Z")
    return {
        ".".join(path): now if path in changed_paths else before.get(".".join(path), now)
        for path in schema.paths(sealed)
    }
