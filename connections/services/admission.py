"""Admission: one query that authenticates an API key, authorises it, and loads the connection it asks for.

Whoever comes again within a minute is recalled instead: then the statement that puts the preview on record also sees
that the query would find the same row, value by value, and writes nothing where it would not.

What the query finds is all that a preview goes by. What follows from it (whether the settings fit, the budgets, the
egress policy) is worked out once for each set of values found, and kept: whatever changes in the database, the values
change with it, and so nothing kept is ever out of date.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Any, Final

from django.core.signals import setting_changed
from django.db import connections, models, router
from django.utils import timezone

from connections.models import (
    APIKey,
    Connection,
    ConnectionSecrets,
    Event,
    Membership,
    Organisation,
    OrganisationKey,
    Slot,
)
from connections.services import api_keys, grounds, vault, walls
from connections.services.actor import Actor
from connections.services.errors import CatalogueError
from connections.services.grounds import Ground
from connections.services.rows import Condition, Row, columns, first, instance

KEPT: Final = 2048
_SAME: Final = {"sqlite": "IS", "postgresql": "IS NOT DISTINCT FROM"}
"""How a database compares values of which some are null."""
_SHOWN: Final = (  # and not gone by
    *("description", "tags", "environment", "managed_by", "probe", "secrets_expire_at", "staged_generation"),
    *("status_ok", "status_code", "status_at", "created_by", "created_at", "updated_at"),
)
_PARTS: Final[tuple[tuple[str, type[models.Model], tuple[str, ...]], ...]] = (
    ("a", APIKey, ("last_used_at", "created_at", "expires_at", "revoked_at")),
    ("m", Membership, ("created_at",)),
    ("o", Organisation, ("suspended_at", "created_at")),
    ("c", Connection, _SHOWN),
    ("s", ConnectionSecrets, ("blob", "expiries", "tested_at", "tested_ok", "tested_code", "kept_until", "created_at")),
    ("k", OrganisationKey, ("created_at",)),
)
_FROM: Final = """
FROM connections_apikey a
JOIN connections_membership m ON m.id = a.membership_id AND m.organisation_id = a.organisation_id
JOIN auth_user u ON u.id = m.user_id AND u.is_active
JOIN connections_organisation o ON o.id = a.organisation_id AND o.suspended_at IS NULL
JOIN connections_connection c ON c.organisation_id = o.id
LEFT JOIN connections_connectionsecrets s ON s.connection_id = c.id AND s.slot = %s
LEFT JOIN connections_organisationkey k ON k.organisation_id = o.id AND k.version = s.key_version
WHERE a.prefix = %s AND a.revoked_at IS NULL AND (a.expires_at IS NULL OR a.expires_at > %s)
AND NOT a.restricted AND o.slug = %s AND c.slug = %s
"""


@dataclass(frozen=True, slots=True)
class Admission:
    """Who may use which connection, on which ground. One that was recalled holds only where ``still`` does."""

    actor: Actor
    ground: Ground
    still: Condition | None = None


def admit(key: str, organisation: str, connection: str, request_id: str, ip: str | None) -> Admission | None:
    """Whoever holds ``key``, and the ground to read a connection on; None when anything stands in the way.

    Then the usual way through the services tells what it is.
    """
    found = api_keys.KEY.fullmatch(key)
    if found is None:
        return None
    alias = router.db_for_read(APIKey)
    now = timezone.now()
    digest = api_keys.digest(key)
    asked = (Slot.CURRENT.value, found[1], _moment(alias, now), organisation, connection)
    with walls.platform():  # a key is found before it is known whose it is
        row = first(alias, _query(alias), asked)
        if row is None or not hmac.compare_digest(row[0], digest):
            return None
        sealed = vault.blob_digest(row[2]) if row[2] is not None else None
        admitted = _admitted(sealed, row[3:])
        if admitted is None:
            return None
        walls.enter(admitted.actor.organisation_id)
    api_keys.used(admitted.actor.id, row[1], now)
    _remember((digest, organisation, connection), _Known(admitted, found[1], row, now))
    return Admission(replace(admitted.actor, request_id=request_id, ip=ip), admitted.ground)


def recall(key: str, organisation: str, connection: str, request_id: str, ip: str | None) -> Admission | None:
    """What ``admit`` found last for the same, ``still`` so where it would find just that again.

    One statement then both admits a preview and puts it on record. None where ``admit`` was not asked within the last
    minute: it also notes that a key is in use, once a minute.
    """
    digest = api_keys.digest(key)
    known = _known.get((digest, organisation, connection))
    now = timezone.now()
    alias = _alias()
    if known is None or alias is None or not timedelta() <= now - known.at < api_keys.USE_RESOLUTION:
        return None
    asked = (Slot.CURRENT.value, known.prefix, _moment(alias, now), organisation, connection)
    actor = replace(known.admission.actor, request_id=request_id, ip=ip)
    return Admission(actor, known.admission.ground, Condition(_still(alias), (*asked, digest, *known.row[2:])))


def forget(key: str, organisation: str, connection: str) -> None:
    """What was recalled is not so any more."""
    _known.pop((api_keys.digest(key), organisation, connection), None)


@dataclass(frozen=True, slots=True)
class _Known:
    """An admission, the row that it followed from, and when that was."""

    admission: Admission
    prefix: str
    row: Row
    at: datetime


_known: Final[dict[tuple[str, str, str], _Known]] = {}  # by the key's digest, and the slugs


def _remember(what: tuple[str, str, str], known: _Known) -> None:
    if len(_known) >= KEPT:
        _known.clear()
    _known[what] = known


def _moment(alias: str, now: datetime) -> Any:
    return connections[alias].ops.adapt_datetimefield_value(now)


@cache
def _alias() -> str | None:
    """The database that has both keys and record, where it is of a kind that can compare; None elsewhere."""
    alias = router.db_for_write(Event)
    return alias if alias == router.db_for_read(APIKey) and connections[alias].vendor in _SAME else None


@cache
def _still(alias: str) -> str:
    """The condition that a row is found with these values: the key's digest, the sealed bytes, and the rest."""
    same = _SAME[connections[alias].vendor]
    names = ["a.digest", "s.blob", *_names()]
    return _FROM + "".join(f" AND {name} {same} %s" for name in names)


