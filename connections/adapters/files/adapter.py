"""The base of every source of files: which files there are and how one is opened is the source's; the rest is here."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any, BinaryIO, Generic, TypeVar

from connections.adapters.base import Adapter
from connections.adapters.config import Config
from connections.adapters.contract import ColumnType, Description, Result, Row, Table
from connections.adapters.errors import (
    AdapterError,
    InvalidError,
    QueryError,
    TooLargeError,
    UnreachableError,
)
from connections.adapters.files.beneath import split_name
from connections.adapters.files.columns import Reading
from connections.adapters.files.formats import format_of, read, resolve
from connections.adapters.files.pattern import matching
from connections.adapters.files.query import FilesQuery
from connections.adapters.files.union import Part, union
from connections.adapters.limits import Deadline

ConfigT = TypeVar("ConfigT", bound=Config)
EVERYTHING = 2**62
MAX_JOINED = 100
"""Files that one pattern reads."""

_FALLBACKS = {
    "csv": ColumnType.STRING,
    "excel": ColumnType.STRING,
    "json": ColumnType.JSON,
    "jsonl": ColumnType.JSON,
    "parquet": None,
}


class FilesAdapter(Adapter[ConfigT, FilesQuery], Generic[ConfigT]):
    """Tables are files (``["2024/sales.csv"]``) and the sheets of workbooks (``["book.xlsx", "2024"]``)."""

    query_class = FilesQuery

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._opened = ExitStack()

    # Hooks of a source -----------------------------------------------------------------------------------------

    @abstractmethod
    def names(self, deadline: Deadline) -> Iterator[str]:
        """Names of all files, with ``/`` between folders, in a fixed order. Raises ``TooLargeError`` past a bound."""

    @abstractmethod
    def open_file(self, name: str, deadline: Deadline, *, field: str) -> BinaryIO:
        """Open a file to read and seek. Raises ``QueryError`` with ``field`` when there is none of this name."""

    # Hooks of every adapter ------------------------------------------------------------------------------------

    def rows(
        self,
        query: FilesQuery,
        parameters: dict[str, Any],
        *,
        limit: int,
        offset: int,
        count: bool,
        deadline: Deadline,
    ) -> Result:
        self._require_no_parameters(parameters)
        self._opened.close()
        total = self._count(query, deadline) if count else None
        reading = self._reading(query, deadline)
        return Result(reading.columns, self._batches(reading, offset, limit + 1, query), total)

    def describe_query(self, query: FilesQuery, parameters: dict[str, Any], deadline: Deadline) -> Description:
        self._require_no_parameters(parameters)
        try:
            return Description(self._reading(query, deadline).columns)
        finally:
            self._opened.close()

    def list_tables(self, deadline: Deadline) -> Iterator[Table]:
        for name in self.names(deadline):
            deadline.require()
            found = format_of(name)
            if found is None:
                continue
            sheets = self._sheets(name, deadline) if found.format == "excel" else []
            for sheet in sheets:
                yield Table((name, sheet), "sheet")
            if not sheets:
                yield Table((name,), "file")

    def describe_table(self, path: tuple[str, ...], deadline: Deadline) -> Description:
        if not 1 <= len(path) <= 2:
            raise QueryError("A file's path is its name, and a sheet's name for a workbook.")
        return self.describe_query(FilesQuery(table=list(path)), {}, deadline)

    def translate(self, exc: Exception) -> AdapterError | None:
        if isinstance(exc, OSError):
            return UnreachableError(f"The files could not be read ({type(exc).__name__}, error {exc.errno}).")
        if isinstance(exc, MemoryError):
            return TooLargeError("The file needs more memory than a reader may use.")
        return None

    def reset(self) -> bool:
        self.close()
        return True

    def close(self) -> None:
        self._opened.close()

    # One file, or the files of a pattern -----------------------------------------------------------------------

    def _reading(self, query: FilesQuery, deadline: Deadline) -> Reading:
        if query.table is not None:
            name = query.table[0]
            if len(query.table) == 2:
                query = query.model_copy(update={"sheet": query.table[1]})
            reading = self._read(name, query, deadline, "/query/table")
            if query.file_column is None:
                return reading
            return self._joined([Part(name, reading, _fallback(name, query))], query, deadline)
        names = self._matching(query, deadline)
        parts = []
        for name in names:
            parts.append(Part(name, self._read(name, query, deadline, "/query/pattern"), _fallback(name, query)))
            self._opened.close()
        return self._joined(parts, query, deadline)

    def _joined(self, parts: list[Part], query: FilesQuery, deadline: Deadline) -> Reading:
        def read_file(name: str, types: Mapping[str, str] | None) -> Reading:
            self._opened.close()
            changed = query if types is None else query.model_copy(update={"types": dict(types)})
            return self._read(name, changed, deadline, "/query/pattern" if query.table is None else "/query/table")

        return union(parts, read_file, query.file_column)

    def _matching(self, query: FilesQuery, deadline: Deadline) -> list[str]:
        pattern = str(query.pattern)
        found = matching(self.names(deadline), pattern)
        readable = (name for name in found if query.format is not None or format_of(name) is not None)
        names = list(islice(readable, MAX_JOINED + 1))
        if not names:
            raise QueryError(f"No file of a known format matches {pattern!r}.", field="/query/pattern")
        if len(names) > MAX_JOINED:
            raise TooLargeError(
                f"More than {MAX_JOINED} files match.", field="/query/pattern", hint="Use a narrower pattern."
            )
        return names

    def _read(self, name: str, query: FilesQuery, deadline: Deadline, field: str) -> Reading:
        """Start reading one file. Whatever goes wrong with it, now or later, is told with its name."""
        split_name(name, field=field)
        with _about(name, field):
            resolve(name, query)  # an option that means nothing is told before the file is touched
        file = self._opened.enter_context(self.open_file(name, deadline, field=field))
        with _about(name, field):
            reading = read(file, name, query, deadline)

        def rows(skip: int, take: int) -> Iterator[list[Row]]:
            with _about(name, field):
                yield from reading.rows(skip, take)

        return Reading(reading.columns, rows, reading.total, reading.untyped)

    def _batches(self, reading: Reading, offset: int, take: int, query: FilesQuery) -> Iterator[list[Row]]:
        try:
            yield from reading.rows(offset, take)
        finally:
            self._opened.close()

    def _count(self, query: FilesQuery, deadline: Deadline) -> int:
        """All rows: told by the file where it says, else read through once as text."""
        total = self._reading(query, deadline).total
        if total is None:
            plain = query if isinstance(query.types, Mapping) else query.model_copy(update={"types": "text"})
            total = sum(len(batch) for batch in self._reading(plain, deadline).rows(0, EVERYTHING))
        self._opened.close()
        return total

    def _sheets(self, name: str, deadline: Deadline) -> list[str]:
        """The sheets of a workbook; none when it cannot be opened, which reading it will explain."""
        from connections.adapters.files.readers.excel import sheet_names

        try:
            with self.open_file(name, deadline, field="/query/table") as file:
                return sheet_names(file)
        except AdapterError:
            return []

    def _require_no_parameters(self, parameters: dict[str, Any]) -> None:
        if parameters:
            raise InvalidError("Files take no parameters.", field="/parameters")


def _fallback(name: str, query: FilesQuery) -> ColumnType | None:
    return _FALLBACKS[resolve(name, query).format]


@contextmanager
def _about(name: str, field: str) -> Iterator[None]:
    try:
        yield
    except AdapterError as error:
        if error.code not in ("deadline", "driver_missing") and not error.message.startswith(f"{name}: "):
            error.message = f"{name}: {error.message}"
        error.field = error.field or (field if error.code in ("query", "too_large") else None)
        raise
