"""Connections: find, create, change, pause, clone, delete."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.text import slugify

from connections.models import Connection, Role
from connections.services import (
    counters,
    drafts,
    events,
    expiry,
    probes,
    references,
    revisions,
    slots,
    sources,
    standing,
    upgrade_rows,
    vault,
)
from connections.services.actor import Actor
from connections.services.drafts import Draft
from connections.services.errors import Conflict, Invalid, NotFound, PreconditionFailed, VersionConflict

Verify = Callable[[Draft], None]
"""Called with a draft before it is stored; raises to store nothing."""

TEXT_LIMITS = {"name": 200, "description": 10_000, "environment": 64}
MAX_TAGS = 50
STATUS_FILTERS = {"ok": Q(status_ok=True), "failed": Q(status_ok=False), "unknown": Q(status_ok=None)}


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


def visible(actor: Actor) -> QuerySet[Connection]:
    """The organisation's connections, with what showing them needs."""
    found = Connection.objects.all().visible_to(actor).select_related("organisation")
    return found.prefetch_related("secrets_rows", "organisation__keys")


def get(actor: Actor, slug: str) -> Connection:
    """One connection. Raises ``NotFound``, also for another organisation's."""
    try:
        found = visible(actor).get(slug=slug)
        if not all(vault.is_due(found, row) for row in found.secrets_rows.all()):
            found = visible(actor).get(slug=slug)  # it is read before its secrets, and a rotation may fall in between
        return found
    except Connection.DoesNotExist:
        raise NotFound from None


def search(
    actor: Actor,
    *,
    source: str = "",
    tag: str = "",
    environment: str = "",
    status: str = "",
    q: str = "",
    expiring: int | None = None,
) -> QuerySet[Connection]:
    """The organisation's connections that fit every filter that is not empty.

    ``expiring`` is as in ``expiring_within``.
    """
    found = visible(actor)
    if expiring is not None:
        found = found.filter(expiring_within(expiring))
    if source:
        found = found.filter(source=source)
    if environment:
        found = found.filter(environment=environment)
    if tag:
        found = found.filter(pk__in=[pk for pk, tags in found.values_list("pk", "tags") if tag in tags])
    if status:
        found = found.filter(STATUS_FILTERS[status])
    if q:
        found = found.filter(
            Q(name__icontains=q) | Q(slug__icontains=q) | Q(description__icontains=q) | Q(source__icontains=q)
        )
    return found


def expiring_within(days: int) -> Q:
    """Connections of which a secret or certificate ends within so many days, or has ended, as far as is known."""
    return Q(secrets_expire_at__lte=timezone.now() + timedelta(days=days))


def create(
    actor: Actor,
    source: Any,
    change: Change,
    *,
    slug: str | None = None,
    managed_by: str | None = None,
    verify: Verify | None = None,
) -> Connection:
    """Store a new connection. ``slug`` is made from the name unless given (then ``Conflict`` when taken)."""
    actor.require(Role.EDITOR)
    actor.require_whole_reach()
    adapter = sources.chosen(source, actor.organisation)
    plain = _plain_fields(change)
    if not plain.get("name"):
        raise Invalid.at("/name", "A connection needs a name.", "required")
    probe = probes.checked(adapter, change.probe)
    draft = drafts.new(adapter, actor.organisation, change.config, change.secrets)
    if verify is not None:
        verify(draft)
    connection = Connection(
        organisation=actor.organisation,
        source=adapter.id,
        config=draft.config,
        schema_version=adapter.config_class.schema_version,
        managed_by=managed_by,
        created_by_id=actor.user_id,
        probe=probe,
        **plain,
    )
    with transaction.atomic():
        _save_with_slug(connection, slug)
        if draft.secrets:
            vault.seal(connection, draft.secrets, draft.set_at, changed=True)
        expiry.keep(connection, expiry.stored(connection), draft, change.expiries)
        revisions.write(actor, connection)
        events.record(actor, "connection.create", connection, changes=_creation(connection, draft))
    return get(actor, connection.slug)