def _names() -> list[str]:
    return [column for name, model, but in _PARTS for column in columns(model, name, but=but)]


@cache
def _query(alias: str) -> str:
    return f"SELECT a.digest, a.last_used_at, s.blob, {', '.join(_names())}{_FROM}"


@lru_cache(KEPT)
def _admitted(sealed: str | None, row: tuple[Any, ...]) -> Admission | None:
    """What follows from the values of one row. A pure function of them and of the deployment's settings.

    Of the sealed bytes their digest is kept, in ``sealed``: enough to see that they are others now.
    """
    found: dict[str, Any] = {}
    start = 0
    for name, model, but in _PARTS:
        end = start + len(columns(model, name, but=but))
        values, start = row[start:end], end
        found[name] = instance(model, values, but=but) if values[0] is not None else None
    key, connection = found["a"], found["c"]
    key.membership, key.organisation = found["m"], found["o"]
    connection.organisation = found["o"]
    if found["s"] is not None:
        found["s"].blob_digest = sealed
    _prefetch(connection, "secrets_rows", ConnectionSecrets, found["s"])
    _prefetch(found["o"], "keys", OrganisationKey, found["k"])
    try:
        return Admission(api_keys.actor_of(key), grounds.ground(connection))
    except CatalogueError:
        return None


def _prefetch(owner: models.Model, name: str, model: type[models.Model], row: models.Model | None) -> None:
    """Let ``owner.name.all()`` be what was loaded with it."""
    rows = model._default_manager.all()
    rows._result_cache = [row] if row is not None else []
    owner.__dict__.setdefault("_prefetched_objects_cache", {})[name] = rows


def _forget(**_: Any) -> None:
    _known.clear()
    _admitted.cache_clear()


setting_changed.connect(_forget, dispatch_uid="connections.services.admission")
