"""Settings judged by their source, and by their size, before they are stored."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pydantic import BaseModel, ValidationError

from connections.adapters import schema
from connections.adapters.schema import Nested, Problem, pointer
from connections.models import Organisation
from connections.services import references
from connections.services.errors import Invalid

MAX_CONFIG_BYTES = 64 * 1024
MAX_SECRETS_BYTES = 64 * 1024


def validated(
    model: type[BaseModel], organisation: Organisation, config: Nested, secrets: Nested, found: list[Problem]
) -> tuple[Nested, Nested]:
    """Config and secrets as they would be stored. Raises ``Invalid`` with ``found`` and what else is wrong.

    A secret that is kept elsewhere is not looked up to save it, unless the source judges what it looks like.
    """
    kept_elsewhere = references.listed(secrets)
    stand_ins = dict.fromkeys(kept_elsewhere, references.STAND_IN)
    settings, more = _validate(model, schema.join(config, references.replaced(secrets, stand_ins)), found)
    if settings is None and not found and references.concern(kept_elsewhere, more):
        values = references.resolve(organisation, secrets)
        settings, more = _validate(model, schema.join(config, values), found)
    if settings is None:
        raise Invalid.of([*found, *more])
    plain, revealed = schema.split(settings)
    sealed = references.replaced(revealed, kept_elsewhere)
    if oversized := [*_oversized(plain, references.sealable(sealed))]:
        raise Invalid.of(oversized)
    return plain, sealed


def _validate(model: type[BaseModel], whole: Nested, found: list[Problem]) -> tuple[BaseModel | None, list[Problem]]:
    try:
        settings = model.model_validate(whole)
    except ValidationError as exc:
        # What is wrong in secrets is told there once, not in config too: both were joined to be validated.
        known = {problem.pointer for problem in found}
        known |= {place.replace("/secrets", "/config", 1) for place in known if place.startswith("/secrets")}
        more = schema.problems(exc, model, config="/config", secrets="/secrets")
        return None, [problem for problem in more if problem.pointer not in known]
    return (None, []) if found else (settings, [])


def _oversized(plain: Nested, sealed: Nested) -> Iterator[Problem]:
    """What is too large to be stored: the config, or the secrets, of which the longest is pointed at."""
    if _size(plain) > MAX_CONFIG_BYTES:
        yield Problem("/config", "too_large", f"The settings are over {MAX_CONFIG_BYTES // 1024} KB.")
    if _size(sealed) > MAX_SECRETS_BYTES:
        longest = max(schema.paths(sealed), key=lambda path: len(str(schema.get(sealed, path))))
        text = f"The secrets are over {MAX_SECRETS_BYTES // 1024} KB together, and this one is the longest."
        yield Problem(pointer("/secrets", longest), "too_large", text)


def _size(nested: Nested) -> int:
    """Bytes of ``nested`` as compact JSON in UTF-8."""
    return len(json.dumps(nested, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))
