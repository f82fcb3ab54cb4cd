"""When the current secrets end, kept beside them."""

from __future__ import annotations

from typing import Any, NamedTuple

from connections.models import Connection, ConnectionSecrets
from connections.services import upgrading, vault
from connections.services.drafts import Draft
from connections.services.expiry.by_hand import days_by_hand, manual, put_manual
from connections.services.expiry.reading import MANUAL, Expiries, earliest, found, parsed


class Stored(NamedTuple):
    """Of the current secrets, by their dotted paths: when each was set, and when each ends."""

    names: dict[str, str]
    expiries: Expiries


def stored(connection: Connection) -> Stored:
    """What there is before a change."""
    return Stored(vault.names(connection), of_secrets(connection))


def of_draft(draft: Draft, before: Stored) -> Expiries:
    """When the secrets of a draft end. One that is set anew loses the date by hand that the one before it had."""
    expiries = found(draft.secrets, draft.config)
    for path, day in manual(before.expiries).items():
        if path in draft.set_at and draft.set_at[path] == before.names.get(path):
            put_manual(expiries, path, day)
    return expiries


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
    days = days_by_hand(wanted, set(row.names) if row is not None else set())
    for path, day in days.items():
        expiries = {name: dict(entry) for name, entry in expiries.items()}
        put_manual(expiries, path, day)
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


def _settle(connection: Connection, expiries: Expiries) -> None:
    end = earliest(expiries)
    if connection.secrets_expire_at != end:
        connection.secrets_expire_at = end
        Connection.objects.filter(pk=connection.pk).update(secrets_expire_at=end)


def _readable(stored: Any) -> Expiries:
    """What is stored, without what is none: a broken row breaks no page."""
    return {
        path: entry
        for path, entry in stored.items()
        if isinstance(entry, dict)
        and isinstance(entry.get("from"), str)
        and parsed(entry.get("at")) is not None
        and (MANUAL not in entry or parsed(entry[MANUAL]) is not None)
    }
