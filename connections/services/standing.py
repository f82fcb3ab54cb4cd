"""Whether whoever has a job running may still have it.

Rights are judged when a job is asked for. A job may wait and run for a minute, and meanwhile its key is revoked, its
person leaves, its connection is paused. One thread looks once a second, while there are jobs older than that, and
stops those whose ground is gone. What changes rights in this process makes it look at once.
"""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import DatabaseError, close_old_connections, connections, transaction
from django.db.models import Q
from django.utils import timezone

from connections.models import APIKey, APIKeyConnection, Connection, Membership, Role
from connections.services import walls
from connections.services.actor import Actor
from connections.services.here import runner_here

WHY = "The right to do this ended while it ran."
LEAST_PAUSE = 0.05  # seconds

log = logging.getLogger(__name__)


class Holder(NamedTuple):
    """Whose job it is, what it stands on, and the ``role`` it needs. ``until`` is when a superuser's visit ends."""

    kind: str
    organisation_id: uuid.UUID
    key_id: str
    user_id: int | None
    membership_id: uuid.UUID | None
    connection_id: uuid.UUID | None
    role: Role
    until: datetime | None = None


def holder(actor: Actor, connection: Connection | None, *, unsaved: bool = False) -> Holder:
    """Who holds a job that ``actor`` starts, on a saved connection or on settings that are not in use.

    These may be those of ``connection`` to be, ``unsaved``. Who tries such settings edits them, to the end.
    """
    return Holder(
        actor.kind,
        actor.organisation_id,
        actor.id if actor.kind == "api_key" else "",
        actor.user_id,
        actor.membership_id,
        connection.pk if connection is not None else None,
        Role.EDITOR if unsaved or connection is None else Role.ANALYST,
        actor.visit.until if actor.visit is not None else None,
    )


@walls.platform()
def fallen(holders: Collection[Holder]) -> set[Holder]:
    """Those whose right has ended. At most one query for each kind of ground that they stand on."""
    keys = _keys({each.key_id for each in holders if each.kind == "api_key"})
    members = _members({each.membership_id for each in holders if each.kind == "user"})
    people = _superusers({each.user_id for each in holders if each.kind == "superuser"})
    used = {each.connection_id for each in holders if each.connection_id is not None}
    running = _running(used)
    now = timezone.now()

    def stands(each: Holder) -> bool:
        if each.connection_id is not None and each.connection_id not in running:
            return False
        match each.kind:
            case "api_key":
                found = keys.get(each.key_id)
                return found is not None and found.covers(each)
            case "user":
                role = members.get(each.membership_id)
                return role is not None and role.covers(each.role)
            case "superuser":
                return each.user_id in people and (each.until is None or now < each.until)
        return True

    return {each for each in holders if not stands(each)}


def _running(ids: Collection[Any]) -> set[Any]:
    return set(Connection.objects.filter(pk__in=ids, paused_at=None).values_list("pk", flat=True)) if ids else set()


@dataclass(frozen=True, slots=True)
class _Key:
    """A key that lives: the least of its role and its maker's, and the connections it reaches; None for all."""

    role: Role
    reach: frozenset[uuid.UUID] | None

    def covers(self, each: Holder) -> bool:
        return self.role.covers(each.role) and (self.reach is None or each.connection_id in self.reach)


def _keys(ids: Collection[str]) -> dict[str, _Key]:
    if not ids:
        return {}
    rows = APIKey.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=timezone.now()),
        pk__in=ids,
        revoked_at=None,
        membership__user__is_active=True,
        organisation__suspended_at=None,
    ).values_list("pk", "role", "membership__role", "restricted")
    found = list(rows)
    reach: dict[uuid.UUID, set[uuid.UUID]] = {pk: set() for pk, *_, restricted in found if restricted}
    if reach:
        for pk, connection in APIKeyConnection.objects.filter(api_key__in=reach).values_list("api_key", "connection"):
            reach[pk].add(connection)
    return {
        str(pk): _Key(
            min(Role(role), Role(makers), key=lambda each: each.rank), frozenset(reach[pk]) if restricted else None
        )
        for pk, role, makers, restricted in found
    }


def _members(ids: Collection[Any]) -> dict[Any, Role]:
    if not ids:
        return {}
    rows = Membership.objects.filter(pk__in=ids, user__is_active=True, organisation__suspended_at=None)
    return {pk: Role(role) for pk, role in rows.values_list("pk", "role")}


def _superusers(ids: Collection[Any]) -> set[Any]:
    people = get_user_model()._default_manager.filter(pk__in=ids, is_active=True, is_superuser=True)
    return set(people.values_list("pk", flat=True)) if ids else set()


class _Watch:
    """The thread that looks. It sleeps while no job runs."""

    def __init__(self) -> None:
        self._awake = False
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._work = threading.Event()
        self._doubt = threading.Event()

    def begin(self) -> None:
        """A job has started: see to it that somebody looks."""
        if self._awake:
            return
        with self._starting:
            self._awake = True
            self._work.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep, name="catalog-standing", daemon=True)
                self._thread.start()

    def doubt(self) -> None:
        """Rights have changed: look at all jobs once the change is committed, whatever their age."""
        transaction.on_commit(self._doubt.set)

    def look(self, age: float = 0.0) -> int:
        """Stop the jobs older than ``age`` seconds whose holders may not have them. Returns how many."""
        runner = runner_here()
        holders = {each for each in runner.holders(age) if isinstance(each, Holder)}
        if not holders:
            return 0
        found = fallen(holders)
        return runner.stop(found, WHY) if found else 0

    def _keep(self) -> None:
        while True:
            self._work.wait()
            pause = max(settings.CATALOG_RECHECK_SECONDS, LEAST_PAUSE)
            all_of_them = self._doubt.wait(pause)
            self._doubt.clear()
            try:
                close_old_connections()  # one that broke is not asked again
                self.look(0.0 if all_of_them else pause)
            except DatabaseError as exc:
                log.warning("The rights behind running jobs could not be looked at: %s.", type(exc).__name__)
            except Exception:
                log.exception("The rights behind running jobs could not be looked at.")
            self._rest()

    def _rest(self) -> None:
        """Sleep until there is work again, when no job runs."""
        if runner_here().holders():
            return
        self._awake = False
        self._work.clear()
        if runner_here().holders():  # it came between the two
            self._awake = True
            self._work.set()
        else:
            connections.close_all()


watch = _Watch()


def _start_anew() -> None:
    global watch
    watch = _Watch()  # the parent's thread is not here


os.register_at_fork(after_in_child=_start_anew)
