"""References as they come in with a request: ``{"password": {"ref": "env:NAME"}}``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from connections.adapters import schema
from connections.adapters.schema import Nested, Path, Problem, pointer
from connections.models import Organisation
from connections.services.references.allowed import refusal
from connections.services.references.reference import Reference
from connections.services.references.stored import MEMBER, replaced


def read(secrets: Nested, active: Iterable[Path], organisation: Organisation) -> tuple[Nested, list[Problem]]:
    """``secrets`` with what refers elsewhere as ``Reference``, and what is wrong with those that will not do.

    ``active`` are the paths of the source's secrets. What was sent as a reference is not repeated: it may be the
    secret itself, in the wrong place.
    """
    found: dict[Path, Any] = {}
    problems = []
    for path in active:
        value = schema.get(secrets, path)
        if not isinstance(value, Mapping) or set(value) != {MEMBER}:
            continue
        place = pointer("/secrets", path)
        try:
            found[path] = Reference.parse(value[MEMBER])
        except ValueError as exc:
            problems.append(Problem(place, "invalid", str(exc)))
            found[path] = None  # told once, here
            continue
        if (reason := refusal(found[path], organisation)) is not None:
            problems.append(Problem(place, "not_allowed", f"This reference may not be used. {reason}"))
    return replaced(secrets, found), problems
