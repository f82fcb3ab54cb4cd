"""The slots of a connection's secrets: pending beside current, and what was current before.

Both belong to the current secrets and to the endpoint of now. When either changes by another way than through here,
they are dropped: what was saved against something else is never used. What moves between slots is sealed anew, as its
slot and generation are part of what binds it to its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from connections.models import Connection, ConnectionSecrets, Slot
from connections.services import expiry, vault
from connections.services.drafts import Draft
from connections.services.errors import Locked

BESIDE = (Slot.PENDING, Slot.PREVIOUS)
_CARRIED = ("names", "references", "expiries")
"""What a row tells of its secrets, whichever slot it is in."""
_TESTED_WITH = ("config", "schema_version", "probe")
"""What pending secrets are tested with; when it changes, they are untested."""


def stage(connection: Connection, draft: Draft) -> ConnectionSecrets:
    """Store a draft's secrets as the pending ones, in place of those that were, for the endpoint as it is now."""
    with transaction.atomic():
        key = vault.sealing_key(connection.organisation)
        drop(connection, Slot.PENDING)
        _stage_at(connection, vault.next_generation(connection))
        row = _row(connection, Slot.PENDING, connection.staged_generation)
        row.names = draft.set_at
        row.expiries = expiry.of_draft(draft, expiry.stored(connection))
        vault.write(connection, row, draft.secrets, key)
    return row


def make_current(connection: Connection, slot: Slot, *, kept_until: datetime | None) -> list[str]:
    """Make the secrets of ``slot`` the current ones, and those that were current the previous, until ``kept_until``.

    Moves the connection's generation, which the caller's transaction saves with it. Returns the slots whose secrets
    are gone with it: those of other slots, and the current ones where they do not open or None says to keep none.
    Raises ``Locked`` when the secrets of ``slot`` do not open.
    """
    with transaction.atomic():
        key = vault.sealing_key(connection.organisation)
        rows = {row.slot: row for row in ConnectionSecrets.objects.select_for_update().filter(connection=connection)}
        vault.forget_rows(connection)
        coming, leaving = vault.unseal(connection, slot), _opened(connection)
        generation = vault.next_generation(connection)
        ConnectionSecrets.objects.filter(connection=connection).delete()
        connection.secrets_generation = generation + 1
        if leaving is not None and kept_until is not None:
            _place(connection, rows[Slot.CURRENT], Slot.PREVIOUS, generation, leaving, key, kept_until)
        _place(connection, rows[slot], Slot.CURRENT, generation + 1, coming, key)
        connection.save(update_fields=["secrets_generation"])
        expiry.settle(connection)
    kept = {slot} | ({Slot.CURRENT} if leaving is not None and kept_until is not None else set())
    return sorted(set(rows) - kept)


def settled(connection: Connection, detail: dict[str, Any] | None, *, secrets_changed: bool) -> dict[str, Any] | None:
    """As ``settle``; returns an event's ``detail`` with what was dropped."""
    dropped = settle(connection, secrets_changed=secrets_changed)
    return {**(detail or {}), "dropped": dropped} if dropped else detail


def settle(connection: Connection, *, secrets_changed: bool) -> list[str]:
    """After another change of config, secrets or probe: drop what is not of these any more; return which slots.

    What stays pending was tested with other settings, and so is untested.
    """
    due = vault.fingerprint(connection)
    rows = list(connection.secrets_rows.filter(slot__in=BESIDE))
    gone = [row for row in rows if secrets_changed or row.fingerprint != due]
    dropped = drop(connection, *(Slot(row.slot) for row in gone))
    connection.secrets_rows.filter(slot=Slot.PENDING).update(tested_at=None, tested_ok=None, tested_code="")
    vault.forget_rows(connection)
    return dropped


def drop(connection: Connection, *slots: Slot) -> list[str]:
    """Delete the secrets of these slots; return those that there were."""
    found = connection.secrets_rows.filter(slot__in=slots)
    dropped = sorted(found.values_list("slot", flat=True))
    if dropped:
        found.delete()
        vault.forget_rows(connection)
    if Slot.PENDING in dropped:
        _stage_at(connection, vault.next_generation(connection))
    return dropped


def _stage_at(connection: Connection, generation: int) -> None:
    """From here on, pending secrets are those of ``generation`` and no others."""
    connection.staged_generation = generation
    connection.save(update_fields=["staged_generation"])


def keep_result(connection: Connection, row: ConnectionSecrets, *, ok: bool | None, code: str) -> bool:
    """Store how the test of the pending ``row`` went, unless it or what it was tested with was changed meanwhile.

    Call it in a transaction. ``ok`` is None when nobody could tell. A new name or a pause changes nothing of that.
    """
    now = Connection.objects.select_for_update().filter(pk=connection.pk).first()
    if now is None or any(getattr(now, name) != getattr(connection, name) for name in _TESTED_WITH):
        return False
    pending = ConnectionSecrets.objects.filter(pk=row.pk, slot=Slot.PENDING, generation=row.generation)
    tested_at = timezone.now() if ok is not None else None
    kept = pending.update(tested_at=tested_at, tested_ok=ok, tested_code=code[:64])
    vault.forget_rows(connection)
    return bool(kept)


def previous(connection: Connection) -> ConnectionSecrets | None:
    """The row of the previous secrets while they can be taken back."""
    row = vault.find(connection, Slot.PREVIOUS)
    return row if row is not None and row.kept_until is not None and row.kept_until > timezone.now() else None


def differing(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The names of secrets that are not the same: set anew, set first, cleared. Both map names to times."""
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def shown(connection: Connection) -> dict[str, Any]:
    """What is pending, how its test went, and until when the previous secrets can be taken back. Opens nothing."""
    pending, kept = vault.find(connection, Slot.PENDING), previous(connection)
    return {
        "pending": _pending_shown(connection, pending) if pending is not None else None,
        "previous": {"until": _iso(kept.kept_until)} if kept is not None else None,
    }


def _pending_shown(connection: Connection, row: ConnectionSecrets) -> dict[str, Any]:
    broken = vault.problem(connection, Slot.PENDING) is not None
    return {
        "secrets": differing(vault.names(connection), vault.names(connection, Slot.PENDING)),
        "staged_at": _iso(row.created_at),
        "tested_at": _iso(row.tested_at),
        "ok": False if broken else row.tested_ok,
        "code": Locked.code if broken else row.tested_code or None,
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None


def _opened(connection: Connection) -> dict[str, Any] | None:
    """The current secrets; None where there are none or they do not open."""
    try:
        return vault.unseal(connection) if vault.current(connection) is not None else None
    except Locked:
        return None


def _row(connection: Connection, slot: Slot, generation: int) -> ConnectionSecrets:
    return ConnectionSecrets(
        connection=connection, organisation_id=connection.organisation_id, slot=slot, generation=generation
    )


def _place(
    connection: Connection,
    of: ConnectionSecrets,
    slot: Slot,
    generation: int,
    secrets: dict[str, Any],
    key: vault.SealingKey,
    kept_until: datetime | None = None,
) -> None:
    """Store ``secrets``, which the row ``of`` held, in another slot."""
    row = _row(connection, slot, generation)
    for name in _CARRIED:
        setattr(row, name, getattr(of, name))
    row.kept_until = kept_until
    vault.write(connection, row, secrets, key)
