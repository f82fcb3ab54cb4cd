"""When settings end: what their own text tells, and what is read of it later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from connections.adapters.schema import Path
from connections.services import endings

Expiries = dict[str, dict[str, str]]
"""Dotted paths to ``{"at", "from"}``: when it ends, in ISO 8601, and who says so: ``certificate``, ``jwt``, ``sas``,
``signed_url``, ``temporary_key`` or ``manual``. What tells by itself and also has a date by hand has that as
``manual`` too."""
MANUAL = "manual"


def found(secrets: Mapping[str, Any], config: Mapping[str, Any]) -> Expiries:
    """What settings in plain tell of their own end: any of ``secrets``, and the certificates in ``config``."""
    told: Expiries = {}
    for path, text in _texts(config):
        if (end := endings.certificate_end(text)) is not None:
            told[".".join(path)] = {"at": iso(end), "from": "certificate"}
    for path, text in _texts(secrets):
        if (ending := endings.ending(text)) is not None:
            told[".".join(path)] = {"at": iso(ending.at), "from": ending.kind}
    return told


def earliest(expiries: Expiries) -> datetime | None:
    """The first end that any of ``expiries`` tells."""
    return min((end for entry in expiries.values() if (end := end_of(entry)) is not None), default=None)


def end_of(entry: Mapping[str, str]) -> datetime | None:
    """The earlier of what an entry tells. None for one that cannot be read."""
    moments = [parsed(entry.get("at")), parsed(entry.get(MANUAL))]
    return min((moment for moment in moments if moment is not None), default=None)


def _texts(nested: Mapping[str, Any], prefix: Path = ()) -> Iterator[tuple[Path, str]]:
    for name, value in nested.items():
        if isinstance(value, Mapping):
            yield from _texts(value, (*prefix, name))
        elif isinstance(value, str):
            yield (*prefix, name), value


def parsed(text: Any) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
