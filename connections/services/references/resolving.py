"""From references to values, at use: in the supervisor's hand-over to a worker, and nowhere else."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from django.conf import settings

from connections.adapters import schema
from connections.adapters.errors import UnreachableError
from connections.adapters.schema import Nested, Path
from connections.models import Organisation
from connections.services.errors import Unresolved
from connections.services.references import env, file, stored, vault
from connections.services.references.allowed import refusal
from connections.services.references.missing import Missing
from connections.services.references.reference import Reference

MAX_CHARACTERS: Final = 64 * 1024

_until: ContextVar[float] = ContextVar("until", default=math.inf)
_PLACES: Final[dict[str, Callable[[str, float], str]]] = {
    "env": env.look_up,
    "file": file.look_up,
    "vault": vault.look_up,
}


def resolve(organisation: Organisation, secrets: Nested) -> Nested:
    """``secrets`` with the value of each reference in its place.

    Raises ``Unresolved`` for one that has no value or is not allowed, and ``UnreachableError`` when the place where it
    is kept cannot be asked now, or not within the time that ``within`` leaves.
    """
    found = stored.listed(secrets)
    if not found:
        return secrets
    until = min(time.monotonic() + settings.CATALOG_VAULT_TIMEOUT, _until.get())
    return stored.replaced(secrets, {path: _value(organisation, path, ref, until) for path, ref in found.items()})


@contextmanager
def within(until: float) -> Iterator[None]:
    """Inside, looking up ends at ``until``, in monotonic seconds: the deadline of the request that it is for."""
    token = _until.set(until)
    try:
        yield
    finally:
        _until.reset(token)


def _value(organisation: Organisation, path: Path, reference: Reference, until: float) -> str:
    field = schema.pointer("/secrets", path)
    if (reason := refusal(reference, organisation)) is not None:
        raise Unresolved(
            f"The reference {reference} may not be used. {reason}",
            field=field,
            hint="Enter the secret itself, choose another reference, or ask the platform's operators to allow it.",
        )
    try:
        if time.monotonic() >= until:
            raise Missing("nowhere, as the time of this request was over", transient=True)
        return _text(_PLACES[reference.kind](reference.name, until), reference)
    except Missing as exc:
        message = f"The reference {reference} has no value. Searched: {exc.where}."
        if exc.transient:
            hint = "Try again shortly; if it stays so, tell the platform's operators."
            raise UnreachableError(message, field=field, hint=hint) from None
        raise Unresolved(message, field=field, hint=_HINTS[exc.fixable_by], fixable_by=exc.fixable_by) from None


def _text(value: Any, reference: Reference) -> str:
    """The value, if it may be a secret at all."""
    if not value:
        raise Missing(f"{reference} is there, and is empty", fixable_by="you")
    if "\0" in value or len(value) > MAX_CHARACTERS:
        raise Missing(f"{reference} is there, and is no text of at most {MAX_CHARACTERS} characters without NUL")
    return str(value)


_HINTS: Final = {
    "you": "Put the value there, or correct the reference.",
    "platform": "Correct the reference, or ask the platform's operators to put the value there.",
}
