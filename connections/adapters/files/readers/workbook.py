"""The zip archive that an Excel workbook is: looked at before it is opened, then read part by part.

Counted and measured from its directory: entries, what they unpack to, how tightly they are packed, whether they lie
over one another. Its XML is read as a stream, and may not declare a document type: so there are no entities to
expand or fetch.
"""

from __future__ import annotations

import os
import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, BinaryIO
from xml.parsers import expat

from connections.adapters.errors import QueryError, TooLargeError
from connections.adapters.files.streams import CHUNK, MAX_RECORD

MAX_ENTRIES = 4_096
MAX_DIRECTORY = 4 * 1024 * 1024
MAX_TOTAL = 1024 * 1024 * 1024
MAX_STRINGS = 64 * 1024 * 1024
"""Bytes of the shared texts, which are kept in memory. Sheets are read row by row."""
MAX_RATIO = 200
FREE = 4 * 1024 * 1024
"""An entry may be packed as tightly as it likes up to this size unpacked."""

_END = b"PK\x05\x06"
_END64 = b"PK\x06\x07"
_END_SIZE, _END64_SIZE = 22, 20

Event = tuple[str, str, dict[str, str]]
"""``("start" | "end", name, attributes)`` or ``("text", text, {})``; names without their namespace."""


class Workbook:
    """An opened workbook. ``sheets`` maps the names of its sheets to their parts, in its order."""

    def __init__(self, file: BinaryIO) -> None:
        _require_directory(file)
        with sound():
            self._archive = zipfile.ZipFile(file)
            self._parts = {entry.filename.lower(): entry for entry in self._archive.infolist()}
        _require_entries(self._archive.infolist(), file.seek(0, os.SEEK_END))
        self.dates_from_1904 = False
        self.sheets = self._find_sheets()

    def has(self, part: str) -> bool:
        return part.lower() in self._parts

    def events(self, part: str) -> Iterator[Event]:
        """The XML of a part, as it streams by. Raises ``QueryError`` where it is broken."""
        entry = self._parts.get(part.lower())
        if entry is None:
            raise QueryError("The workbook is not a sound Excel file: a part is missing.")
        with sound(), self._archive.open(entry) as stream:
            yield from _events(stream)

    def _find_sheets(self) -> dict[str, str]:
        targets = {
            attributes.get("Id", ""): posixpath.join("/xl", attributes.get("Target", ""))[1:]
            for event, name, attributes in self.events("xl/_rels/workbook.xml.rels")
            if event == "start" and name == "Relationship" and attributes.get("Type", "").endswith("/worksheet")
        }
        sheets = {}
        for event, name, attributes in self.events("xl/workbook.xml"):
            if event == "start" and name == "sheet" and attributes.get("id") in targets:
                sheets[attributes.get("name", "")] = targets[attributes["id"]]
            elif event == "start" and name == "workbookPr":
                self.dates_from_1904 = attributes.get("date1904") in ("1", "true")
        return sheets


def _events(stream: IO[bytes]) -> Iterator[Event]:
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    waiting: list[Event] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        waiting.append(("start", _local(name), {_local(key): value for key, value in attributes.items()}))

    def refuse(*_declared: object) -> None:
        raise QueryError("The workbook's XML has a document type, which Excel does not write.")

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda name: waiting.append(("end", _local(name), {}))
    parser.CharacterDataHandler = lambda text: waiting.append(("text", text, {}))
    parser.StartDoctypeDeclHandler = refuse
    fed = 0
    while chunk := stream.read(CHUNK):
        parser.Parse(chunk, False)
        fed += len(chunk)
        if fed - parser.CurrentByteIndex > MAX_RECORD:  # one tag or comment, which the parser keeps whole
            raise TooLargeError("The workbook's XML has a tag without end.")
        yield from waiting
        waiting.clear()
    parser.Parse(b"", True)
    yield from waiting


def _local(name: str) -> str:
    return name.rpartition("}")[2]


@contextmanager
def sound() -> Iterator[None]:
    """Inside, what zip and XML parsers raise becomes our own words."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, expat.ExpatError, EOFError, NotImplementedError, RuntimeError, ValueError):
        raise QueryError("The workbook is not a sound Excel file.") from None


def _require_directory(file: BinaryIO) -> None:
    """The directory's size, told at the very end, bounds what reading it takes. Comments and zip64 are refused."""
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - _END_SIZE - _END64_SIZE))
    tail = file.read()
    end, before = tail[-_END_SIZE:], tail[:-_END_SIZE]
    if len(end) < _END_SIZE or not end.startswith(_END) or end.rfind(_END) != 0 or before.startswith(_END64):
        raise QueryError("The file is not an Excel workbook (xlsx), or is encrypted or cut off.")
    entries = int.from_bytes(end[10:12], "little")
    size = int.from_bytes(end[12:16], "little")
    if entries > MAX_ENTRIES or size > MAX_DIRECTORY:
        raise TooLargeError(f"The workbook holds more than {MAX_ENTRIES} parts.")


def _require_entries(entries: list[zipfile.ZipInfo], length: int) -> None:
    if len(entries) > MAX_ENTRIES or sum(entry.file_size for entry in entries) > MAX_TOTAL:
        raise TooLargeError(f"The workbook unpacks to more than {MAX_TOTAL} bytes or {MAX_ENTRIES} parts.")
    if len({entry.filename.lower() for entry in entries}) != len(entries):
        raise QueryError("The workbook names a part twice.")
    previous = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.flag_bits & 0x1:
            raise QueryError("The workbook is encrypted.")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise QueryError("The workbook is packed in a way that is not read.")
        if entry.header_offset < previous:
            raise QueryError("Parts of the workbook lie over one another.")
        previous = entry.header_offset + 30 + entry.compress_size
        if entry.file_size > FREE and entry.file_size > MAX_RATIO * max(entry.compress_size, 1):
            raise TooLargeError("A part of the workbook unpacks to far more than it is packed from.")
        if entry.file_size > MAX_STRINGS and entry.filename.lower() == "xl/sharedstrings.xml":
            raise TooLargeError(f"The workbook's shared texts are longer than {MAX_STRINGS} bytes.")
    if previous > length:
        raise QueryError("The workbook is cut off.")
