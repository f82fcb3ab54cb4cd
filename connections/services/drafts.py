"""Drafts: settings as they would be after a change, validated, before anything is stored.

One path for every door: create, change, test, clone and import all make a draft. The rules for secrets (keep, set,
clear), for the endpoint and for discriminated settings are here and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone
from pydantic import BaseModel, ValidationError

from connections.adapters import schema
from connections.adapters.schema import Nested, Path, Problem, pointer
from connections.models import Connection, Organisation, Slot
from connections.services import events, references, upgrading, vault
from connections.services.actor import Actor
from connections.services.errors import ConfigOutdated, Invalid, Locked, ReentryRequired
from connections.services.sources import AdapterClass

MAX_CONFIG_BYTES = 64 * 1024
MAX_SECRETS_BYTES = 64 * 1024
MAX_DEPTH = 8


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
        return _resolved(self.adapter, self.organisation, self.config, self.secrets)

    def __reduce__(self) -> Any:
        raise TypeError("A draft holds secrets and is not pickled.")


def new(adapter: AdapterClass, organisation: Organisation, config: Any, secrets: Any) -> Draft:
    """A draft of a connection that does not exist yet. Raises ``Invalid``."""
    config, secrets = _objects(config, secrets)
    model = adapter.config_class
    active = _active(model, config)
    secrets, found = references.read(secrets, active, organisation)
    found += _misplaced(model, config, secrets)
    plain, sealed = _validated(model, organisation, config, _set_values(secrets, active), found)
    times = _times(sealed, {}, set(schema.paths(sealed)))
    return Draft(adapter, organisation, plain, sealed, times, True, bool(sealed))


def changed(adapter: AdapterClass, connection: Connection, patch: Any, secrets: Any) -> Draft:
    """A draft of ``connection`` after a JSON Merge Patch of its config and changes of its secrets.

    Raises ``Invalid``, ``ReentryRequired`` when a kept secret would go elsewhere, ``Locked`` when a kept secret
    cannot be opened.
    """
    patch, secrets = _objects(patch, secrets)
    model = adapter.config_class
    config = merge(model, upgrading.config(connection), patch)
    active = _active(model, config)
    secrets, found = references.read(secrets, active, connection.organisation)
    found += _misplaced(model, patch, secrets, whole=config)
    set_ = _set_values(secrets, active)
    cleared = {path for path in schema.paths(secrets) if schema.get(secrets, path) is None}
    kept = _kept(model, connection, config, set_, cleared)
    # Where nothing is entered or given up either, the row must open: its names may have been edited to keep nothing.
    stored = vault.unseal(connection) if kept or not (set_ or _dropped(model, connection, config)) else {}
    values = {path: schema.get(stored, path) for path in kept} | {p: schema.get(set_, p) for p in schema.paths(set_)}
    plain, sealed = _validated(model, connection.organisation, config, _nest(values), found)
    if kept and schema.endpoint(model, plain) != _stored_endpoint(model, connection):
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


def merge(model: type[BaseModel], stored: Mapping[str, Any], patch: Mapping[str, Any]) -> Nested:
    """RFC 7396 on ``stored``, except that an object whose discriminator changes is replaced, not merged."""
    merged = dict(stored)
    for name, value in patch.items():
        field_ = model.model_fields.get(name)
        before = merged.get(name)
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(before, Mapping):
            tag = schema.discriminator(field_) if field_ is not None else None
            replaced = tag is not None and tag in value and value[tag] != before.get(tag)
            inner = schema.branch(field_, before) if field_ is not None else None
            merged[name] = _without_nulls(value) if replaced else merge(inner or BaseModel, before, value)
        else:
            merged[name] = _without_nulls(value) if isinstance(value, Mapping) else value
    return merged


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
    return _resolved(adapter, connection.organisation, upgrading.config(connection), secrets)


def _resolved(adapter: AdapterClass, organisation: Organisation, config: Nested, secrets: Nested) -> Nested:
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


def _objects(config: Any, secrets: Any) -> tuple[Nested, Nested]:
    for name, value in (("/config", config), ("/secrets", secrets)):
        if value is not None and not isinstance(value, dict):
            raise Invalid.at(name, "Send a JSON object.")
        if value and _depth(value) > MAX_DEPTH:
            raise Invalid.at(name, f"Nested deeper than {MAX_DEPTH} objects.")
        if value and _has_nul(value):
            raise Invalid.at(name, "A text holds the character NUL.")
    return config or {}, secrets or {}


def _active(model: type[BaseModel], config: Nested) -> list[Path]:
    """Paths of the secrets that the source has under these settings."""
    return schema.secret_paths(model, schema.join(config, {}))


def _misplaced(model: type[BaseModel], config: Nested, secrets: Nested, whole: Nested | None = None) -> list[Problem]:
    """Secrets inside ``config``, settings inside ``secrets``, and secrets that cannot be what was meant."""
    merged = config if whole is None else whole
    active = set(_active(model, merged))
    plain = {path for path, field_ in schema.leaves(model, merged) if not schema.is_secret(field_)}
    found = [
        Problem(pointer("/config", path), "secret", "This is a secret: send it in secrets.")
        for path in active
        if _holds(config, path)
    ]
    for path in schema.paths(secrets):
        value, place = schema.get(secrets, path), schema.pointer_told("/secrets", path)
        if path in plain:
            found.append(Problem(place, "not_secret", "This is a plain setting: send it in config."))
        elif path not in active:
            found.append(Problem(place, "unknown", "This source has no such secret, or not with these settings."))
        elif value is None or isinstance(value, references.Reference):
            continue
        elif not isinstance(value, str):
            found.append(Problem(place, "invalid", references.TEXT_OR_REFERENCE))
        elif not value:
            found.append(Problem(place, "blank", "Leave the secret out to keep it; send null to clear it."))
        elif schema.is_mask(value):
            found.append(Problem(place, "mask", "This looks like a mask. Leave the secret out to keep it."))
    return found


def _validated(
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


def _kept(
    model: type[BaseModel], connection: Connection, config: Nested, set_: Nested, cleared: set[Path]
) -> set[Path]:
    """Stored secrets that stay: active under the new config, of the same branch, neither set nor cleared."""
    active = set(schema.secret_paths(model, config))
    given = set(schema.paths(set_)) | cleared
    dropped = _dropped(model, connection, config)
    stored = {tuple(name.split(".")) for name in vault.names(connection)}
    return {path for path in (stored & active) - given if not any(path[: len(gone)] == gone for gone in dropped)}


def _dropped(model: type[BaseModel], connection: Connection, config: Nested) -> list[Path]:
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


def _stored_endpoint(model: type[BaseModel], connection: Connection) -> Nested:
    """The stored endpoint with today's defaults written out, so that a new setting's default is not a change."""
    stored = upgrading.config(connection)
    try:
        secrets = vault.unseal(connection)
        stand_ins = dict.fromkeys(references.listed(secrets), references.STAND_IN)
        settings = model.model_validate(schema.join(stored, references.replaced(secrets, stand_ins)))
    except (ValidationError, Locked):
        return schema.endpoint(model, stored)
    return schema.endpoint(model, schema.split(settings)[0])


def _set_values(secrets: Nested, active: Iterable[Path]) -> Nested:
    """What is to be set. Nothing where the source has no secret: it could lie across one that is kept."""
    known = set(active)
    given = {path: schema.get(secrets, path) for path in schema.paths(secrets) if path in known}
    return _nest({path: value for path, value in given.items() if value is not None})


def _nest(values: Mapping[Path, Any]) -> Nested:
    nested: Nested = {}
    for path, value in values.items():
        schema.put(nested, path, value)
    return nested


def _times(sealed: Nested, before: dict[str, str], changed_paths: set[Path]) -> dict[str, str]:
    """When each secret was set: now for new ones, as before for kept ones."""
    now = timezone.now().isoformat().replace("+00:00", "Z")
    return {
        ".".join(path): now if path in changed_paths else before.get(".".join(path), now)
        for path in schema.paths(sealed)
    }


def _holds(nested: Nested, path: Path) -> bool:
    inner = schema.get(nested, path[:-1]) if path[:-1] else nested
    return isinstance(inner, Mapping) and path[-1] in inner


def _without_nulls(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any("\0" in name or _has_nul(inner) for name, inner in value.items())
    if isinstance(value, list):
        return any(_has_nul(inner) for inner in value)
    return isinstance(value, str) and "\0" in value


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max((_depth(inner) for inner in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((_depth(inner) for inner in value), default=0)
    return 0
