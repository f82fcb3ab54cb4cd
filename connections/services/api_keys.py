"""API keys: make, list, revoke, recognise.

``ck_<prefix>_<secret>``: the prefix finds the row, the SHA-256 of the whole key proves it. The secret has 256 random
bits, so a fast hash is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.models import F, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from connections.models import APIKey, APIKeyConnection, Connection, Membership, Role
from connections.services import events, standing, waiting
from connections.services.actor import Actor
from connections.services.errors import Invalid, NotFound

KEY = re.compile(r"ck_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
USE_RESOLUTION = timedelta(minutes=1)
MAX_REACH = 500
_NOTE_SECONDS = 0.2
"""What noting that a key is in use may wait: nobody asked for that."""
_NOTE_UNLESS_LOCKED = """
UPDATE connections_apikey SET last_used_at = %s
WHERE id = (SELECT id FROM connections_apikey WHERE id = %s FOR NO KEY UPDATE SKIP LOCKED)
"""


def visible(actor: Actor) -> QuerySet[APIKey]:
    """The organisation's keys that are not revoked, with what showing them needs."""
    actor.require(Role.ADMIN)
    found = APIKey.objects.all().visible_to(actor).filter(revoked_at=None)
    return found.prefetch_related("reach__connection")


def get(actor: Actor, key_id: Any) -> APIKey:
    """One key of the actor's organisation that is not revoked. Raises ``NotFound``."""
    found = APIKey.objects.all().visible_to(actor).filter(pk=key_id, revoked_at=None).first()
    if found is None:
        raise NotFound(api_key=str(key_id))
    return found


def create(actor: Actor, name: Any, role: Any, expires_at: Any = None, connections: Any = None) -> tuple[APIKey, str]:
    """A new key and its text, which is shown this once. Its role is at most its maker's; it ends no later than a key
    that makes it, and with that one where ``expires_at`` is None.

    ``connections`` are the slugs of the only connections that it reaches; None is all that there are and will be.
    """
    actor.require(Role.ADMIN)
    actor.require_whole_reach()
    if actor.membership_id is None:
        raise Invalid.at("/name", "A key needs a member who made it; join the organisation first.")
    if not isinstance(name, str) or not name.strip() or len(name) > 200 or "\0" in name:
        raise Invalid.at("/name", "A text of 1 to 200 characters.", "required" if not name else "invalid")
    if role not in Role.values:
        raise Invalid.at("/role", f"One of {', '.join(Role.values)}.")
    if not actor.may(Role(role)):
        raise Invalid.at("/role", "A key cannot have more rights than its maker.")
    reached = None if connections is None else _named(actor, connections)
    if reached is not None and role == Role.ADMIN:
        raise Invalid.at("/role", "A key for some connections only cannot be an administrator's.")
    ends = _no_later(actor, _moment(expires_at))
    prefix = "".join(secrets.choice(_ALPHABET) for _ in range(12))
    text = f"ck_{prefix}_{secrets.token_urlsafe(32)}"
    with transaction.atomic():
        key = APIKey.objects.create(
            organisation=actor.organisation,
            membership_id=actor.membership_id,
            name=name.strip(),
            role=role,
            prefix=prefix,
            digest=digest(text),
            expires_at=ends,
            restricted=reached is not None,
        )
        APIKeyConnection.objects.bulk_create(
            APIKeyConnection(organisation=actor.organisation, api_key=key, connection=row) for row in reached or ()
        )
        changes: dict[str, Any] = {"role": [None, role]}
        if reached is not None:
            changes["connections"] = [None, [row.slug for row in reached]]
        events.record(actor, "api_key.create", key, changes=changes)
    return key, text


def reached(key: APIKey) -> list[str] | None:
    """The slugs of the only connections that a key reaches, sorted; None for all."""
    return sorted(row.connection.slug for row in key.reach.all()) if key.restricted else None


def revoke(actor: Actor, key_id: str) -> None:
    """End a key now. Raises ``NotFound``."""
    actor.require(Role.ADMIN)
    with transaction.atomic():
        key = visible(actor).select_for_update().filter(pk=key_id).first()
        if key is None:
            raise NotFound
        key.revoked_at = timezone.now()
        key.save(update_fields=["revoked_at"])
        events.record(actor, "api_key.revoke", key)
        standing.watch.doubt()


def recognise(text: str) -> APIKey | None:
    """The key that ``text`` is, when it may be used now. Notes its use, at most once a minute."""
    key = known(text)
    if key is None or ended(key) is not None:
        return None
    used(key.pk, key.last_used_at, timezone.now())
    return key


