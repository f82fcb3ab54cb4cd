"""Arrow and Parquet, built batch by batch.

A column's type is settled before its first row, by what the source says of it:

    boolean, float, binary            bool, double, binary
    integer                           int64; decimal where the source gives a precision over 18 digits
    decimal                           decimal128 or decimal256 where precision and scale are known, else string
    date, timestamp, timestamptz      date32 and microseconds where ``bounded``, else string
    all others                        string, in the text that JSON has

Each field says the wire type and the source's own in its metadata. A value that its column's type cannot hold (an
integer over 64 bits, NaN among decimals) raises ``TooLargeError``: nothing is rounded and nothing becomes null.
Arrow keeps repeated names. Parquet cannot: a repeated ``c`` becomes ``c_2``.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Final

import pyarrow as pa
import pyarrow.parquet as pq

from connections.adapters.contract import Column, ColumnType, Row
from connections.adapters.errors import TooLargeError
from connections.runner.encoding.encoder import Encoder, Prepared, distinct_names, mended, text_of

# One thread: a worker does one job, and every thread's stack counts against its memory.
pa.set_cpu_count(1)
pa.set_io_thread_count(1)

_END_OF_STREAM: Final = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_GROUP_ROWS: Final = 65_536
_GROUP_BYTES: Final = 16 * 1024 * 1024
_INT64_DIGITS: Final = 18
_DECIMAL_DIGITS: Final = 76
_MOMENTS: Final = {
    ColumnType.DATE: pa.date32(),
    ColumnType.TIMESTAMP: pa.timestamp("us"),
    ColumnType.TIMESTAMPTZ: pa.timestamp("us", "UTC"),
}


class _Columnar(Encoder):
    """Rows as record batches of one schema."""

    def __init__(self, columns: Sequence[Column], arguments: dict[str, Any]) -> None:
        texts = arguments.get("integers") == "string"
        self._columns = columns
        self.schema = pa.schema(
            [
                pa.field(name, _type(column, texts), metadata=_metadata(column))
                for name, column in zip(self.names(columns), columns, strict=True)
            ]
        )

    def names(self, columns: Sequence[Column]) -> list[str]:
        return [mended(column.name) for column in columns]

    def encode(self, rows: Sequence[Row]) -> Prepared:
        batch = self._batch(rows)
        return Prepared(batch.nbytes, batch)

    def _batch(self, rows: Sequence[Row]) -> Any:
        values: Iterable[tuple[Any, ...]] = zip(*rows, strict=True) if rows else [()] * len(self._columns)
        arrays = [
            _array(column, field, found)
            for column, field, found in zip(self._columns, self.schema, values, strict=True)
        ]
        if not arrays:  # rows without columns: only their number is known
            return pa.RecordBatch.from_struct_array(pa.array([{}] * len(rows), pa.struct([])))
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


class Arrow(_Columnar):
    """The Arrow IPC stream: a schema, then each batch as it comes."""

    content_type: ClassVar[str] = "application/vnd.apache.arrow.stream"

    def head(self) -> bytes:
        return _plain(self.schema.serialize())

    def write(self, prepared: Prepared) -> bytes:
        return _plain(prepared.body.serialize())

    def tail(self) -> bytes:
        return _END_OF_STREAM


class Parquet(_Columnar):
    """A Parquet file: batches are gathered into row groups, and the footer comes last."""

    content_type: ClassVar[str] = "application/vnd.apache.parquet"

    def __init__(self, columns: Sequence[Column], arguments: dict[str, Any]) -> None:
        super().__init__(columns, arguments)
        self._sink = _Sink()
        self._writer = pq.ParquetWriter(self._sink, self.schema)
        self._gathered: list[Any] = []
        self._gathered_bytes = 0

    def names(self, columns: Sequence[Column]) -> list[str]:
        return distinct_names(super().names(columns))

    def write(self, prepared: Prepared) -> bytes:
        self._gathered.append(prepared.body)
        self._gathered_bytes += prepared.size
        if self._gathered_bytes >= _GROUP_BYTES or sum(map(len, self._gathered)) >= _GROUP_ROWS:
            self._flush()
        return self._sink.drain()

    def tail(self) -> bytes:
        self._flush()
        self._writer.close()
        return self._sink.drain()

    def _flush(self) -> None:
        if self._gathered:
            self._writer.write_table(pa.Table.from_batches(self._gathered, self.schema))
            self._gathered, self._gathered_bytes = [], 0


class _Sink(io.RawIOBase):
    """Takes what a writer gives, until it is drained. It cannot go back: Parquet files are written forward."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        piece = bytes(content)
        self._pieces.append(piece)
        self._written += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._written

    def drain(self) -> bytes:
        found, self._pieces = b"".join(self._pieces), []
        return found


FORMATS: dict[str, Callable[[Sequence[Column], dict[str, Any]], Encoder]] = {"arrow": Arrow, "parquet": Parquet}


def _type(column: Column, texts: bool) -> Any:
    precision, scale = column.precision, column.scale
    match column.type:
        case ColumnType.BOOLEAN:
            return pa.bool_()
        case ColumnType.FLOAT:
            return pa.float64()
        case ColumnType.BINARY:
            return pa.binary()
        case ColumnType.INTEGER if not texts:
            if precision is None or precision <= _INT64_DIGITS:
                return pa.int64()
            return _decimal(precision, 0)
        case ColumnType.DECIMAL if precision is not None and scale is not None and 0 <= scale <= precision:
            return _decimal(precision, scale)
        case ColumnType.DATE | ColumnType.TIMESTAMP | ColumnType.TIMESTAMPTZ if column.bounded:
            return _MOMENTS[column.type]
    return pa.string()


def _decimal(precision: int, scale: int) -> Any:
    if precision > _DECIMAL_DIGITS:
        return pa.string()
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)


def _metadata(column: Column) -> dict[str, str]:
    found = {"type": str(column.type)}
    if column.native_type is not None:
        found["native_type"] = mended(column.native_type)
    return found


def _array(column: Column, field: Any, values: tuple[Any, ...]) -> Any:
    """``values`` as ``field`` has them. Raises ``TooLargeError`` where one cannot be held exactly."""
    kind = field.type
    try:
        if column.type is ColumnType.FLOAT:
            return pa.array([None if value is None else float(value) for value in values], kind)
        if kind in (pa.bool_(), pa.int64(), pa.binary()):
            return pa.array(values, kind)
        texts = pa.array([None if value is None else text_of(value) for value in values], pa.string())
        return texts if kind == pa.string() else texts.cast(kind)
    except (pa.ArrowInvalid, OverflowError) as exc:
        raise TooLargeError(
            f"Column {field.name} holds a value that does not fit its type here, {kind}.",
            field="/query",
            hint="Ask for JSON, NDJSON or CSV, or have the query give the column as text.",
        ) from exc


def _plain(buffer: Any) -> bytes:
    content: bytes = buffer.to_pybytes()
    return content
