"""What an event changed, in words: from what to what. Of secrets only their names are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from connections.admin.visible import as_json, clipped, visible
from connections.models import Event

LONGEST = 300


@dataclass(frozen=True, slots=True)
class Changed:
    """One field. ``before`` and ``after`` are empty where only the name is told."""

    name: str
    before: str = ""
    after: str = ""


def changed(event: Event) -> list[Changed]:
    """The fields that an event changed, settings one by one."""
    found = []
    for name, value in event.changes.items():
        pair = isinstance(value, list) and len(value) == 2 and name != "secrets"
        if not pair:
            names = value if isinstance(value, list) else [value]
            if names:
                found.append(Changed(f"{name}: {visible(', '.join(map(str, names)))}"))
            continue
        before, after = value
        if isinstance(before, dict | None) and isinstance(after, dict):
            found += _settings(name, before or {}, after)
        else:
            found.append(Changed(name, _text(before), _text(after)))
    return found


def differences(name: str, before: dict[str, Any], after: dict[str, Any]) -> list[Changed]:
    """From one object to another, member by member; ``name`` is what the whole is called."""
    return _settings(name, before, after)


def detail(event: Event) -> list[tuple[str, str]]:
    """The event's own facts: a reason, rows, bytes."""
    return [(name.replace("_", " "), _text(value)) for name, value in event.detail.items() if value not in (None, "")]


def _settings(name: str, before: dict[str, Any], after: dict[str, Any]) -> list[Changed]:
    found = []
    for key in [*after, *(key for key in before if key not in after)]:
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            found += _settings(f"{name}.{key}", old, new)
        else:
            found.append(Changed(f"{name}.{key}", _text(old), _text(new)))
    return found


def _text(value: Any) -> str:
    if value is None:
        return ""
    return clipped(visible(value if isinstance(value, str) else as_json(value)), LONGEST)
