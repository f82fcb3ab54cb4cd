"""Writing the record. An event is inserted in the transaction of its action: no event, no action."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from math import inf
from typing import Any, Protocol
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from connections.models import Connection, Event, Role
from connections.services import ends, waiting, walls
from connections.services.actor import Actor, Stranger
from connections.services.rows import Condition, Wait, insert, insert_now_sync_later
from connections.services.waiting import Deadline

SWAPS_SECRETS = ("connection.promote", "connection.rollback")
ENTERS_SECRETS = ("connection.update", "connection.restore")
"""Actions that give a connection other secrets, always and where they say so."""


class Recorded(Protocol):
    @property
    def pk(self) -> Any: ...


def record(
    actor: Actor,
    action: str,
    thing: Recorded | None = None,
    *,
    result: str = "ok",
    code: str = "",
    changes: dict[str, Any] | None = None,
    detail: dict[str, Any] | None = None,
    label: str | None = None,
) -> None:
    """Insert one event. ``action`` is ``object.verb`` (``connection.update``); ``changes`` never holds a secret."""
    of = _about(thing, label)
    told = {"result": result, "code": code, "changes": changes or {}, "detail": detail or {}}
    _insert(actor, action, organisation_id=actor.organisation_id, **of, **told)


class Entry:
    """Work on record at both ends, where it must not wait for the second: a read.

    With ``only_if``, its first event is written only where that is so; otherwise ``NotInserted`` is raised.
    """

    def __init__(
        self, actor: Actor, action: str, thing: Recorded, detail: dict[str, Any], only_if: Condition | None = None
    ) -> None:
        self._organisation_id = actor.organisation_id
        self._only_if = only_if
        self._row = _row(actor, action, organisation_id=actor.organisation_id, detail=detail, **_about(thing))
        self.begun = False

    def begin(self, within: float) -> Wait:
        """Commit that it started, ``within`` seconds. What is returned waits until no loss of power can undo that.

        The work may begin at once, and be heard of when that wait is over. The wait for one event is one for all
        before it.
        """
        with self._scope(), waiting.within_at_no_cost(within):
            wait = insert_now_sync_later(Event, only_if=self._only_if, **self._row, result="started")
            self._admitted()
        self.begun = True
        return wait

    def end(self, result: str, code: str = "", *, within: float = inf, **measured: Any) -> None:
        """Record in a moment what came of it (``connections.services.ends``).

        At once where ends are not kept, and where nothing is on record yet: then it never began, and says so. That
        waits for somebody else's lock ``within`` seconds.
        """
        detail = {**self._row["detail"], **measured, **({} if self.begun else {"begun": False})}
        row = {**self._row, "result": result, "code": code, "detail": detail}
        if not self.begun or not ends.keep(row):
            with self._scope(), waiting.within(within):
                insert(Event, only_if=self._only_if, **row)
                self._admitted()

    def _scope(self) -> AbstractContextManager[None]:
        """A condition looks for who asks, whom only the platform finds."""
        return walls.inside(self._organisation_id) if self._only_if is None else walls.platform()

    def _admitted(self) -> None:
        """The condition held: from here on this is the organisation's work."""
        if self._only_if is not None:
            walls.enter(self._organisation_id)
            self._only_if = None


def _about(thing: Recorded | None, label: str | None = None) -> dict[str, Any]:
    return {
        "object_kind": type(thing).__name__.lower() if thing is not None else "",
        "object_id": str(thing.pk) if thing is not None else "",
        "object_label": (label if label is not None else str(thing) if thing is not None else "")[:200],
        "object_version": getattr(thing, "version", None),
    }


@dataclass(slots=True)
class Outcome:
    """What came of some work: ``result`` and ``code`` as its last event will have them."""

    result: str = "ok"
    code: str = ""
    detail: dict[str, Any] = field(default_factory=dict)

    def tell(self, result: str, code: str = "") -> None:
        self.result, self.code = result, code


