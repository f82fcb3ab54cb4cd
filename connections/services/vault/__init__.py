"""Seal a connection's secrets, tell whether they open, hand them over.

Plaintext leaves this package in two ways only: to the supervisor, which writes it down one worker's pipe, and to
``services.drafts``, which joins kept secrets with new ones to validate and seal the whole.
"""

from connections.services.vault.data_keys import SealingKey, make_key, new_key, sealing_key
from connections.services.vault.opening import problem, unseal
from connections.services.vault.place import fingerprint
from connections.services.vault.rows import (
    blob_digest,
    current,
    find,
    forget_rows,
    is_due,
    kept_until,
    names,
    next_generation,
    references_of,
    version,
)
from connections.services.vault.sealing import seal, write

__all__ = [
    "SealingKey",
    "blob_digest",
    "current",
    "find",
    "fingerprint",
    "forget_rows",
    "is_due",
    "kept_until",
    "make_key",
    "names",
    "new_key",
    "next_generation",
    "problem",
    "references_of",
    "seal",
    "sealing_key",
    "unseal",
    "version",
    "write",
]
