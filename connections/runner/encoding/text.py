"""What JSON, NDJSON and CSV share, and JSON itself: bytes written straight from rows, without a frame in between.

JSON is the rows, each an array, joined by commas: the caller writes the brackets and what is around them. NDJSON is in
``lines``, CSV in ``separated``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Final

from connections.adapters.contract import Column, ColumnType, Row
from connections.runner.encoding.encoder import Encoder, Prepared, to_json

NESTING: Final = (ColumnType.JSON, ColumnType.ARRAY, ColumnType.STRUCT)
"""The types whose values hold others."""


class TextEncoder(Encoder):
    """A format whose encoded rows are bytes that need only be put one after the other."""

    def __init__(self, columns: Sequence[Column], arguments: dict[str, Any]) -> None:
        self._columns = columns
        self._nesting = [at for at, column in enumerate(columns) if column.type in NESTING]
        self._texts = arguments.get("integers") == "string"

    def encode(self, rows: Sequence[Row]) -> Prepared:
        body = self.body([[_integers_as_text(value) for value in row] for row in rows] if self._texts else rows)
        return Prepared(len(body), body)

    def write(self, prepared: Prepared) -> bytes:
        body: bytes = prepared.body
        return body

    @abstractmethod
    def body(self, rows: Sequence[Row]) -> bytes:
        """``rows`` in this format, as if they were the first."""


class JSONRows(TextEncoder):
    content_type = "application/json"
    _started = False

    def body(self, rows: Sequence[Row]) -> bytes:
        return to_json(rows)[1:-1]

    def write(self, prepared: Prepared) -> bytes:
        body: bytes = prepared.body
        if not self._started:
            self._started = bool(body)
            return body
        return b"," + body if body else b""


def _integers_as_text(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(int(value))
    if isinstance(value, list | tuple):
        return [_integers_as_text(item) for item in value]
    if isinstance(value, dict):
        return {key: _integers_as_text(item) for key, item in value.items()}
    return value