@contextmanager
def work(
    actor: Actor,
    action: str,
    thing: Recorded | None = None,
    *,
    until: Deadline,
    label: str | None = None,
    detail: dict[str, Any] | None = None,
) -> Iterator[Outcome]:
    """Work at a source, on record at both ends: that it ``started``, before it does, and what came of it.

    Neither waits for somebody else's lock for longer than the work itself may take. An error that leaves the block is
    recorded as ``failed`` with its code, unless the outcome tells otherwise.
    """
    with waiting.within(until.patience()):
        record(actor, action, thing, result="started", label=label, detail=detail)
    outcome = Outcome(detail=dict(detail or {}))
    try:
        yield outcome
    except BaseException as exc:
        if outcome.result == "ok":
            outcome.tell("failed", code_of(exc))
        raise
    finally:
        with waiting.within(until.patience()):
            record(actor, action, thing, result=outcome.result, code=outcome.code, label=label, detail=outcome.detail)


def code_of(exc: BaseException) -> str:
    """An exception's code, where it is one of ours, or of the catalogue's database."""
    if isinstance(exc, waiting.AWAY):
        return waiting.away(exc).code
    code = getattr(exc, "code", None)
    return code if isinstance(code, str) else "internal"


def refused(actor: Actor, asked: str, thing: Recorded | None = None) -> None:
    """Record that ``actor`` may not do what it ``asked`` for in its own organisation."""
    record(actor, "access.denied", thing, result="denied", code="forbidden", detail={"asked": asked})


def out_of_reach(actor: Actor, asked: str, connection: str) -> None:
    """Record that a key for some connections only ``asked`` for another one, whether there is one or not."""
    detail = {"asked": asked, "connection": connection[:200]}
    record(actor, "access.denied", result="denied", code="not_found", detail=detail)


def refused_outside(by: Stranger, asked: str) -> None:
    """Record with the platform that somebody who is in no organisation may not do what they ``asked`` for."""
    told = {"result": "denied", "code": "forbidden", "detail": {"asked": asked}}
    _insert(by, "access.denied", organisation_id=None, **told)


def not_theirs(actors: list[Actor], asked: str, sought: dict[str, str], by: Stranger | None = None) -> None:
    """Record that somebody ``asked`` for what is not their organisation's.

    ``actors`` are the same person or key in each of their own organisations, whose records do not name what was
    ``sought``; the platform's record does. Whoever has none is told of by ``by``.
    """
    with transaction.atomic():
        for actor in actors:
            record(actor, "access.denied", result="denied", code="not_found", detail={"asked": asked})
        where = {"from": actors[0].organisation.slug} if actors else {}
        told = {"result": "denied", "code": "not_found", "detail": {"asked": asked, **where, **sought}}
        for who in (*actors, by)[:1]:
            if who is not None:
                _insert(who, "access.denied", organisation_id=None, **told)


def _insert(actor: Actor | Stranger, action: str, *, organisation_id: UUID | None, **fields: Any) -> None:
    row = _row(actor, action, organisation_id=organisation_id, **fields)
    # Wherever this is called from: a read's last event comes when its answer is sent, a refusal's may be another's.
    with walls.inside(organisation_id) if organisation_id else walls.platform():
        insert(Event, **row)


def _row(actor: Actor | Stranger, action: str, **fields: Any) -> dict[str, Any]:
    if actor.visit is not None:
        visit = {"id": actor.visit.id, "reason": actor.visit.reason}
        fields["detail"] = {**fields.get("detail", {}), "visit": visit}
    return {
        "actor_kind": actor.kind,
        "actor_id": actor.id,
        "actor_label": actor.label[:200],
        "action": action,
        "request_id": actor.request_id,
        "ip": actor.ip,
        **fields,
    }


def visible_events(actor: Actor) -> QuerySet[Event]:
    """The organisation's events, newest first, for its administrators."""
    actor.require(Role.ADMIN)
    ends.write()
    return Event.objects.all().visible_to(actor)


def of_secrets(actor: Actor, connection: Connection) -> QuerySet[Event]:
    """The events that gave a connection other secrets, for whoever may see it: to be told who and when, and no more."""
    actor.require(Role.VIEWER, connection)
    entered = Q(action__in=ENTERS_SECRETS) & (Q(changes__has_key="secrets") | Q(changes__has_key="references"))
    rows = Event.objects.all().visible_to(actor).filter(object_kind="connection", object_id=str(connection.pk))
    return rows.filter(Q(action__in=SWAPS_SECRETS) | entered, result="ok")
