"""The zip archive that an Excel workbook is, looked at before it is opened.

Counted and measured from its directory: entries, what they unpack to, how tightly they are packed, whether they lie
over one another. The XML in it may not declare a document type, so there are no entities to expand or fetch.
"""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
import zipfile
import zlib
from typing import BinaryIO

from connections.adapters.errors import QueryError, TooLargeError

MAX_ENTRIES = 4_096
MAX_DIRECTORY = 4 * 1024 * 1024
MAX_TOTAL = 1024 * 1024 * 1024
MAX_PART = 32 * 1024 * 1024
"""Bytes of a part that is read as a whole: shared texts, styles, the list of sheets. Sheets are read row by row."""
MAX_RATIO = 200
FREE = 4 * 1024 * 1024
"""An entry may be packed as tightly as it likes up to this size unpacked."""

_END = b"PK\x05\x06"
_END64 = b"PK\x06\x07"
_END_SIZE, _END64_SIZE = 22, 20
_PROLOG = 4_096
_DECLARED = re.compile(rb"""<\?xml[^>]*encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_ROOT = re.compile(rb"<[A-Za-z_]")
_NAMES = re.compile(r"xl/worksheets/[^/]+\.xml", re.IGNORECASE)
_SHEET = "{*}sheets/{*}sheet"

BROKEN = (zipfile.BadZipFile, zlib.error, ET.ParseError, EOFError, NotImplementedError)


def require_sound(file: BinaryIO) -> None:
    """Refuse an archive that is broken, encrypted or made to burst, and XML with a document type."""
    _require_directory(file)
    try:
        with zipfile.ZipFile(file) as archive:
            _require_entries(archive.infolist(), file.seek(0, os.SEEK_END))
            for entry in archive.infolist():
                if entry.filename.lower().endswith((".xml", ".rels", ".vml")):
                    _require_plain_xml(archive, entry)
    except BROKEN:
        raise QueryError("The workbook is not a sound Excel file.") from None
    file.seek(0)


def sheet_names(file: BinaryIO) -> list[str]:
    """The names of a workbook's sheets, in its order. Raises ``QueryError`` or ``TooLargeError``."""
    require_sound(file)
    try:
        with zipfile.ZipFile(file) as archive, archive.open("xl/workbook.xml") as part:
            names = [sheet.get("name", "") for sheet in ET.parse(part).getroot().iterfind(_SHEET)]  # noqa: S314
    except (*BROKEN, KeyError):
        raise QueryError("The workbook is not a sound Excel file.") from None
    return [name for name in names if name]


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
    if len({entry.filename for entry in entries}) != len(entries):
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
        if entry.file_size > MAX_PART and not _NAMES.fullmatch(entry.filename) and _is_xml(entry):
            raise TooLargeError(f"A part of the workbook other than its sheets is longer than {MAX_PART} bytes.")
    if previous > length:
        raise QueryError("The workbook is cut off.")


def _is_xml(entry: zipfile.ZipInfo) -> bool:
    return entry.filename.lower().endswith((".xml", ".rels"))


def _require_plain_xml(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """A document type stands before the root element, which must come early and in plain UTF-8."""
    with archive.open(entry) as part:
        start = part.read(_PROLOG).removeprefix(b"\xef\xbb\xbf")
    root = _ROOT.search(start)
    declared = _DECLARED.match(start)
    encoding = declared.group(1).lower() if declared else b"utf-8"
    plain = start.startswith(b"<") and b"\0" not in start and encoding in (b"utf-8", b"us-ascii", b"ascii")
    if start and (not plain or root is None or b"<!DOCTYPE" in start[: root.start()]):
        raise QueryError("The workbook's XML has a document type or an encoding that Excel does not write.")
