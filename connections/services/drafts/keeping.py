"""Which stored secrets stay under other settings, and where they went so far."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ValidationError

from connections.adapters import schema
from connections.adapters.schema import Nested, Path
from connections.models import Connection
from connections.services import references, upgrading, vault
from connections.services.errors import Locked


def kept_paths(
    model: type[BaseModel], connection: Connection, config: Nested, set_: Nested, cleared: set[Path]
) -> set[Path]:
    """Stored secrets that stay: active under the new config, of the same branch, neither set nor cleared."""
    active = set(schema.secret_paths(model, config))
    given = set(schema.paths(set_)) | cleared
    dropped = dropped_paths(model, connection, config)
    stored = {tuple(name.split(".")) for name in vault.names(connection)}
    return {path for path in (stored & active) - given if not any(path[: len(gone)] == gone for gone in dropped)}


def dropped_paths(model: type[BaseModel], connection: Connection, config: Nested) -> list[Path]:
    """Paths of the stored settings whose secrets go, as another alternative was chosen."""
    return _switched(model, upgrading.config(connection), config)


def _switched(model: type[BaseModel], before: Nested, after: Nested, prefix: Path = ()) -> list[Path]:
    """Paths of the discriminated settings whose alternative changed."""
    found: list[Path] = []
    for name, field_ in model.model_fields.items():
        old, new_ = before.get(name, schema.default(field_)), after.get(name, schema.default(field_))
        if not isinstance(old, Mapping) or not isinstance(new_, Mapping):
            continue
        tag = schema.discriminator(field_)
        if tag is not None and old.get(tag) != new_.get(tag):
            found.append((*prefix, name))
        elif (inner := schema.branch(field_, new_)) is not None:
            found += _switched(inner, dict(old), dict(new_), (*prefix, name))
    return found


def stored_endpoint(model: type[BaseModel], connection: Connection) -> Nested:
    """The stored endpoint with today's defaults written out, so that a new setting's default is not a change."""
    stored = upgrading.config(connection)
    try:
        secrets = vault.unseal(connection)
        stand_ins = dict.fromkeys(references.listed(secrets), references.STAND_IN)
        settings = model.model_validate(schema.join(stored, references.replaced(secrets, stand_ins)))
    except (ValidationError, Locked):
        return schema.endpoint(model, stored)
    return schema.endpoint(model, schema.split(settings)[0])
