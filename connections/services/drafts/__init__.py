"""Drafts: settings as they would be after a change, validated, before anything is stored.

One path for every door: create, change, test, clone and import all make a draft. The rules for secrets (keep, set,
clear), for the endpoint and for discriminated settings are here and nowhere else.
"""

from connections.services.drafts.draft import Draft, changed, changed_by, new
from connections.services.drafts.merging import merge
from connections.services.drafts.sent import MAX_DEPTH
from connections.services.drafts.stored import outdated, settings_of
from connections.services.drafts.validating import MAX_CONFIG_BYTES, MAX_SECRETS_BYTES

__all__ = [
    "MAX_CONFIG_BYTES",
    "MAX_DEPTH",
    "MAX_SECRETS_BYTES",
    "Draft",
    "changed",
    "changed_by",
    "merge",
    "new",
    "outdated",
    "settings_of",
]
