"""The preview page: a query, its rows, its downloads. It reaches the source when a button is pressed, never before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from connections.adapters.errors import AdapterError
from connections.adapters.schema import Problem
from connections.admin.editing import about
from connections.admin.querying import QueryForm, offset_of
from connections.admin.reports import Outcome, of_error, of_form_errors
from connections.admin.results import Results, results
from connections.admin.visible import visible
from connections.admin.visits import Visit, url
from connections.models import Connection
from connections.services import budgets, jobs, queries, sources
from connections.services.errors import CatalogueError

MEDIA_TYPES = {
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}
LABELS = {"csv": "CSV", "ndjson": "NDJSON", "parquet": "Parquet", "arrow": "Arrow"}
TABLES = 200


@dataclass(frozen=True, slots=True)
class TableLink:
    """A table to choose. ``path`` is its path as JSON."""

    name: str
    kind: str
    path: str


@dataclass(slots=True)
class Shown:
    """What is below the form: rows, or what went wrong, or neither."""

    results: Results | None = None
    outcome: Outcome | None = None


def preview(visit: Visit, connection: Connection) -> HttpResponse:
    """The page; with POST, the first rows of what it asks."""
    adapter = sources.find(connection.source)
    if adapter is None:
        return visit.page("preview.html", _title(connection), **about(visit, connection), form=None)
    posted = visit.request.POST if visit.request.method == "POST" else None
    form = QueryForm(adapter, posted)
    if posted is not None and "_tables" in posted:
        return _with_tables(visit, connection, QueryForm(adapter))
    shown = _run(visit, connection, form) if posted is not None else Shown()
    if visit.wants_fragment:
        return render(visit.request, "admin/connections/results.html", _context(connection, form, shown))
    return _page(visit, connection, form, shown)


def tables(visit: Visit, connection: Connection) -> HttpResponse:
    """What can be read, as a part of the page."""
    return render(visit.request, "admin/connections/tables.html", _tables(visit, connection))


def export(visit: Visit, connection: Connection) -> HttpResponseBase:
    """The whole answer of the query as a file, up to the organisation's budget for exports."""
    adapter = sources.find(connection.source)
    format_ = visit.request.POST.get("format", "")
    if adapter is None or format_ not in MEDIA_TYPES:
        return preview(visit, connection)
    form = QueryForm(adapter, visit.request.POST)
    wanted = form.request(format=format_, limit=budgets.export(visit.actor.organisation).rows)
    if wanted is None:
        return _page(
            visit, connection, form, Shown(outcome=of_form_errors(_problems(form), _("Not run: the form has errors")))
        )
    try:
        stream = queries.read(visit.actor, connection, wanted)
        parts = stream.chunks()
        first = next(parts, b"")  # a failure until here is a page, not an empty file
    except (CatalogueError, AdapterError) as exc:
        return _page(visit, connection, form, _refused(form, exc))
    response = StreamingHttpResponse(_body(first, parts, format_), content_type=MEDIA_TYPES[format_])
    response["Content-Disposition"] = f'attachment; filename="{connection.slug}.{format_}"'
    return response


def cancel(visit: Visit, job: str) -> HttpResponse:
    """Stop a running preview of the organisation; nothing happens when it has just ended."""
    jobs.cancel(visit.actor, job)
    return HttpResponse(status=204)


def _run(visit: Visit, connection: Connection, form: QueryForm) -> Shown:
    wanted = form.request(offset=offset_of(visit.request.POST.get("offset")))
    if wanted is None:
        return Shown(outcome=of_form_errors(_problems(form), _("Not run: the form has errors")))
    try:
        return Shown(results=results(queries.preview(visit.actor, connection, wanted)))
    except (CatalogueError, AdapterError) as exc:
        return _refused(form, exc)


def _refused(form: QueryForm, exc: CatalogueError | AdapterError) -> Shown:
    if isinstance(exc, CatalogueError):
        form.add_problems(exc.problems)
    elif exc.field:
        form.add_problems([Problem(exc.field, exc.code, visible(exc.message))])
    return Shown(outcome=of_error(exc))


def _with_tables(visit: Visit, connection: Connection, form: QueryForm) -> HttpResponse:
    found = _tables(visit, connection)
    return _page(visit, connection, form, Shown(), **found)


def _tables(visit: Visit, connection: Connection) -> dict[str, Any]:
    search = visit.request.POST.get("tables_q", "").replace("\0", "").strip()[:200]
    try:
        found = queries.tables(visit.actor, connection, search=search, limit=TABLES, after=None)
    except (CatalogueError, AdapterError) as exc:
        return {"tables": [], "tables_outcome": of_error(exc), "tables_q": search, "tables_asked": True}
    links = [
        TableLink(visible(".".join(table["path"])), str(table["kind"]), json.dumps(table["path"]))
        for table in found["tables"]
    ]
    return {"tables": links, "tables_more": found["has_more"], "tables_q": search, "tables_asked": True}


def _page(visit: Visit, connection: Connection, form: QueryForm, shown: Shown, **more: Any) -> HttpResponse:
    return visit.page(
        "preview.html",
        _title(connection),
        **about(visit, connection),
        **_context(connection, form, shown),
        lists_tables="tables" in form.adapter.capabilities(),
        tables_url=url("tables", connection.pk),
        cancel_url=url("cancel", "REQUEST"),
        **more,
    )


def _context(connection: Connection, form: QueryForm, shown: Shown) -> dict[str, Any]:
    return {
        "form": form,
        "results": shown.results,
        "outcome": shown.outcome,
        "formats": LABELS,
        "export_url": url("export", connection.pk),
        "export_rows": budgets.export(connection.organisation).rows,
    }


def _title(connection: Connection) -> str:
    return _("Preview %(name)s") % {"name": connection.name}


def _problems(form: QueryForm) -> list[Problem]:
    found = [Problem("", "invalid", row.error) for row in form.rows if row.error]
    for name, errors in form.window.errors.items():
        found += [Problem("", "invalid", f"{form.window.fields[name].label}: {error}") for error in errors]
    if form.query.is_bound:
        found += [Problem("", "invalid", str(error)) for errors in form.query.errors.values() for error in errors]
    return found


def _body(first: bytes, rest: Iterator[bytes], format_: str) -> Iterator[bytes]:
    """The body of a download. A failure midway ends NDJSON with a line that says so, and aborts the others."""
    yield bytes(first)
    try:
        for part in rest:
            yield bytes(part)
    except AdapterError as exc:
        if format_ != "ndjson":
            raise
        yield json.dumps({"error": {"code": exc.code, "title": exc.title, "detail": exc.message}}).encode() + b"\n"
