"""Probe queries: what new secrets must be able to run, beside passing a status check."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from connections.adapters import schema
from connections.adapters.errors import AdapterError
from connections.adapters.schema import Nested
from connections.models import Connection
from connections.runner.jobs import Operation
from connections.services import budgets, jobs
from connections.services.actor import Actor
from connections.services.errors import Invalid, Unresolved
from connections.services.sources import AdapterClass

MAX_BYTES = 16 * 1024
STEP = "probe"


def checked(adapter: AdapterClass | None, probe: Any) -> Nested:
    """A probe query as it is stored, empty for none. Raises ``Invalid`` when the source would not take it."""
    if probe is None or probe == {}:
        return {}
    if not isinstance(probe, dict):
        raise Invalid.at("/probe", "Send the query as a JSON object; null removes it.")
    if adapter is None:
        raise Invalid.at("/probe", "The source is not installed, so its queries cannot be judged.")
    if len(json.dumps(probe)) > MAX_BYTES or _has_nul(probe):
        raise Invalid.at("/probe", f"A query of at most {MAX_BYTES // 1024} KB, without the character NUL.")
    try:
        adapter.query_class.model_validate(probe)
    except ValidationError as exc:
        raise Invalid.of(schema.problems(exc, adapter.query_class, config="/probe", secrets="/probe")) from None
    return probe


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_has_nul, [*value, *value.values()] if isinstance(value, dict) else value))
    return isinstance(value, str) and "\0" in value


def told(probe: Nested) -> dict[str, Any] | None:
    """A probe as the record tells it, by hash and length: its text may hold what nobody should keep."""
    if not probe:
        return None
    text = json.dumps(probe, sort_keys=True).encode()
    return {"query_sha256": hashlib.sha256(text).hexdigest(), "query_bytes": len(text)}


def run(
    actor: Actor,
    connection: Connection,
    adapter: AdapterClass,
    open_settings: Callable[[], Nested],
    probe: Nested,
    report: dict[str, Any],
) -> None:
    """Run ``probe`` with these settings, after a check that gave ``report``, and add it to that as its last step.

    It is left out where the check failed. The adapter is made for it alone: no warm one has these secrets.
    """
    step: dict[str, Any] = {"name": STEP, "ok": None}
    report["steps"] = [*report["steps"], step]
    if not report["ok"]:
        return
    started = time.perf_counter()
    try:
        _read(actor, connection, adapter, open_settings, probe)
        step["ok"] = True
    except (AdapterError, Unresolved) as exc:
        if exc.code in ("throttled", "busy", "cancelled"):
            raise
        step |= {"ok": False, "code": exc.code}
        report |= {name: exc.as_dict()[name] for name in ("code", "message", "hint", "fixable_by", "transient")}
        report |= {"ok": False, "field": (exc.field or "").replace("/query", "/probe", 1) or None}
    step["ms"] = round((time.perf_counter() - started) * 1000, 1)
    report["duration_ms"] = round(report["duration_ms"] + step["ms"], 1)


def _read(
    actor: Actor, connection: Connection, adapter: AdapterClass, open_settings: Callable[[], Nested], probe: Nested
) -> None:
    """Read the first row of the probe."""
    with jobs.submit(
        actor,
        adapter.id,
        Operation.READ,
        {"query": probe, "parameters": {}, "limit": 1},
        open_settings,
        timeout=float(budgets.limit(actor.organisation, "preview_timeout")),
        unsaved_of=connection,
    ) as run_:
        for _frame in run_:
            pass
