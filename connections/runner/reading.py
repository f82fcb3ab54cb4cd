"""A ``read`` as frames: the columns, the body piece by piece, and what is true of the page in the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from connections.adapters.base import Adapter
from connections.adapters.config import Query
from connections.adapters.contract import Notice, Result
from connections.adapters.errors import TooLargeError
from connections.adapters.gate import Gate
from connections.adapters.limits import Budget, Deadline
from connections.runner import memory
from connections.runner.cutting import Cutter
from connections.runner.encoding.formats import encoder_for
from connections.runner.frames import Chunk, End, Frame, Head, Soon
from connections.runner.heads import shown

LIMIT = 100
_TOGETHER: Final = 1024 * 1024

REPLACED = Notice(
    "replaced_characters",
    "Some text held halves of a surrogate pair, which Unicode does not allow; they became U+FFFD.",
)


def read(
    adapter: Adapter[Any, Any],
    query: Query,
    arguments: dict[str, Any],
    budget: Budget,
    deadline: Deadline,
    begin: Callable[[], None] = lambda: None,
) -> Iterator[Frame]:
    """Run ``query`` and encode its rows, within ``budget``. ``begin`` is called once, before the source is touched.

    Raises ``TooLargeError`` for too many columns, and for whatever else is over where ``cut`` is false.
    """
    asked, offset = int(arguments.get("limit", LIMIT)), int(arguments.get("offset", 0))
    limit = min(asked, budget.rows)
    parameters, count = dict(arguments.get("parameters") or {}), bool(arguments.get("count"))
    memory.before()
    gate = Gate(begin)
    if adapter.waits_itself:
        adapter.gate = gate
    else:
        gate.enter()
    result = adapter.read(
        query,
        parameters,
        limit=limit,
        offset=offset,
        count=count,
        deadline=deadline,
    )
    try:
        if len(result.columns) > budget.columns:
            raise TooLargeError(
                f"The answer has {len(result.columns)} columns; at most {budget.columns} can be shown.",
                field="/query",
                hint="Name the columns you need.",
            )
        yield Soon()
        yield from _rows(result, arguments, budget, asked, limit, offset)
    finally:
        _stop(result)


def _rows(
    result: Result, arguments: dict[str, Any], budget: Budget, asked: int, limit: int, offset: int
) -> Iterator[Frame]:
    form = str(arguments.get("format", "json"))
    encoder = encoder_for(form, result.columns, arguments)
    cutter = Cutter(encoder, result.columns, budget, cut=bool(arguments.get("cut", form == "json")))
    yield Head(shown(result.columns), encoder.content_type)

    spent = 0.0
    size = 0
    has_more = False
    started = time.perf_counter()
    pieces = _pieces(result, cutter, limit, asked, 0 if form == "json" else _TOGETHER)
    for piece in pieces:
        if piece is None:
            has_more = True
            break
        spent += time.perf_counter() - started
        if piece:
            size += len(piece)
            yield Chunk(piece)
        started = time.perf_counter()  # what the reader takes to take it is not the source's time
    last = encoder.tail()
    spent += time.perf_counter() - started
    if last:
        size += len(last)
        yield Chunk(last)
    notices = [*result.notices, *([REPLACED] if encoder.replaced else [])]
    yield End(
        {
            "page": {
                "offset": offset,
                "limit": asked,
                "returned": cutter.rows,
                "has_more": has_more,
                "total": result.total,
            },
            "truncated": cutter.truncated(),
            "stats": {
                "queue_ms": 0.0,
                "connect_ms": round(result.connect_ms, 3),
                "execute_ms": round(result.execute_ms, 3),
                "fetch_ms": round(spent * 1000, 3),
                "bytes": size,
            },
            "warnings": [notice.as_dict() for notice in notices],
        }
    )


def _pieces(result: Result, cutter: Cutter, limit: int, asked: int, together: int) -> Iterator[bytes | None]:
    """The body piece by piece, and then None if there were more rows than the ``limit``, which may be under ``asked``.

    What comes before the rows comes with all of the first batch, or its first ``together`` bytes: who gets a piece may
    promise that there is an answer, and until then it may still be an error.
    """
    held = cutter.encoder.head()
    for batch in result.batches:
        left = limit - cutter.rows
        for piece in cutter.take(batch[:left] if len(batch) > left else batch):
            held += piece
            if len(held) >= together:
                yield held
                held, together = b"", 0
        if cutter.rows:
            together = 0
        if len(batch) > left or cutter.full:
            if limit < asked and not cutter.full:
                cutter.short_of_rows()
            yield held
            yield None
            return
        if held and not together:
            yield held
            held = b""
    yield held


def _stop(result: Result) -> None:
    """Have the source cancel what is left of the query, if anything is."""
    close = getattr(result.batches, "close", None)
    if close is not None:
        close()
