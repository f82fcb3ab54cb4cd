"""API keys: make, list, revoke, recognise.

``ck_<prefix>_<secret>``: the prefix finds the row, the SHA-256 of the whole key proves it. The secret has 256 random
bits, so a fast hash is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from connections.models import APIKey, Membership, Role
from connections.services import events
from connections.services.actor import Actor
from connections.services.errors import Invalid, NotFound

KEY = re.compile(r"ck_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
USE_RESOLUTION = timedelta(minutes=1)


def visible(actor: Actor) -> QuerySet[APIKey]:
    """The organisation's keys that are not revoked."""
    actor.require(Role.ADMIN)
    return APIKey.objects.all().visible_to(actor).filter(revoked_at=None)


def get(actor: Actor, key_id: Any) -> APIKey:
    """One key of the actor's organisation that is not revoked. Raises ``NotFound``."""
    found = APIKey.objects.all().visible_to(actor).filter(pk=key_id, revoked_at=None).first()
    if found is None:
        raise NotFound(api_key=str(key_id))
    return found


def create(actor: Actor, name: Any, role: Any, expires_at: Any = None) -> tuple[APIKey, str]:
    """A new key and its text, which is shown this once. Its role is at most its maker's."""
    actor.require(Role.ADMIN)
    if actor.membership_id is None:
        raise Invalid.at("/name", "A key needs a member who made it; join the organisation first.")
    if not isinstance(name, str) or not name.strip() or len(name) > 200 or "\0" in name:
        raise Invalid.at("/name", "A text of 1 to 200 characters.", "required" if not name else "invalid")
    if role not in Role.values:
        raise Invalid.at("/role", f"One of {', '.join(Role.values)}.")
    if not actor.may(Role(role)):
        raise Invalid.at("/role", "A key cannot have more rights than its maker.")
    prefix = "".join(secrets.choice(_ALPHABET) for _ in range(12))
    text = f"ck_{prefix}_{secrets.token_urlsafe(32)}"
    with transaction.atomic():
        key = APIKey.objects.create(
            organisation=actor.organisation,
            membership_id=actor.membership_id,
            name=name.strip(),
            role=role,
            prefix=prefix,
            digest=_digest(text),
            expires_at=_moment(expires_at),
        )
        events.record(actor, "api_key.create", key, changes={"role": [None, role]})
    return key, text


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


def recognise(text: str) -> APIKey | None:
    """The key that ``text`` is, when it may be used now. Notes its use, at most once a minute."""
    found = KEY.fullmatch(text)
    if found is None:
        return None
    now = timezone.now()
    key = (
        APIKey.objects.select_related("organisation", "membership__user")
        .filter(Q(expires_at=None) | Q(expires_at__gt=now))
        .filter(
            prefix=found[1],
            revoked_at=None,
            membership__user__is_active=True,
            membership__organisation=F("organisation"),
            organisation__suspended_at=None,
        )
        .first()
    )
    if key is None or not hmac.compare_digest(key.digest, _digest(text)):
        return None
    if key.last_used_at is None or now - key.last_used_at > USE_RESOLUTION:
        APIKey.objects.filter(pk=key.pk).update(last_used_at=now)
    return key


def actor_of(key: APIKey, request_id: str = "", ip: str | None = None) -> Actor:
    """The actor of a key: its role, or its maker's where that is less by now."""
    membership: Membership = key.membership
    role = min(Role(key.role), Role(membership.role), key=lambda role: role.rank)
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
    )


def _digest(text: str) -> str:
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
