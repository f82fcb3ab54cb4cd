"""What is said of secrets and certificates that end soon, or have ended."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.utils import timezone

from connections.adapters import schema
from connections.models import Connection
from connections.services import vault
from connections.services.expiry.keeping import known
from connections.services.expiry.reading import MANUAL, Expiries, end_of, iso

WARN_DAYS = (1, 7, 30)


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
            "expires_at": iso(end),
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
