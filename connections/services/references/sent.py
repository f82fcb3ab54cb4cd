"""References as they come in with a request, ``{"password": {"ref": "env:NAME"}}``, and what a source says of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from connections.adapters import schema
from connections.adapters.schema import Nested, Path, Problem, pointer
from connections.models import Organisation
from connections.services.errors import Unresolved
from connections.services.references.allowed import refusal
from connections.services.references.reference import Reference
from connections.services.references.stored import MEMBER, listed, replaced

TEXT_OR_REFERENCE = "A secret is a text, or a reference."


def read(secrets: Nested, active: Iterable[Path], organisation: Organisation) -> tuple[Nested, list[Problem]]:
    """``secrets`` with what refers elsewhere as ``Reference``, and what is wrong with those that will not do.

    ``active`` are the paths of the source's secrets. An object that is no reference is wrong, too. What was sent in
    it is not repeated, nor are the names of its members: it may be the secret itself, in the wrong place.
    """
    found: dict[Path, Any] = {}
    problems = []
    for path in active:
        value = schema.get(secrets, path)
        if not isinstance(value, Mapping):
            continue
        place = pointer("/secrets", path)
        if set(value) != {MEMBER}:
            problems.append(Problem(place, "invalid", TEXT_OR_REFERENCE))
            found[path] = None
            continue
        try:
            found[path] = Reference.parse(value[MEMBER])
        except ValueError as exc:
            problems.append(Problem(place, "invalid", str(exc)))
            found[path] = None  # told once, here
            continue
        if (reason := refusal(found[path], organisation)) is not None:
            problems.append(Problem(place, "not_allowed", f"This reference may not be used. {reason}"))
    return replaced(secrets, found), problems


def concern(kept_elsewhere: Collection[Path], problems: Collection[Problem]) -> bool:
    """Whether what is wrong is wrong with secrets that are kept elsewhere, and with nothing else."""
    places = {pointer("/secrets", path) for path in kept_elsewhere}
    return bool(problems) and all(problem.pointer in places for problem in problems)


def refuse_values(secrets: Nested, problems: Collection[Problem]) -> None:
    """Raise ``Unresolved`` when a looked-up value is what does not fit the source."""
    for path, reference in listed(secrets).items():
        place = pointer("/secrets", path)
        problem = next((problem for problem in problems if problem.pointer == place), None)
        if problem is not None:
            raise Unresolved(
                f"What was found at {reference} does not fit this setting: {problem.detail}",
                field=place,
                hint="Correct the value there, or the reference.",
                fixable_by="you",
            )
