"""How long a worker's open connection is believed when its secrets are kept elsewhere."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from uuid import UUID

from django.conf import settings

from connections.models import Organisation
from connections.services.references.allowed import grants


def epoch(connection_id: UUID, organisation: Organisation, references: Mapping[str, str]) -> str:
    """A text that changes when an adapter made of these references must be made anew; empty where there are none.

    It changes every ``CATALOG_REFERENCES_FRESH`` seconds, at another moment for each connection, and as soon as the
    allow-lists do.
    """
    if not references:
        return ""
    fresh = max(1, settings.CATALOG_REFERENCES_FRESH)
    turn = int(time.time() + connection_id.int % fresh) // fresh
    return hashlib.sha256(f"{turn} {grants(organisation)}".encode()).hexdigest()
