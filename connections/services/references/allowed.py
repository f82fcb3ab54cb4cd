"""Who may refer to what: the deployment and the organisation must both allow it, and by default neither does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from django.conf import settings

from connections.models import Organisation
from connections.services.references.reference import Pattern, Reference

OWN_VARIABLES: Final = ("CATALOG_", "DATABASE_URL", "DJANGO_")
"""How the names of variables start that hold the catalogue's own keys: no pattern opens them."""


def refusal(reference: Reference, organisation: Organisation) -> str | None:
    """Why ``organisation`` may not use ``reference``, in words, or None when it may.

    The organisation's own patterns are named; the deployment's are not, as they tell of other organisations.
    """
    if reference.kind == "env" and reference.name.upper().startswith(OWN_VARIABLES):
        return "The catalogue's own variables cannot be referred to."
    if not _any(organisation.references, reference):
        listed = ", ".join(str(pattern) for pattern in organisation.references) or "none"
        return f"It is not among the references that this organisation may use: {listed}."
    if not _any(settings.CATALOG_REFERENCES, reference):
        return "This deployment does not allow it."
    return None


def any_for(organisation: Organisation) -> bool:
    """Whether the organisation may use any reference at all."""
    return bool(organisation.references and settings.CATALOG_REFERENCES)


def grants(organisation: Organisation) -> str:
    """What is allowed, as one text that changes when it does."""
    return repr((settings.CATALOG_REFERENCES, organisation.references))


def _any(patterns: Iterable[object], reference: Reference) -> bool:
    return any(_allows(pattern, reference) for pattern in patterns)


def _allows(pattern: object, reference: Reference) -> bool:
    try:
        return Pattern.parse(str(pattern)).allows(reference)
    except ValueError:  # what nobody can read opens nothing
        return False
