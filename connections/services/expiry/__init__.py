"""The expiry radar: when secrets and certificates end, and who says so.

What a secret's own text tells is read in the moment it is sealed, when it is there in plain, and kept beside it; so
nothing is opened to list it. People add dates by hand where a secret does not tell. Of two dates the earlier counts.
"""

from connections.services.expiry.by_hand import manual
from connections.services.expiry.keeping import Stored, keep, known, of_draft, of_secrets, settle, stored
from connections.services.expiry.reading import MANUAL, Expiries, earliest, found
from connections.services.expiry.warning import WARN_DAYS, shown, warnings

__all__ = [
    "MANUAL",
    "WARN_DAYS",
    "Expiries",
    "Stored",
    "earliest",
    "found",
    "keep",
    "known",
    "manual",
    "of_draft",
    "of_secrets",
    "settle",
    "shown",
    "stored",
    "warnings",
]
