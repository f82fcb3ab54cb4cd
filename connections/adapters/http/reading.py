"""One query being read: pages as they are needed, records after the offset, rows in batches."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Any

from connections.adapters.contract import Notice
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
        self._records = self._after_offset(first)

    def sample(self) -> list[dict[str, Any]]:
        """The records that tell the columns: all that are wanted, up to 10 000 of them or 8 MiB of answers."""
        found: list[dict[str, Any]] = []
        for record in islice(self._records, min(self._wanted, SAMPLE_ROWS)):
            found.append(fields(record, self._query.flatten))
            if self._bytes_read() >= SAMPLE_BYTES:
                break
        return found

    def batches(self, sample: list[dict[str, Any]], layout: Layout) -> Iterator[list[Any]]:
        """The rows of the sample and then of what follows, ``limit + 1`` in all."""
        most = self._limit + 1
        with closing(self._records):
            for start in range(0, min(len(sample), most), BATCH_ROWS):
                yield [layout.row(record) for record in sample[start : min(start + BATCH_ROWS, most)]]
            left = most - len(sample)
            while left > 0 and (batch := self._batch(layout, min(left, BATCH_ROWS))):
                left -= len(batch)
                yield batch
        self.notices.extend(notice for notice in [layout.notice()] if notice is not None)

    def total(self) -> int | None:
        """How many records the query has, where one whole answer has them all."""
        return self._page.total if self._page is not None and isinstance(self._query.paging, NoPaging) else None

    def _batch(self, layout: Layout, most: int) -> list[Any]:
        return [layout.row(fields(record, self._query.flatten)) for record in islice(self._records, most)]

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
                    else:
                        yield record
            following = pages.following(following, page)
