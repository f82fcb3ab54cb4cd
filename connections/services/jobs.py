"""Jobs: from a connection and an actor to work that the runner does."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings

from connections.adapters.egress import EgressPolicy, Opening
from connections.adapters.limits import Budget
from connections.models import Connection, Organisation, Role
from connections.runner.jobs import Job, Operation
from connections.runner.supervisor import Run
from connections.services import budgets, events, own, references, standing, vault
from connections.services.actor import Actor
from connections.services.here import runner_here


@dataclass(frozen=True, slots=True)
class Terms:
    """What an organisation's jobs may reach and use, as its row and the deployment's settings have it."""

    organisation: str
    openings: tuple[str, ...]
    root: str
    allow_unsafe_roles: bool
    connection_limit: int
    organisation_limit: int


@dataclass(frozen=True, slots=True)
class Epoch:
    """What an adapter is made with besides the settings: the secrets in use, and those that are kept elsewhere."""

    connection: Connection
    version: str
    elsewhere: dict[str, str]

    def now(self) -> str:
        """A text that changes when an adapter must be made anew."""
        connection = self.connection
        kept = references.epoch(connection.pk, connection.organisation, self.elsewhere) if self.elsewhere else ""
        return f"{self.version} {kept}"


def epoch(connection: Connection) -> Epoch:
    return Epoch(connection, vault.version(connection), vault.references_of(connection))


def terms(organisation: Organisation) -> Terms:
    return Terms(
        organisation=str(organisation.pk),
        openings=(*settings.CATALOG_EGRESS_ALLOW, *organisation.egress),
        root=str(files_root(organisation)),
        allow_unsafe_roles=budgets.unsafe_roles(organisation),
        connection_limit=int(budgets.limit(organisation, "connection_jobs")),
        organisation_limit=int(budgets.limit(organisation, "organisation_jobs")),
    )


def egress(openings: tuple[str, ...]) -> dict[str, Any]:
    """What an organisation's adapters may reach, as a job has it: ``openings`` besides what is open to all."""
    found: dict[str, Any] = _egress(openings, own.look(), settings.CATALOG_EGRESS_LOOPBACK)
    return found


@lru_cache(1024)
def _egress(openings: tuple[str, ...], known: own.Own, loopback: bool) -> Any:
    parsed = tuple(Opening.parse(text) for text in openings)
    return EgressPolicy(openings=parsed, own=known.places, own_names=known.names, loopback=loopback).as_dict()


def files_root(organisation: Organisation) -> Path:
    """The folder that this organisation's file sources see."""
    return Path(settings.CATALOG_FILES_ROOT) / organisation.slug


def submit(
    actor: Actor,
    source: str,
    operation: Operation,
    arguments: dict[str, Any],
    open_settings: Callable[[], dict[str, Any]],
    *,
    timeout: float,
    connection: Connection | None = None,
    unsaved_of: Connection | None = None,
    limits: Budget | None = None,
    on: Terms | None = None,
    since: Epoch | None = None,
) -> Run:
    """Hand one job to the runner. ``timeout`` is in seconds and counts from now.

    ``on`` and ``since`` are those of organisation and ``connection``, where they are known already.

    ``open_settings`` is called when a worker has no warm adapter; what it returns goes down that worker's pipe only.
    Settings that ``connection`` has are kept warm. Those it might get are not: then it is ``unsaved_of``, and the job
    ends with the right to edit it.
    """
    organisation = actor.organisation
    on = on or terms(organisation)
    until = time.monotonic() + timeout

    def opened() -> dict[str, Any]:
        with references.within(until):
            return open_settings()

    job = Job(
        id=actor.request_id,
        organisation=on.organisation,
        connection=str(connection.pk) if connection else None,
        access_version=connection.access_version if connection else 0,
        source=source,
        operation=operation,
        arguments=arguments,
        timeout=timeout,
        budget=limits or budgets.preview(organisation),
        egress=egress(on.openings),
        root=on.root,
        allow_unsafe_roles=on.allow_unsafe_roles,
        connection_limit=on.connection_limit,
        organisation_limit=on.organisation_limit,
        host_limit=settings.CATALOG_HOST_JOBS,
        epoch=(since or epoch(connection)).now() if connection else "",
    )
    holder = standing.holder(actor, connection or unsaved_of, unsaved=connection is None)
    run = runner_here().run(job, opened, holder)
    standing.watch.begin()
    return run


def cancel(actor: Actor, request_id: str) -> None:
    """Stop a running job of the actor's organisation, in whatever process of this host; nothing when it just ended.

    Who reaches some connections only stops jobs of these.
    """
    actor.require(Role.ANALYST)
    events.record(actor, "job.cancel", label=request_id.replace("\0", ""))
    reach = None if actor.reach is None else {str(connection) for connection in actor.reach}
    runner_here().cancel(request_id, str(actor.organisation_id), reach)
