"""The adapters that a worker keeps between jobs: connected, reset, and closed when nobody comes back for them."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from connections.adapters.base import Adapter
from connections.adapters.contract import Environment
from connections.adapters.egress import EgressPolicy
from connections.adapters.errors import (
    AdapterError,
    AuthenticationError,
    InternalError,
    InvalidError,
    ProtocolError,
    TransientError,
)
from connections.adapters.registry import BrokenSourceError, UnknownSourceError, registry
from connections.adapters.schema import problems
from connections.runner.jobs import Job

KEPT: Final = 8
IDLE_SECONDS: Final = 60.0

AnyAdapter = Adapter[Any, Any]


@dataclass(slots=True)
class Loan:
    """An adapter in use by one job."""

    adapter: AnyAdapter
    warmth: str | None


class WarmAdapters:
    """At most ``KEPT`` adapters, least recently used first. Each belongs to one connection at one access version."""

    def __init__(self, scratch: Path | None = None) -> None:
        self._scratch = scratch
        self._kept: OrderedDict[str, tuple[AnyAdapter, float]] = OrderedDict()

    def take(self, job: Job, settings: Callable[[], dict[str, Any]]) -> Loan:
        """The adapter for ``job``, warm if there is one; else a new one, made of what ``settings`` gives."""
        warmth = job.warmth
        if warmth is None:
            return Loan(self._make(job, settings()), None)
        self._drop_others(job, warmth)
        kept = self._kept.pop(warmth, None)
        return Loan(kept[0] if kept else self._make(job, settings()), warmth)

    def give_back(self, loan: Loan, error: AdapterError | None) -> None:
        """Keep the adapter for the next job, or close it: when it cannot be reset, or what failed casts doubt on it."""
        # A login that was refused will be again, until somebody mends it here or where the secret is kept.
        doubtful = isinstance(error, TransientError | ProtocolError | InternalError | AuthenticationError)
        if loan.warmth is None or doubtful or not _reset(loan.adapter):
            _close(loan.adapter)
            return
        self._kept[loan.warmth] = (loan.adapter, time.monotonic())
        while len(self._kept) > KEPT:
            _close(self._kept.popitem(last=False)[1][0])

    def next_expiry(self) -> float | None:
        """The moment, in monotonic seconds, at which the next adapter has been idle for too long."""
        return min((since + IDLE_SECONDS for _, since in self._kept.values()), default=None)

    def close_idle(self) -> None:
        now = time.monotonic()
        for warmth, (adapter, since) in list(self._kept.items()):
            if now - since >= IDLE_SECONDS:
                del self._kept[warmth]
                _close(adapter)

    def close(self) -> None:
        while self._kept:
            _close(self._kept.popitem()[1][0])

    def _drop_others(self, job: Job, warmth: str) -> None:
        """Close what was made for this connection under other settings: nothing may use those any more."""
        for key in list(self._kept):
            if key != warmth and json.loads(key)[0] == job.connection:
                _close(self._kept.pop(key)[0])

    def _make(self, job: Job, settings: dict[str, Any]) -> AnyAdapter:
        kind = source(job)
        try:
            config = kind.config_class.model_validate(settings)
        except ValidationError as exc:
            first = problems(exc, kind.config_class, config="/config", secrets="/secrets")[0]
            raise InvalidError(
                f"The settings do not fit {kind.label}: {first.detail}",
                field=first.pointer,
                hint="Open the connection, correct the setting and save it.",
            ) from None
        root = Path(job.root) if job.root is not None else None
        environment = Environment(
            EgressPolicy.from_dict(job.egress), root, self._scratch, allow_unsafe_roles=job.allow_unsafe_roles
        )
        return kind(config, environment)


def source(job: Job) -> type[AnyAdapter]:
    """The adapter class that ``job`` asks for. Raises ``InternalError`` when there is none that loads."""
    try:
        return registry[job.source]
    except (UnknownSourceError, BrokenSourceError) as exc:
        raise InternalError(str(exc)) from None


def _reset(adapter: AnyAdapter) -> bool:
    try:
        return adapter.reset()
    except Exception:  # noqa: BLE001  whatever a driver raises here means that the connection is not as new
        return False


def _close(adapter: AnyAdapter) -> None:
    try:
        adapter.close()
    except Exception:  # noqa: BLE001, S110  it is gone either way, and nobody waits for an answer
        pass
