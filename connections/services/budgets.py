"""What a job may use: the deployment's limits, or the organisation's own where it has them."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError

from connections.adapters.limits import Budget
from connections.models import Organisation

NAMES = (
    "preview_timeout",
    "preview_timeout_max",
    "check_timeout",
    "preview_rows",
    "preview_bytes",
    "export_rows",
    "export_bytes",
    "cell_bytes",
    "worker_bytes",
    "connection_jobs",
    "organisation_jobs",
)
"""Members of ``Organisation.budgets``; the deployment's setting is ``CATALOG_`` and the name in capitals."""


def limit(organisation: Organisation, name: str) -> int | float:
    """One limit by its name. Seconds, rows, bytes or jobs, as the name says."""
    own = organisation.budgets.get(name)
    found: int | float = own if own is not None else getattr(settings, f"CATALOG_{name.upper()}")
    return found


def unsafe_roles(organisation: Organisation) -> bool:
    """Whether logins that cannot be contained may preview: the deployment, the platform and its own people say so."""
    own = organisation.allow_unsafe_roles and organisation.accepts_unsafe_roles
    return bool(own and settings.CATALOG_ALLOW_UNSAFE_ROLES)


def preview(organisation: Organisation) -> Budget:
    """What one JSON preview may produce."""
    return _budget(organisation, "preview")


def export(organisation: Organisation) -> Budget:
    """What one streamed export may produce."""
    return _budget(organisation, "export")


def is_whole(name: str) -> bool:
    """Whether a budget counts things; the others are seconds."""
    return not name.endswith(("timeout", "timeout_max"))


def validate(budgets: object) -> None:
    """Raise ``ValidationError`` unless ``budgets`` maps known names to positive numbers."""
    if not isinstance(budgets, dict):
        raise ValidationError("Budgets are an object of names and numbers.")
    for name, value in budgets.items():
        if name not in NAMES:
            raise ValidationError(f"{name} is not a budget. Known: {', '.join(NAMES)}.")
        whole = is_whole(name)
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or value <= 0:
            raise ValidationError(f"{name} is a {'whole ' if whole else ''}number above 0.")


def _budget(organisation: Organisation, kind: str) -> Budget:
    return Budget(
        rows=int(limit(organisation, f"{kind}_rows")),
        bytes=int(limit(organisation, f"{kind}_bytes")),
        cell_bytes=int(limit(organisation, "cell_bytes")),
        memory_bytes=int(limit(organisation, "worker_bytes")),
    )
