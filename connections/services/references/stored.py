"""References among a connection's secrets: as they are sent, sealed and shown.

In memory a secret is a text or a ``Reference``. In the sealed blob a reference is ``{"ref": "env:NAME"}``: so it is
authenticated. The row repeats it in clear, to be shown without opening anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from connections.adapters import schema
from connections.adapters.schema import Nested, Path
from connections.sealing.errors import Tampered
from connections.services.references.reference import Reference

MEMBER = "ref"
STAND_IN = "kept elsewhere"
"""What a model is given in place of a value that is not looked up yet."""


def listed(secrets: Mapping[str, Any]) -> dict[Path, Reference]:
    """The references in ``secrets`` by path."""
    return {path: value for path in schema.paths(secrets) if isinstance(value := schema.get(secrets, path), Reference)}


def column(secrets: Mapping[str, Any]) -> dict[str, str]:
    """What a row says beside its blob: dotted paths and references."""
    return {".".join(path): str(reference) for path, reference in listed(secrets).items()}


def moved(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, Any]:
    """A change of where secrets are kept, for the record, when there is one. A reference is no secret."""
    return {"references": [dict(before), dict(after)]} if dict(before) != dict(after) else {}


def replaced(secrets: Mapping[str, Any], values: Mapping[Path, Any], prefix: Path = ()) -> Nested:
    """A copy of ``secrets`` with other values at some paths."""
    copy: Nested = {}
    for name, value in secrets.items():
        path = (*prefix, name)
        if path in values:
            copy[name] = values[path]
        else:
            copy[name] = replaced(value, values, path) if isinstance(value, Mapping) else value
    return copy


def sealable(secrets: Mapping[str, Any]) -> Nested:
    """``secrets`` as they are sealed."""
    return replaced(secrets, {path: {MEMBER: str(reference)} for path, reference in listed(secrets).items()})


def opened(payload: Nested, names: Iterable[str], beside: Mapping[str, str]) -> Nested:
    """What a blob held, its references read. ``names`` are its dotted paths.

    Raises ``Tampered`` when the row's own list of references, ``beside``, says otherwise than the blob.
    """
    try:
        secrets = _read(payload, {tuple(name.split(".")) for name in names})
    except ValueError:
        raise Tampered from None
    if column(secrets) != dict(beside):
        raise Tampered
    return secrets


def _read(payload: Mapping[str, Any], leaves: Collection[Path], prefix: Path = ()) -> Nested:
    secrets: Nested = {}
    for name, value in payload.items():
        path = (*prefix, name)
        if not isinstance(value, Mapping):
            secrets[name] = value
        else:
            secrets[name] = Reference.parse(value.get(MEMBER)) if path in leaves else _read(value, leaves, path)
    return secrets