def known(text: str) -> APIKey | None:
    """The key that ``text`` is, whether it may be used or not; None for what was never one. One query."""
    found = KEY.fullmatch(text)
    if found is None:
        return None
    keys = APIKey.objects.select_related("organisation", "membership__user")
    key = keys.filter(prefix=found[1], membership__organisation=F("organisation")).first()
    return key if key is not None and hmac.compare_digest(key.digest, digest(text)) else None


def ended(key: APIKey) -> str | None:
    """Why a key may not be used, in a few words; None for one that may."""
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= timezone.now():
        return "expired"
    if not key.membership.user.is_active:
        return "its maker may not log in"
    return "the organisation is suspended" if key.organisation.suspended_at is not None else None


def used(key_id: Any, last_used_at: datetime | str | None, now: datetime) -> None:
    """Note that a key is in use, at most once a minute. ``last_used_at`` may be as the database gave it."""
    last = datetime.fromisoformat(last_used_at) if isinstance(last_used_at, str) else last_used_at
    if last is not None and last.tzinfo is None:
        last = last.replace(tzinfo=UTC)
    if last is None or now - last > USE_RESOLUTION:
        with suppress(OperationalError), waiting.within_at_no_cost(_NOTE_SECONDS):  # the next use notes it as well
            _note(key_id, now)


def _note(key_id: Any, now: datetime) -> None:
    if connection.vendor != "postgresql":
        APIKey.objects.filter(pk=key_id).update(last_used_at=now)
        return
    with connection.cursor() as cursor:
        cursor.execute(_NOTE_UNLESS_LOCKED, [now, key_id])


def actor_of(key: APIKey, request_id: str = "", ip: str | None = None) -> Actor:
    """The actor of a key: its role, or its maker's where that is less by now. One query where its reach is narrow."""
    membership: Membership = key.membership
    role = min(Role(key.role), Role(membership.role), key=lambda role: role.rank)
    reach = None
    if key.restricted:
        reach = frozenset(key.reach.values_list("connection_id", flat=True))
        role = min(role, Role.EDITOR, key=lambda role: role.rank)
    return Actor(
        kind="api_key",
        id=str(key.pk),
        label=f"{key.name} (ck_{key.prefix}_…)",
        organisation=key.organisation,
        role=role,
        request_id=request_id,
        ip=ip,
        user_id=membership.user_id,
        membership_id=membership.pk,
        reach=reach,
    )


def _no_later(actor: Actor, wanted: datetime | None) -> datetime | None:
    """When a new key ends, if ``wanted`` is asked for. Raises ``Invalid`` where the key that makes it ends before."""
    if actor.kind != "api_key":
        return wanted
    most = APIKey.objects.filter(pk=actor.id).values_list("expires_at", flat=True).first()
    if most is None or wanted is None:
        return wanted or most
    if wanted > most:
        raise Invalid.at("/expires_at", f"The key that makes it ends before, at {most.isoformat()}.")
    return wanted


def _named(actor: Actor, slugs: Any) -> list[Connection]:
    """The organisation's connections with these slugs. Raises ``Invalid`` for the first that it has not."""
    if not isinstance(slugs, list) or not 0 < len(slugs) <= MAX_REACH:
        raise Invalid.at("/connections", f"A list of 1 to {MAX_REACH} slugs; leave it out for all connections.")
    for at, slug in enumerate(slugs):
        if not isinstance(slug, str) or "\0" in slug:
            raise Invalid.at(f"/connections/{at}", "The slug of a connection.")
    rows = Connection.objects.all().visible_to(actor).filter(slug__in=slugs).only("pk", "slug", "organisation_id")
    found = {row.slug: row for row in rows}
    for at, slug in enumerate(slugs):
        if slug not in found:
            raise Invalid.at(f"/connections/{at}", "There is no such connection.", "not_found")
    return list(found.values())


def digest(text: str) -> str:
    """What is stored of a key: enough to know it by."""
    return hashlib.sha256(text.encode()).hexdigest()


def _moment(value: Any) -> datetime | None:
    if value is None:
        return None
    moment = value if isinstance(value, datetime) else None
    if isinstance(value, str):
        try:
            moment = parse_datetime(value)
            moment = moment.astimezone(UTC) if moment is not None and moment.tzinfo is not None else None
        except (ValueError, OverflowError):
            moment = None
    if moment is None or moment.tzinfo is None:
        raise Invalid.at("/expires_at", "A moment in ISO 8601 with its offset, such as 2027-01-31T00:00:00Z.")
    if moment <= timezone.now():
        raise Invalid.at("/expires_at", "This moment has passed.")
    return moment
