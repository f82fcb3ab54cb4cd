"""The doors that lead to the source: each is given what it needs to get there, and must.

Whether it did is told by the job that went to a worker. A door that answers before that, for lack of input or of a
right, shows nothing of what the source would say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from connections.runner.jobs import Operation
from connections.testing.leaks.doors import ADMIN, FORMATS, Doors
from connections.testing.leaks.samples import form_data

MOST_TABLES = 3
EXPORTS = ("csv", "ndjson", "arrow", "parquet")
TOLD = 300  # characters of an answer that a failure repeats; what is repeated was looked at
WINDOW = {"limit": 1, "offset": 1, "count": True}


def by_api(doors: Doors, slug: str) -> None:
    """Check, preview, describe and browse the connection ``slug`` over REST."""
    path = f"connections/{slug}/"
    unsaved = {name: doors.whole[name] for name in ("source", "config", "secrets")}
    _ask(doors, Operation.CHECK, "POST", "connections/test/", unsaved)
    _ask(doors, Operation.CHECK, "POST", f"{path}status/", {})
    _ask(doors, Operation.CHECK, "PATCH", f"{path}?check=true", {"secrets": doors.secrets, "probe": doors.query})
    _ask(doors, Operation.CHECK, "POST", f"{path}status/", {})  # now with a probe
    if doors.secrets:
        _ask(doors, Operation.CHECK, "POST", f"{path}secrets/stage/", {"secrets": doors.secrets})
    for format_ in FORMATS:
        _ask(doors, Operation.READ, "POST", f"{path}preview/?format={format_}", {"query": doors.query})
    _ask(doors, Operation.READ, "POST", f"{path}preview/", {"query": doors.query, **WINDOW})
    _ask(doors, Operation.DESCRIBE, "POST", f"{path}describe/", {"query": doors.query})
    for table in _tables(doors, path):
        if "columns" in doors.adapter.capabilities():
            query = urlencode({"path": table}, doseq=True)
            _ask(doors, Operation.COLUMNS, "GET", f"{path}columns/?{query}")


def by_admin(doors: Doors, pk: Any) -> None:
    """As ``by_api``, by the pages of the admin, for the connection ``pk``."""
    page = f"{ADMIN}{pk}/"
    typed = {"name": "Typed", **form_data(doors.adapter.config_class, doors.config, doors.secrets)}
    query = {"limit": "5", **form_data(doors.adapter.query_class, doors.query, {}, part="query")}
    _post(doors, Operation.CHECK, f"{ADMIN}add/{doors.adapter.id}/test/", typed)
    _post(doors, Operation.CHECK, f"{page}test/", typed)
    _post(doors, Operation.CHECK, f"{page}check/", {})
    _post(doors, Operation.READ, f"{page}preview/", query)
    for format_ in EXPORTS:
        _post(doors, Operation.READ, f"{page}export/", {**query, "format": format_})
    if "tables" in doors.adapter.capabilities():
        _post(doors, Operation.TABLES, f"{page}tables/", {})
        _post(doors, Operation.TABLES, f"{page}preview/", {"_tables": "1"})
    doors.get(f"{page}change/")  # what the last check found


def _tables(doors: Doors, path: str) -> list[tuple[str, ...]]:
    """Some tables that the source lists; the hunt's own where it lists none, or nobody answers."""
    if "tables" not in doors.adapter.capabilities():
        return [doors.table]
    answer = _ask(doors, Operation.TABLES, "GET", f"{path}tables/?page_size={MOST_TABLES}")
    if answer.status_code != 200:
        return [doors.table]
    found = answer.json()
    if found["next"]:
        query = found["next"].partition("?")[2]
        _ask(doors, Operation.TABLES, "GET", f"{path}tables/?{query}")
    return [tuple(table["path"]) for table in found["results"]] or [doors.table]


def _ask(doors: Doors, operation: Operation, method: str, path: str, body: Any = None) -> Any:
    return _reaching(doors, operation, f"{method} {path}", lambda: doors.ask(method, path, body))


def _post(doors: Doors, operation: Operation, path: str, data: dict[str, Any]) -> Any:
    return _reaching(doors, operation, f"POST {path}", lambda: doors.post(path, data))


def _reaching(doors: Doors, operation: Operation, asked: str, ask: Callable[[], Any]) -> Any:
    """The answer. Raises ``AssertionError`` where no job of this kind went to a worker."""
    before = doors.canaries.jobs[operation]
    answer = ask()
    reached = doors.canaries.jobs[operation] > before
    text = "" if answer.streaming else answer.content.decode(errors="replace")[:TOLD]
    assert reached, (
        f"{asked} is to get to the source, and answered {answer.status_code} before: what the source would show there "
        f"was not looked at. Give the hunt a query, settings and a table that the source takes. {text}"
    )
    return answer
