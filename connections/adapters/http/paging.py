"""Page after page: which request comes first, and which comes next.

Every pager has ``skip``: how many of the records that come first are before the caller's offset. A page that is
shorter than what was asked for does not end a result, as sources cap page sizes; an empty one does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urljoin

from connections.adapters.contract import Notice
from connections.adapters.errors import ProtocolError
from connections.adapters.http.binding import Request
from connections.adapters.http.pages import Page
from connections.adapters.http.query import CursorPaging, LinkPaging, OffsetPaging, PagePaging, Paging
from connections.adapters.http.records import locating

FIELD = "/query/paging"


class Pager(Protocol):
    skip: int

    def first(self, request: Request) -> Request: ...

    def following(self, request: Request, page: Page) -> Request | None:
        """The request after ``request``, whose whole ``page`` was read; None at the end."""
        ...


def pager(paging: Paging, base: str, *, wanted: int, offset: int, notices: list[Notice]) -> Pager:
    """The pager for ``wanted`` records after ``offset``. ``notices`` grows when pages look wrong."""
    if isinstance(paging, OffsetPaging):
        return ByOffset(paging, wanted, offset, Repeats(notices))
    if isinstance(paging, PagePaging):
        return ByPage(paging, wanted, offset, Repeats(notices))
    if isinstance(paging, CursorPaging):
        return ByCursor(paging, wanted, offset)
    if isinstance(paging, LinkPaging):
        return ByLink(paging, wanted, offset, base)
    return OnePage(offset)


@dataclass
class OnePage:
    skip: int

    def first(self, request: Request) -> Request:
        return request

    def following(self, request: Request, page: Page) -> Request | None:
        return None


@dataclass
class Repeats:
    """Warns of a source that answers the same page again: it does not understand the paging that was set."""

    notices: list[Notice]
    previous: str | None = None

    def look(self, page: Page) -> None:
        document = page.last()
        text = document.text if document is not None else None
        if text is not None and text == self.previous and all(notice.code != "same_page" for notice in self.notices):
            self.notices.append(
                Notice("same_page", "Two pages in a row are the same: check the paging's parameters, rows may repeat.")
            )
        self.previous = text


@dataclass
class ByOffset:
    paging: OffsetPaging
    wanted: int
    offset: int
    repeats: Repeats
    skip: int = 0  # the source skips

    def first(self, request: Request) -> Request:
        size = min(self.paging.page_size, self.wanted)
        return request.with_values(
            self.paging.place, {self.paging.offset_param: self.offset, **_size(self.paging.size_param, size)}
        )

    def following(self, request: Request, page: Page) -> Request | None:
        if not page.read:
            return None
        self.repeats.look(page)
        self.offset += page.read
        return request.with_values(self.paging.place, {self.paging.offset_param: self.offset})


class ByPage:
    def __init__(self, paging: PagePaging, wanted: int, offset: int, repeats: Repeats) -> None:
        self._paging = paging
        self._repeats = repeats
        self._size = min(paging.page_size, wanted)
        skipped, self.skip = divmod(offset, self._size) if paging.size_param else (0, offset)
        self._number = paging.first + skipped
        self._skipped = skipped > 0
        self._uneven = False

    def first(self, request: Request) -> Request:
        values = {self._paging.page_param: self._number, **_size(self._paging.size_param, self._size)}
        return request.with_values(self._paging.place, values)

    def following(self, request: Request, page: Page) -> Request | None:
        if not page.read:
            return None
        if self._skipped and (self._uneven or page.read > self._size):
            raise ProtocolError(
                "The source's pages are not of the size that was asked for, so an offset would skip wrong records.",
                field=f"{FIELD}/page_size",
                hint="Enter a page size that the source allows.",
            )
        self._repeats.look(page)
        self._uneven = page.read < self._size
        self._number += 1
        return request.with_values(self._paging.place, {self._paging.page_param: self._number})


@dataclass
class ByCursor:
    paging: CursorPaging
    wanted: int
    skip: int
    seen: set[str | int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.locate = locating(self.paging.cursor, f"{FIELD}/cursor")

    def first(self, request: Request) -> Request:
        size = min(self.paging.page_size, self.skip + self.wanted)
        return request.with_values(self.paging.place, _size(self.paging.size_param, size))

    def following(self, request: Request, page: Page) -> Request | None:
        document = page.last()
        cursor = self.locate(document) if document is not None else None
        if cursor in (None, "", False):
            return None
        if not isinstance(cursor, str | int) or cursor is True:
            raise ProtocolError("The source's cursor is neither text nor a whole number.", field=f"{FIELD}/cursor")
        if cursor in self.seen:
            raise _in_a_circle()
        self.seen.add(cursor)
        return request.with_values(self.paging.place, {self.paging.cursor_param: cursor})


@dataclass
class ByLink:
    paging: LinkPaging
    wanted: int
    skip: int
    base: str
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.locate = locating(self.paging.next, f"{FIELD}/next") if self.paging.next else None

    def first(self, request: Request) -> Request:
        size = min(self.paging.page_size, self.skip + self.wanted)
        return request.with_values(self.paging.place, _size(self.paging.size_param, size))

    def following(self, request: Request, page: Page) -> Request | None:
        found = self._link(page)
        if not found:
            return None
        if not isinstance(found, str) or not beneath(self.base, url := urljoin(str(page.answer.url), found)):
            raise ProtocolError(
                "The source's link to the next page leads away from the base URL.",
                field=FIELD,
                hint="Enter a base URL that its pages are beneath.",
            )
        if url in self.seen:
            raise _in_a_circle()
        self.seen.add(url)
        return Request(request.method, url, (), request.body)

    def _link(self, page: Page) -> Any:
        if self.locate is None:
            return page.answer.links.get("next", {}).get("url")
        document = page.last()
        return self.locate(document) if document is not None else None


def beneath(base: str, url: str) -> bool:
    """Whether ``url`` is under ``base`` however its path is read: same scheme, host, port and leading segments."""
    path, _, _ = url.partition("?")
    rest = path.removeprefix(base)
    if len(rest) == len(path) or rest[:1] not in ("", "/") or "#" in url:
        return False
    return _leads_on(rest)


def _leads_on(path: str) -> bool:
    """Whether a path has nothing that a server could read as a way up."""
    lowered = path.lower()
    if any(sign in lowered for sign in ("\\", ";", "//", "%2f", "%5c", "%2e", "%25", "%3b", "%00")):
        return False
    return re.fullmatch(r"[!-~]*", path) is not None and not {".", ".."} & set(path.split("/"))


def _size(name: str | None, size: int) -> dict[str, str | int]:
    return {name: size} if name else {}


def _in_a_circle() -> ProtocolError:
    return ProtocolError("The source's pages lead in a circle.", field=FIELD)
