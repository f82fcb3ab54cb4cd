"""The answer of a preview as a table of texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections.admin.visible import TITLE, cell_text, clipped, read_json, visible

RIGHT = frozenset({"integer", "float", "decimal"})


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    native_type: str
    right: bool


@dataclass(frozen=True, slots=True)
class Cell:
    """``title`` is there where ``text`` is clipped. ``null`` and ``empty`` are shown apart from texts."""

    text: str
    title: str = ""
    null: bool = False
    empty: bool = False
    right: bool = False


@dataclass(frozen=True, slots=True)
class Results:
    """``first`` and ``last`` count rows from 1; both are 0 when there are none."""

    columns: list[Column]
    rows: list[list[Cell]]
    first: int
    last: int
    previous: int | None
    next: int | None
    notes: list[str]
    stats: list[tuple[str, str]]


def results(answer: bytes) -> Results:
    """``answer`` is the REST answer of a preview."""
    body = read_json(answer)
    columns = [_column(column) for column in body["columns"]]
    page = {name: value for name, value in body["page"].items() if value is not None}
    offset, limit, returned = (int(page.get(name, 0)) for name in ("offset", "limit", "returned"))
    return Results(
        columns=columns,
        rows=[[_cell(value, column) for value, column in zip(row, columns, strict=True)] for row in body["rows"]],
        first=offset + 1 if returned else 0,
        last=offset + returned,
        previous=max(0, offset - limit) if offset else None,
        next=offset + returned if page.get("has_more") and returned else None,
        notes=[*_truncated(body.get("truncated")), *(visible(note["message"]) for note in body.get("warnings") or [])],
        stats=_stats(body.get("stats") or {}),
    )


def _column(column: dict[str, Any]) -> Column:
    type_, native = str(column["type"]), column.get("native_type")
    name = clipped(visible(column["name"]), TITLE)
    return Column(name, type_, visible(native) if native and native != type_ else "", type_ in RIGHT)


def _cell(value: Any, column: Column) -> Cell:
    if value is None:
        return Cell(_("null"), null=True)
    whole = cell_text(value)
    if whole == "":
        return Cell(_("empty"), empty=True)
    text = clipped(visible(clipped(whole)))
    title = visible(clipped(whole, TITLE)) if len(whole) > len(text) or text.endswith("…") else ""
    return Cell(text, title=title, right=column.right)


def _truncated(truncated: dict[str, Any] | None) -> list[str]:
    """What was left out, in words."""
    if not truncated:
        return []
    notes = []
    if truncated.get("by") == "bytes":
        size = int(truncated.get("limit", 0)) // (1024 * 1024)
        notes.append(_("Cut at %(size)d MiB: there are more rows than are shown.") % {"size": size})
    elif truncated.get("by"):
        notes.append(_("Cut by the budget of %(what)s.") % {"what": visible(truncated["by"])})
    if cells := truncated.get("cells"):
        text = ngettext(
            "%(count)d cell was too long, and is null.", "%(count)d cells were too long, and are null.", len(cells)
        )
        notes.append(text % {"count": len(cells)})
    return notes


def _stats(stats: dict[str, Any]) -> list[tuple[str, str]]:
    words = {
        "queue_ms": _("waited"),
        "connect_ms": _("connected"),
        "execute_ms": _("executed"),
        "fetch_ms": _("fetched"),
    }
    shown = [(label, f"{float(stats[name]):.1f} ms") for name, label in words.items() if name in stats]
    if "bytes" in stats:
        shown.append((_("size"), f"{int(stats['bytes']):,} B"))
    return shown
