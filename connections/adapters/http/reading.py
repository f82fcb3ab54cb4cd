"""One query being read: pages as they are needed, records after the offset, rows in batches."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from connections.adapters.contract import Column, Notice
from connections.adapters.http.binding import Request
from connections.adapters.http.columns import Layout, fields
from connections.adapters.http.pages import Page, page_of
from connections.adapters.http.paging import pager
from connections.adapters.http.query import HTTPQuery, NoPaging
from connections.adapters.http.records import selecting
from connections.adapters.limits import Budget, Deadline

if TYPE_CHECKING:
    from connections.adapters.http.answer import Answer

Fetch = Callable[[Request, Deadline, Callable[["Answer"], Page]], Page]

SAMPLE_ROWS = Budget().rows
SAMPLE_BYTES = Budget().bytes
DESCRIBED_ROWS = 100
BATCH_ROWS = 500


class Reading:
    """The records of one query, read once."""

    def __init__(
        self,
        fetch: Fetch,
        query: HTTPQuery,
        first: Request,
        base: str,
        *,
        limit: int,
        offset: int,
        deadline: Deadline,
    ) -> None:
        self.notices: list[Notice] = []
        self._fetch = fetch
        self._base = base
        self._query = query
        self._limit = limit
        self._offset = offset
        self._deadline = deadline
        self._page: Page | None = None
        self._bytes_before = 0
        self._wanted = limit + 1 if limit else DESCRIBED_ROWS
        self._passed: list[Any] = []
        self._sample: list[dict[str, Any]] = []
        self._records = self._after_offset(first)

    def columns(self) -> tuple[Column, ...]:
        """The columns, told by all records that are wanted, up to 10 000 of them or 8 MiB of answers."""
        before = 0
        for record in islice(self._records, min(self._wanted, SAMPLE_ROWS)):
            before = before if self._sample else self._bytes_read()
            self._sample.append(self._fields(record))
            if self._bytes_read() - before >= SAMPLE_BYTES:
                break
        self._layout = Layout(self._sample or map(self._fields, self._passed))
        return self._layout.columns

    def batches(self) -> Iterator[list[Any]]:
        """The rows of the sample and then of what follows, ``limit + 1`` in all. ``columns`` comes first."""
        most = self._limit + 1
        records = chain(self._sample, map(self._fields, self._records))
        with closing(self._records):
            while most > 0 and (batch := list(map(self._layout.row, islice(records, min(most, BATCH_ROWS))))):
                most -= len(batch)
                yield batch
        self.notices.extend(notice for notice in [self._layout.notice()] if notice is not None)

    def total(self) -> int | None:
        """How many records the query has, where one whole answer has them all."""
        return self._page.total if self._page is not None and isinstance(self._query.paging, NoPaging) else None

    def _fields(self, record: Any) -> dict[str, Any]:
        return fields(record, self._query.flatten)

    def _pass(self, record: Any) -> None:
        """Keep some of the records before the offset: where none come after it, they tell the columns."""
        if len(self._passed) < DESCRIBED_ROWS:
            self._passed.append(record)

    def _bytes_read(self) -> int:
        return self._bytes_before + (self._page.bytes if self._page is not None else 0)

    def _after_offset(self, first: Request) -> Generator[Any, None, None]:
        select = selecting(self._query.records)
        pages = pager(
            self._query.paging,
            self._base,
            wanted=self._wanted,
            offset=self._offset,
            notices=self.notices,
        )
        skip = pages.skip
        following: Request | None = pages.first(first)
        while following is not None:
            self._bytes_before = self._bytes_read()
            self._page = page = self._fetch(following, self._deadline, lambda answer: page_of(answer, select))
            with closing(page.records()) as records:
                for record in records:
                    if skip:
                        skip -= 1
                        self._pass(record)
                    else:
                        yield record
            following = pages.following(following, page)
