"""Refuse to start without a usable key ring: a system check, and a call for processes that run no checks."""

from collections.abc import Sequence
from typing import Any, Final

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error

from connections.sealing.errors import KeyRingError, KeyRingProblem
from connections.sealing.keyring import KeyRing

CHECK_IDS: Final = {
    KeyRingProblem.MISSING: "catalog.E001",
    KeyRingProblem.MALFORMED: "catalog.E002",
    KeyRingProblem.SHORT: "catalog.E003",
    KeyRingProblem.DUPLICATE: "catalog.E004",
    KeyRingProblem.NOT_INDEPENDENT: "catalog.E005",
    KeyRingProblem.NOT_RANDOM: "catalog.E006",
    KeyRingProblem.NO_VAULT: "catalog.E007",
}


def check_keys(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Return an Error when CATALOG_KEYS cannot be used; for ``django.core.checks.register``."""
    try:
        KeyRing.from_settings()
    except KeyRingError as error:
        return [Error(error.message, id=CHECK_IDS[error.problem])]
    return []


def require_keys() -> None:
    """Raise ImproperlyConfigured when CATALOG_KEYS cannot be used.

    For wsgi and workers: servers other than ``runserver`` run no system checks.
    """
    KeyRing.from_settings()
