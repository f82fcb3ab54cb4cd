"""What a caller wants changed of a connection, and what its name, texts and tags must be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from connections.services.errors import Invalid

TEXT_LIMITS = {"name": 200, "description": 10_000, "environment": 64}
MAX_TAGS = 50


@dataclass(frozen=True, slots=True)
class Change:
    """What a caller wants changed; None leaves as it is. ``config`` is a JSON Merge Patch; an empty ``probe`` none."""

    name: str | None = None
    description: str | None = None
    tags: list[str] | None = None
    environment: str | None = None
    config: dict[str, Any] | None = field(default=None, repr=False)
    secrets: dict[str, Any] | None = field(default=None, repr=False)
    expiries: dict[str, Any] | None = None
    probe: dict[str, Any] | None = None


def plain_fields(change: Change) -> dict[str, Any]:
    """The fields beside config and secrets, checked."""
    found: dict[str, Any] = {}
    for name, limit in TEXT_LIMITS.items():
        value = getattr(change, name)
        if value is None:
            continue
        if not isinstance(value, str) or len(value) > limit or "\0" in value:
            raise Invalid.at(f"/{name}", f"A text of at most {limit} characters.")
        found[name] = value.strip()
    if "name" in found and not found["name"]:
        raise Invalid.at("/name", "A connection needs a name.", "required")
    if change.tags is not None:
        found["tags"] = _tags(change.tags)
    return found


def _tags(tags: Any) -> list[str]:
    if not isinstance(tags, list) or len(tags) > MAX_TAGS:
        raise Invalid.at("/tags", f"A list of at most {MAX_TAGS} texts.")
    for position, tag in enumerate(tags):
        if not isinstance(tag, str) or not tag.strip() or len(tag) > 64 or "\0" in tag:
            raise Invalid.at(f"/tags/{position}", "A tag is a text of 1 to 64 characters.")
    return list(dict.fromkeys(tag.strip() for tag in tags))
