"""Whether the process lives, and whether it can do its work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse

from connections.sealing.keyring import KeyRing
from connections.services import ring, walls
from connections.services.here import runner_here


def healthz(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"ok": True})


def readyz(request: HttpRequest) -> JsonResponse:
    """Database, keys and runner, and the isolation that is in force. 503 when one of them cannot work."""
    found = {"database": _told(_database), "keys": _told(_keys), "runner": _told(_runner)}
    ok = all(part["ok"] for part in found.values())
    return JsonResponse({"ok": ok, **found}, status=200 if ok else 503)


def _told(part: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return {"ok": True, **part()}
    except (DatabaseError, ValueError, OSError, RuntimeError) as exc:
        return {"ok": False, "error": type(exc).__name__}


def _database() -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute("select 1")
    return {"vendor": connection.vendor, **walls.told()}


def _keys() -> dict[str, Any]:
    """How many keys the ring has. Not ok where they did not seal the organisations' keys, or the newest was retired."""
    keys = KeyRing.from_settings()
    wrong: dict[str, Any] = {}
    if doubted := ring.glance(keys):
        wrong["doubted"] = doubted
    if ring.retired(keys.newest):
        wrong["retired"] = keys.newest
    return {"count": len(keys.ids), **({"ok": False, **wrong} if wrong else {})}


def _runner() -> dict[str, Any]:
    return runner_here().status()
