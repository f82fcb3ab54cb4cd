"""One answer as a page of records."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from connections.adapters.errors import ProtocolError
from connections.adapters.http.documents import Document, decode
from connections.adapters.http.records import Select

if TYPE_CHECKING:
    from connections.adapters.http.answer import Answer

LINES = frozenset(
    {
        *("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonl"),
        *("application/jsonlines", "application/x-jsonlines", "application/json-lines", "text/x-ndjson"),
    }
)


class Page(Protocol):
    """Records on their way. ``read`` counts them, ``total`` is None where their number is not known beforehand."""

    read: int
    total: int | None
    answer: Answer

    @property
    def bytes(self) -> int:
        """How much of the answer the records so far took."""
        ...

    def records(self) -> Generator[Any, None, None]: ...

    def last(self) -> Document | None:
        """What to look for a cursor in."""
        ...


class WholePage:
    """An answer that is one JSON document."""

    def __init__(self, answer: Answer, select: Select) -> None:
        """Raises what reading and selecting raise."""
        with answer:
            body = answer.body()
        self.answer = answer
        self.read = 0
        self._size = len(body)
        self.document = Document(decode(body)) if answer.status not in (204, 205) else None
        try:
            self._found = select(self.document) if self.document is not None else []
        except ProtocolError as exc:
            raise _not_json(exc, answer) from None
        self.total: int | None = len(self._found)

    def records(self) -> Generator[Any, None, None]:
        for record in self._found:
            self.read += 1
            yield record

    @property
    def bytes(self) -> int:
        return self._size * self.read // (self.total or 1)

    def last(self) -> Document | None:
        return self.document


class StreamedPage:
    """An answer with a JSON document on each line, read as far as it is needed."""

    total: int | None = None

    def __init__(self, answer: Answer, select: Select) -> None:
        self.answer = answer
        self.bytes = 0
        self.read = 0
        self._select = select
        self._last: Document | None = None

    def records(self) -> Generator[Any, None, None]:
        with self.answer:
            for line in self.answer.lines():
                self.bytes += len(line)
                text = decode(line).strip()
                if text:
                    yield from self._records(text)

    def _records(self, text: str) -> Iterator[Any]:
        self._last = Document(text)
        for record in self._select(self._last):
            self.read += 1
            yield record

    def last(self) -> Document | None:
        return self._last


def page_of(answer: Answer, select: Select) -> Page:
    """The page that ``answer`` is, by its content type."""
    reading: Callable[[Answer, Select], Page] = StreamedPage if answer.content_type in LINES else WholePage
    return reading(answer, select)


def _not_json(exc: ProtocolError, answer: Answer) -> ProtocolError:
    """``exc`` with the content type, where that tells what came instead: a login page, mostly."""
    if "html" not in answer.content_type:
        return exc
    return ProtocolError(
        "The source answers with a web page, where JSON is due.",
        field="/query/path",
        hint="Check the base URL and the path; some sources send their login page this way.",
    )
