"""One spelling for associated data and fingerprints, so that equal values give equal bytes."""

import json
from collections.abc import Mapping
from typing import Any, Final

FORMAT: Final = "catalog-seal-1"

# Made once: json.dumps makes one for each call.
_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
_EXACT_FLOATS: Final = 2.0**53


def canonical_json(value: Any) -> bytes:
    """Return ``value`` as JSON with sorted keys, no spaces and ``\\u`` escapes (ASCII, hence UTF-8).

    A whole float is written as an integer, because a JSON column may give it back as one. Raises TypeError
    for what JSON cannot hold, keys that are no text included, and ValueError for NaN and infinities.
    """
    return _ENCODER.encode(_plain(value)).encode("ascii")


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int):  # most values; telling a Mapping takes longer
        return value
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("Canonical JSON has text keys only.")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT_FLOATS:
        return int(value)
    return value
