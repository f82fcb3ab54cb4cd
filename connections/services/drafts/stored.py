"""Stored settings: joined with their secrets for use, and what of them fits the source no more."""

from __future__ import annotations

from pydantic import ValidationError

from connections.adapters import schema
from connections.adapters.schema import Nested, Problem, pointer
from connections.models import Connection, Organisation, Slot
from connections.services import references, upgrading, vault
from connections.services.errors import ConfigOutdated
from connections.services.sources import AdapterClass


def outdated(adapter: AdapterClass, connection: Connection) -> list[Problem]:
    """What no longer fits the source's schema in a stored config; secrets are taken to be as they were set."""
    if (reason := upgrading.problem(connection)) is not None:
        return [Problem("/config", "outdated", reason)]
    set_paths = {tuple(name.split(".")) for name in vault.names(connection)}
    try:
        adapter.config_class.model_validate(upgrading.config(connection))
    except ValidationError as exc:
        found = schema.problems(exc, adapter.config_class, config="/config", secrets="/secrets")
        kept = {pointer("/secrets", path) for path in set_paths}
        return [problem for problem in found if not (problem.code == "required" and problem.pointer in kept)]
    return []


def settings_of(adapter: AdapterClass, connection: Connection, slot: Slot = Slot.CURRENT) -> Nested:
    """Stored config and unsealed secrets, joined, for the supervisor; those that are kept elsewhere are looked up.

    Raises ``Locked`` (``Unresolved`` for one that is kept elsewhere), ``ConfigOutdated``, and ``UnreachableError`` when
    the place where one is kept does not answer.
    """
    secrets = vault.unseal(connection, slot)
    return resolved(adapter, connection.organisation, upgrading.config(connection), secrets)


def resolved(adapter: AdapterClass, organisation: Organisation, config: Nested, secrets: Nested) -> Nested:
    """Settings and secrets joined, with what is kept elsewhere looked up. Raises as ``settings_of``."""
    whole = schema.join(config, references.resolve(organisation, secrets))
    try:
        adapter.config_class.model_validate(whole)
    except ValidationError as exc:
        problems = schema.problems(exc, adapter.config_class, config="/config", secrets="/secrets")
        references.refuse_values(secrets, problems)
        raise ConfigOutdated(
            "The stored settings no longer fit this source. Open the connection and save it again.", problems=problems
        ) from None
    return whole
