"""Dates that people add by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.utils.dateparse import parse_date, parse_datetime

from connections.adapters import schema
from connections.adapters.schema import Problem, pointer_told
from connections.services.drafts import MAX_DEPTH
from connections.services.errors import Invalid
from connections.services.expiry.reading import MANUAL, Expiries, iso


def manual(expiries: Expiries) -> dict[str, str]:
    """The dates by hand, by path."""
    return {path: day for path, entry in expiries.items() if (day := _manual(entry)) is not None}


def days_by_hand(wanted: Any, set_: set[str]) -> dict[str, str | None]:
    """Dates by hand, by dotted path, judged."""
    if wanted is None:
        return {}
    if not isinstance(wanted, dict):
        raise Invalid.at("/expiries", "Send a JSON object.")
    if _is_deeper(wanted, MAX_DEPTH):
        raise Invalid.at("/expiries", f"Nested deeper than {MAX_DEPTH} objects.")
    days: dict[str, str | None] = {}
    problems = []
    for path in schema.paths(wanted):
        name, place = ".".join(path), pointer_told("/expiries", path)
        value = schema.get(wanted, path)
        if name not in set_:
            problems.append(Problem(place, "unknown", "No such secret is set."))
        elif value is None:
            days[name] = None
        elif (moment := _day(value)) is None:
            problems.append(Problem(place, "invalid", "A date such as 2027-01-31, or a moment with its offset."))
        else:
            days[name] = iso(moment)
    if problems:
        raise Invalid.of(problems)
    return days


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict):
        return False
    return levels == 0 or any(_is_deeper(inner, levels - 1) for inner in value.values())


def _day(value: Any) -> datetime | None:
    """A date is the start of that day in UTC: better a day early than late."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        if (moment := parse_datetime(value)) is not None and "T" in value.upper():
            return moment.astimezone(UTC) if moment.tzinfo is not None else None
        day = parse_date(value)
        return datetime(day.year, day.month, day.day, tzinfo=UTC) if day is not None else None
    except (ValueError, OverflowError):
        return None


def put_manual(expiries: Expiries, path: str, day: str | None) -> None:
    entry = expiries.pop(path, {})
    if entry.get("from") == MANUAL:
        entry = {}
    entry.pop(MANUAL, None)
    if day is not None:
        entry = {**entry, MANUAL: day} if entry else {"at": day, "from": MANUAL}
    if entry:
        expiries[path] = entry


def _manual(entry: Mapping[str, str]) -> str | None:
    return entry.get("at") if entry.get("from") == MANUAL else entry.get(MANUAL)