def update(
    actor: Actor,
    connection: Connection,
    change: Change,
    *,
    if_match: Collection[int] | None = None,
    version: int | None = None,
    verify: Verify | None = None,
    action: str = "connection.update",
    detail: dict[str, Any] | None = None,
) -> Connection:
    """Change a connection. ``if_match`` raises ``PreconditionFailed``, ``version`` ``VersionConflict`` when stale.

    ``if_match`` names the versions that may be changed. ``action`` and ``detail`` are what the record calls it.
    """
    actor.require(Role.EDITOR, connection)
    plain = _plain_fields(change)
    if change.probe is not None and change.probe != connection.probe:
        plain["probe"] = probes.checked(sources.find(connection.source), change.probe)
    require_version(connection, if_match, version)
    draft = _draft(actor, action, connection, change, always=verify is not None)
    if draft is not None and verify is not None:
        verify(draft)
    with transaction.atomic():
        row = Connection.objects.select_for_update().filter(pk=connection.pk, version=connection.version).first()
        if row is None:
            raise VersionConflict("Somebody changed this connection meanwhile. Load it again.")
        before, config = {name: getattr(row, name) for name in plain}, row.config
        changes = upgrade_rows.upgrade_where_possible(row) if draft is not None else {}
        changes |= {name: [before[name], value] for name, value in plain.items() if before[name] != value}
        for name, value in plain.items():
            setattr(row, name, value)
        before_expiries = expiry.stored(row)
        if draft is not None:
            changes |= _apply(row, draft)
        changes |= expiry.keep(row, before_expiries, draft, change.expiries)
        if "config" in changes:
            changes["config"] = [config, row.config]
        if "probe" in changes:
            changes["probe"] = [probes.told(before["probe"]), probes.told(row.probe)]
        if changes.keys() & {"config", "secrets", "probe"}:
            detail = slots.settled(row, detail, secrets_changed="secrets" in changes)
        if changes:
            row.version = counters.after(row.version)
            row.save(update_fields=[*plain, "version", "updated_at"])  # what cannot be read stays as it is
            if "config" in changes:
                revisions.write(actor, row)
            events.record(actor, action, row, changes=changes, detail=detail)
    return get(actor, connection.slug)


def delete(
    actor: Actor, connection: Connection, *, if_match: Collection[int] | None = None, version: int | None = None
) -> None:
    """Delete a connection with its secrets and checks; its events stay."""
    actor.require(Role.EDITOR, connection)
    require_version(connection, if_match, version)
    with transaction.atomic():
        # First, as everybody who writes its secrets: the delete itself begins with what points at it.
        Connection.objects.select_for_update().filter(pk=connection.pk).first()
        events.record(actor, "connection.delete", connection)
        connection.delete()
        standing.watch.doubt()


def pause(actor: Actor, connection: Connection, reason: Any) -> Connection:
    """Stop all use of a connection, and say why. Pausing a paused one changes its reason."""
    actor.require(Role.EDITOR, connection)
    if not isinstance(reason, str) or len(reason) > 500 or "\0" in reason:
        raise Invalid.at("/reason", "The reason is a text of at most 500 characters.")
    if connection.paused_at is not None and connection.paused_reason == reason:
        return connection
    return _set_pause(actor, connection, reason=reason, action="connection.pause")


def resume(actor: Actor, connection: Connection) -> Connection:
    """Allow use again."""
    actor.require(Role.EDITOR, connection)
    if connection.paused_at is None:
        return connection
    return _set_pause(actor, connection, reason=None, action="connection.resume")


def clone(actor: Actor, connection: Connection, name: str | None = None) -> Connection:
    """A copy without secrets, named ``name`` or after the original."""
    actor.require(Role.EDITOR, connection)
    actor.require_whole_reach()
    plain = _plain_fields(Change(name=name if name is not None else f"{connection.name[:190]} (copy)"))
    sources.chosen(connection.source, actor.organisation)
    copy = Connection(
        organisation=actor.organisation,
        source=connection.source,
        config=connection.config,
        schema_version=connection.schema_version,
        description=connection.description,
        tags=connection.tags,
        environment=connection.environment,
        probe=connection.probe,
        created_by_id=actor.user_id,
        **plain,
    )
    with transaction.atomic():
        _save_with_slug(copy, None)
        expiry.settle(copy)
        revisions.write(actor, copy)
        events.record(actor, "connection.clone", copy, detail={"from": str(connection.pk)})
    return get(actor, copy.slug)


