"""Secrets that are kept elsewhere: the catalogue stores where, and looks the value up at use.

A reference must be allowed by the deployment (``CATALOG_REFERENCES``) and by the platform for the organisation
(``Organisation.references``), when it is saved and again each time it is used. What it stands for is never stored:
the supervisor's side looks it up when it hands a connection to a worker.
"""

from connections.services.references.allowed import any_for, grants, refusal
from connections.services.references.reference import KINDS, Pattern, Reference
from connections.services.references.resolving import resolve, within
from connections.services.references.sent import TEXT_OR_REFERENCE, concern, read, refuse_values
from connections.services.references.stored import STAND_IN, column, listed, moved, opened, replaced, sealable
from connections.services.references.vault import MOUNT
from connections.services.references.warmth import epoch

__all__ = [
    "KINDS",
    "MOUNT",
    "STAND_IN",
    "TEXT_OR_REFERENCE",
    "Pattern",
    "Reference",
    "any_for",
    "column",
    "concern",
    "epoch",
    "grants",
    "listed",
    "moved",
    "opened",
    "read",
    "refusal",
    "refuse_values",
    "replaced",
    "resolve",
    "sealable",
    "within",
]
