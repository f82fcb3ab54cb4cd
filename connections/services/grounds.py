"""Grounds: what a read of a connection goes by, as long as its row and its organisation's stay as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from connections.adapters.config import Query
from connections.adapters.limits import Budget
from connections.adapters.schema import Nested
from connections.models import Connection
from connections.services import budgets, drafts, jobs, state, vault
from connections.services.errors import VersionConflict
from connections.services.sources import AdapterClass


class Allowance(NamedTuple):
    """What a read may ask for and produce. Times are in seconds: what is usual, and the most."""

    query_class: type[Query]
    limits: Budget
    timeout: float
    timeout_max: float


@dataclass(frozen=True, slots=True)
class Ground:
    """A connection that may be used, the adapter for it, and what a read may produce. Times are in seconds."""

    connection: Connection
    adapter: AdapterClass
    preview: Budget
    export: Budget
    timeout: float
    timeout_max: float
    terms: jobs.Terms
    epoch: jobs.Epoch

    def allowance(self, format_: str) -> Allowance:
        limits = self.preview if format_ == "json" else self.export
        return Allowance(self.adapter.query_class, limits, self.timeout, self.timeout_max)


def ground(connection: Connection) -> Ground:
    """The ground to read ``connection`` on. Raises what stands in the way: it is paused, locked, outdated, …"""
    organisation = connection.organisation
    most = float(budgets.limit(organisation, "preview_timeout_max"))
    return Ground(
        connection=connection,
        adapter=state.require_usable(connection),
        preview=budgets.preview(organisation),
        export=budgets.export(organisation),
        timeout=min(most, float(budgets.limit(organisation, "preview_timeout"))),
        timeout_max=most,
        terms=jobs.terms(organisation),
        epoch=jobs.epoch(connection),
    )


def settings(ground: Ground) -> Nested:
    """The whole settings, secrets included, for the supervisor. Raises ``Locked``, ``ConfigOutdated``.

    They are read anew, by whoever hands them over: a connection whose settings were changed since is refused.
    """
    found = _as_it_is(ground.connection)
    if found is None:
        raise VersionConflict("Somebody changed this connection meanwhile. Load it again.")
    return drafts.settings_of(ground.adapter, found)


def _as_it_is(connection: Connection) -> Connection | None:
    """The stored connection, with its secrets; None when it is gone or its settings are others by now.

    Secrets that were rotated since will do: they are for the same endpoint, and those before may not work any more.
    """
    rows = Connection.objects.filter(pk=connection.pk, organisation=connection.organisation_id)
    found = None
    for _ in range(2):  # the row is read before its secrets, and a rotation may fall in between
        found = rows.select_related("organisation").prefetch_related("secrets_rows", "organisation__keys").first()
        if found is None or _settings(found) != _settings(connection) or vault.problem(found) is None:
            break
    return found if found is not None and _settings(found) == _settings(connection) else None


def _settings(connection: Connection) -> tuple[object, ...]:
    return connection.source, connection.schema_version, connection.config