def _draft(actor: Actor, action: str, connection: Connection, change: Change, *, always: bool) -> Draft | None:
    if change.config is None and change.secrets is None and not always:
        return None
    return drafts.changed_by(
        actor,
        action,
        sources.editable(connection.source, connection.organisation),
        connection,
        change.config or {},
        change.secrets or {},
    )


def _apply(row: Connection, draft: Draft) -> dict[str, Any]:
    """Put a draft into a row and its secrets; return what changed, secrets by name only."""
    changes: dict[str, Any] = {}
    if draft.config_changed:
        revisions.write_first(row)
        changes["config"] = [row.config, draft.config]
        row.config = draft.config
        row.schema_version = draft.adapter.config_class.schema_version
    if draft.secrets_changed:
        before = vault.names(row)
        changes["secrets"] = sorted(
            name for name in {*before, *draft.set_at} if before.get(name) != draft.set_at.get(name)
        )
        changes |= references.moved(vault.references_of(row), references.column(draft.secrets))
    if not changes:
        return {}
    row.access_version = counters.after(row.access_version)
    row.status_ok, row.status_code, row.status_at = None, "", None
    row.save()
    sealed_for = (stored.fingerprint if (stored := vault.current(row)) else "") or ""
    if draft.secrets_changed or (draft.secrets and sealed_for != vault.fingerprint(row)):
        vault.seal(row, draft.secrets, draft.set_at, changed=draft.secrets_changed)
    return changes


def _set_pause(actor: Actor, connection: Connection, *, reason: str | None, action: str) -> Connection:
    with transaction.atomic():
        row = Connection.objects.select_for_update().get(pk=connection.pk)
        row.paused_at = timezone.now() if reason is not None else None
        row.paused_reason = reason or ""
        row.version = counters.after(row.version)
        row.save(update_fields=["paused_at", "paused_reason", "version", "updated_at"])
        events.record(actor, action, row, detail={"reason": reason} if reason else {})
        standing.watch.doubt()
    return get(actor, connection.slug)


def require_version(connection: Connection, if_match: Collection[int] | None, version: int | None) -> None:
    if if_match is not None and connection.version not in if_match:
        raise PreconditionFailed(f"The connection is at version {connection.version}. Load it again.")
    if version is not None and version != connection.version:
        raise VersionConflict(f"The connection is at version {connection.version}. Load it again.")


def _plain_fields(change: Change) -> dict[str, Any]:
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


def _creation(connection: Connection, draft: Draft) -> dict[str, Any]:
    secrets = {"secrets": sorted(draft.set_at), **references.moved({}, references.column(draft.secrets))}
    return {"name": [None, connection.name], "config": [None, draft.config], **secrets}


def _save_with_slug(connection: Connection, wanted: Any) -> None:
    """Insert the row under ``wanted``, or under a slug of its name, with ``-2`` and so on until one is free."""
    if wanted is not None:
        if not isinstance(wanted, str) or wanted != slugify(wanted) or not 0 < len(wanted) <= 80 or wanted == "test":
            raise Invalid.at("/slug", "A slug has 1 to 80 lower-case letters, digits, hyphens and underscores.")
        if not _insert(connection, wanted):
            raise Conflict(f"The slug {wanted} is taken.")
        return
    base = slugify(connection.name)[:70] or "connection"
    taken = set(
        Connection.objects.filter(organisation=connection.organisation, slug__startswith=base).values_list(
            "slug", flat=True
        )
    ) | {"test"}  # the path of the check of unsaved settings
    number = 1
    while (candidate := base if number == 1 else f"{base}-{number}") in taken or not _insert(connection, candidate):
        number += 1


def _insert(connection: Connection, slug: str) -> bool:
    connection.slug = slug
    try:
        with transaction.atomic():
            connection.save(force_insert=True)
    except IntegrityError:
        if Connection.objects.filter(organisation=connection.organisation, slug=slug).exists():
            return False
        raise
    return True
