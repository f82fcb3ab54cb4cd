"""From a file's name to the reader that reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from connections.adapters.contract import Driver
from connections.adapters.errors import DriverMissingError, InvalidError, QueryError
from connections.adapters.files.columns import Reading
from connections.adapters.files.query import Format, ReaderOptions
from connections.adapters.files.streams import chunks, decoded, gunzip
from connections.adapters.limits import Deadline

_ENDINGS: dict[str, tuple[Format, str | None]] = {
    ".csv": ("csv", None),
    ".tsv": ("csv", "\t"),
    ".tab": ("csv", "\t"),
    ".json": ("json", None),
    ".jsonl": ("jsonl", None),
    ".ndjson": ("jsonl", None),
    ".parquet": ("parquet", None),
    ".xlsx": ("excel", None),
    ".xlsm": ("excel", None),
}
_TEXT = ("csv", "json", "jsonl")
_OPTIONS: dict[Format, tuple[str, ...]] = {
    "csv": ("delimiter", "quote", "header", "encoding", "nulls", "types"),
    "json": ("encoding", "records", "types"),
    "jsonl": ("encoding", "types"),
    "parquet": (),
    "excel": ("sheet", "header", "types"),
}
DRIVERS: dict[Format, Driver] = {
    "parquet": Driver("pyarrow", pip="pyarrow>=22"),
}


@dataclass(frozen=True, slots=True)
class FileFormat:
    """What a name tells: the format, whether it is packed with gzip, and the delimiter if it names one."""

    format: Format
    packed: bool = False
    delimiter: str | None = None


def format_of(name: str) -> FileFormat | None:
    """The format that the ending of ``name`` stands for, in any case; None for one that is not read."""
    lower = name.lower()
    packed = lower.endswith(".gz")
    ending = "." + lower.removesuffix(".gz").rpartition("/")[2].rpartition(".")[2]
    if ending not in _ENDINGS:
        return None
    format, delimiter = _ENDINGS[ending]
    return None if packed and format not in _TEXT else FileFormat(format, packed, delimiter)


def read(file: BinaryIO, name: str, options: ReaderOptions, deadline: Deadline) -> Reading:
    """Start reading ``file``. Raises ``QueryError`` for content its format does not allow,
    ``InvalidError`` for options its format does not have, ``DriverMissingError`` without the format's package."""
    found = resolve(name, options)
    if found.format == "parquet":
        from connections.adapters.files.readers import parquet

        return parquet.read(file, deadline)
    if found.format == "excel":
        from connections.adapters.files.readers import excel

        return excel.read(file, options, deadline)
    from connections.adapters.files.readers import delimited, documents

    pieces = chunks(file, deadline)
    texts = decoded(gunzip(pieces, deadline) if found.packed else pieces, options.encoding)
    if found.format == "csv":
        return delimited.read(texts, options, delimiter=found.delimiter)
    if found.format == "jsonl":
        return documents.read_lines(texts, options)
    return documents.read_document(texts, options)


def resolve(name: str, options: ReaderOptions) -> FileFormat:
    """The format to read ``name`` in; the query's word counts before the name's."""
    found = format_of(name)
    if options.format is not None:
        packed = name.lower().endswith(".gz") and options.format in _TEXT
        delimiter = found.delimiter if found is not None and found.format == options.format else None
        found = FileFormat(options.format, packed, delimiter)
    if found is None:
        raise QueryError(
            "The name's ending tells no format that is read.", hint=f"Set format to one of {', '.join(_OPTIONS)}."
        )
    _require_known(found.format, options)
    driver = DRIVERS.get(found.format)
    if driver is not None and not driver.available:
        raise DriverMissingError(f"{driver.module} is not installed. Run: {driver.install}", hint=driver.install)
    return found


def _require_known(format: Format, options: ReaderOptions) -> None:
    for name in ReaderOptions.model_fields:
        if name != "format" and name not in _OPTIONS[format] and getattr(options, name) is not None:
            raise InvalidError(f"The option {name} means nothing for {format} files.", field=f"/query/{name}")
