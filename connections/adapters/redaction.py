"""What is hidden, and what is cut, in words that come from elsewhere before they are told."""

from __future__ import annotations

import base64
import json
import urllib.parse
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr

HIDDEN = "[hidden]"
LONGEST_WORDS = 2000
"""Characters of what is told of a failure or a step: a server may say more than anybody wants to hear."""


def bounded(text: str) -> str:
    """``text``, cut where it is longer than anybody wants to hear."""
    return text if len(text) <= LONGEST_WORDS else f"{text[:LONGEST_WORDS]}…"


def spellings(settings: Any) -> set[str]:
    """Every secret of a settings model as plain, URL-quoted, base64 and JSON text."""
    found: set[str] = set()
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            found |= spellings(value)
        elif isinstance(value, SecretStr):
            found |= _spelled(value.get_secret_value())
        elif isinstance(value, SecretBytes):
            found |= _spelled(value.get_secret_value().decode(errors="replace"))
    return found


def _spelled(secret: str) -> set[str]:
    if not secret:
        return set()
    encoded = secret.encode()
    return {
        secret,
        urllib.parse.quote(secret, safe=""),
        urllib.parse.quote_plus(secret),
        base64.b64encode(encoded).decode(),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
    }
