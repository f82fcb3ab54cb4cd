"""The expiry radar: when secrets and certificates end, and who says so.

What a secret's own text tells is read in the moment it is sealed, when it is there in plain, and kept beside it; so
nothing is opened to list it. People add dates by hand where a secret does not tell. Of two dates the earlier counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from connections.adapters import schema
from connections.adapters.schema import Path, Problem, pointer_told
from connections.models import Connection, ConnectionSecrets
from connections.services import endings, upgrading, vault
from connections.services.drafts import MAX_DEPTH, Draft
from connections.services.errors import Invalid

Expiries = dict[str, dict[str, str]]
"""Dotted paths to ``{"at", "from"}``: when it ends, in ISO 8601, and who says so: ``certificate``, ``jwt``, ``sas``,
``signed_url``, ``temporary_key`` or ``manual``. What tells by itself and also has a date by hand has that as
``manual`` too."""

WARN_DAYS = (1, 7, 30)
MANUAL = "manual"


class Stored(NamedTuple):
    """Of the current secrets, by their dotted paths: when each was set, and when each ends."""

    names: dict[str, str]
    expiries: Expiries


def found(secrets: Mapping[str, Any], config: Mapping[str, Any]) -> Expiries:
    """What settings in plain tell of their own end: any of ``secrets``, and the certificates in ``config``."""
    told: Expiries = {}
    for path, text in _texts(config):
        if (end := endings.certificate_end(text)) is not None:
            told[".".join(path)] = {"at": _iso(end), "from": "certificate"}
    for path, text in _texts(secrets):
        if (ending := endings.ending(text)) is not None:
            told[".".join(path)] = {"at": _iso(ending.at), "from": ending.kind}
    return told


def stored(connection: Connection) -> Stored:
    """What there is before a change."""
    return Stored(vault.names(connection), of_secrets(connection))


def of_draft(draft: Draft, before: Stored) -> Expiries:
    """When the secrets of a draft end. One that is set anew loses the date by hand that the one before it had."""
    expiries = found(draft.secrets, draft.config)
    for path, day in manual(before.expiries).items():
        if path in draft.set_at and draft.set_at[path] == before.names.get(path):
            _put_manual(expiries, path, day)
    return expiries


def manual(expiries: Expiries) -> dict[str, str]:
    """The dates by hand, by path."""
    return {path: day for path, entry in expiries.items() if (day := _manual(entry)) is not None}


def earliest(expiries: Expiries) -> datetime | None:
    """The first end that any of ``expiries`` tells."""
    return min((end for entry in expiries.values() if (end := end_of(entry)) is not None), default=None)


def end_of(entry: Mapping[str, str]) -> datetime | None:
    """The earlier of what an entry tells. None for one that cannot be read."""
    moments = [_parsed(entry.get("at")), _parsed(entry.get(MANUAL))]
    return min((moment for moment in moments if moment is not None), default=None)


def keep(connection: Connection, before: Stored, draft: Draft | None, wanted: Any = None) -> dict[str, Any]:
    """Store when the current secrets end, and return what a caller changed of it, for the record.

    Called in the transaction that sealed ``draft``. ``wanted`` holds dates by hand, nested like the secrets; null
    takes one away. Raises ``Invalid``.
    """
    sealed = draft is not None and (draft.config_changed or draft.secrets_changed)
    if not sealed and not wanted:
        return {}
    row = vault.current(connection)
    expiries = of_draft(draft, before) if draft is not None and sealed else before.expiries
    days = _days(wanted, set(row.names) if row is not None else set())
    for path, day in days.items():
        expiries = {name: dict(entry) for name, entry in expiries.items()}
        _put_manual(expiries, path, day)
    if row is not None and row.expiries != expiries:
        row.expiries = expiries
        ConnectionSecrets.objects.filter(pk=row.pk).update(expiries=expiries)
    _settle(connection, expiries)
    was, now = manual(before.expiries), manual(expiries)
    touched = [path for path in days if was.get(path) != now.get(path)]
    return {"expiries": [{p: was.get(p) for p in touched}, {p: now.get(p) for p in touched}]} if touched else {}


def settle(connection: Connection) -> None:
    """Make ``secrets_expire_at`` what the current secrets and the config tell, after another row became current."""
    getattr(connection, "_prefetched_objects_cache", {}).pop("secrets_rows", None)
    _settle(connection, known(connection))


def known(connection: Connection) -> Expiries:
    """What is stored of the current secrets and, without any, what certificates in the config tell. Opens nothing."""
    return found({}, connection.config) if vault.current(connection) is None else of_secrets(connection)


def of_secrets(connection: Connection) -> Expiries:
    """What is stored of the current secrets."""
    row = vault.current(connection)
    return upgrading.by_name(connection, _readable(row.expiries)) if row is not None else {}


def warnings(connection: Connection) -> list[dict[str, Any]]:
    """An ``expiring`` warning for what ends within 30 days, an ``expired`` one for what has ended."""
    if connection.secrets_expire_at is None or connection.secrets_expire_at > timezone.now() + timedelta(WARN_DAYS[-1]):
        return []
    return list(_warnings(connection))


def shown(expiries: Expiries, name: str) -> dict[str, Any]:
    """Of one secret: when it ends and by whose word, earliest first. Empty when nothing is known."""
    entry = expiries.get(name, {})
    told = [{"at": entry["at"], "from": entry["from"]}] if entry else []
    if MANUAL in entry:
        told.append({"at": entry[MANUAL], "from": MANUAL})
    told.sort(key=lambda end: end["at"])
    return {"expires_at": told[0]["at"], "expiries": told} if told else {}


def _warnings(connection: Connection) -> Iterator[dict[str, Any]]:
    now = timezone.now()
    secret = set(vault.names(connection))
    for path, entry in sorted(known(connection).items()):
        end = end_of(entry)
        within = next((days for days in WARN_DAYS if end is not None and end - now <= timedelta(days)), None)
        if end is None or within is None:
            continue
        parts = tuple(path.split("."))
        what = f"The {'secret' if path in secret else 'certificate'} {path}"
        about = {
            "field": schema.pointer("/secrets" if path in secret else "/config", parts),
            "expires_at": _iso(end),
        }
        day = end.strftime("%Y-%m-%d %H:%M UTC")
        if end <= now:
            yield {"code": "expired", "message": f"{what} expired on {day}. Enter a new one.", **about}
        else:
            message = f"{what} expires {_in(end - now)}, on {day}. Enter a new one before."
            yield {"code": "expiring", "message": message, **about, "within_days": within}


def _in(left: timedelta) -> str:
    days = left.days
    if days == 0:
        return "within a day"
    return f"in {days} {'day' if days == 1 else 'days'}"


def _settle(connection: Connection, expiries: Expiries) -> None:
    end = earliest(expiries)
    if connection.secrets_expire_at != end:
        connection.secrets_expire_at = end
        Connection.objects.filter(pk=connection.pk).update(secrets_expire_at=end)


def _days(wanted: Any, set_: set[str]) -> dict[str, str | None]:
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
            days[name] = _iso(moment)
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


def _put_manual(expiries: Expiries, path: str, day: str | None) -> None:
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


def _readable(stored: Any) -> Expiries:
    """What is stored, without what is none: a broken row breaks no page."""
    return {
        path: entry
        for path, entry in stored.items()
        if isinstance(entry, dict)
        and isinstance(entry.get("from"), str)
        and _parsed(entry.get("at")) is not None
        and (MANUAL not in entry or _parsed(entry[MANUAL]) is not None)
    }


def _texts(nested: Mapping[str, Any], prefix: Path = ()) -> Iterator[tuple[Path, str]]:
    for name, value in nested.items():
        if isinstance(value, Mapping):
            yield from _texts(value, (*prefix, name))
        elif isinstance(value, str):
            yield (*prefix, name), value


def _parsed(text: Any) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
