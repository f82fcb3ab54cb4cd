"""Bytes to text to lines, a bounded piece at a time.

Whatever a file holds, at most one chunk, one record and what the decoder keeps of them is in memory. A fault is
raised where it stands: the text before it is delivered first.
"""

from __future__ import annotations

import codecs
import io
import zlib
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

from connections.adapters.errors import QueryError, TooLargeError
from connections.adapters.limits import Deadline

CHUNK = 64 * 1024
MAX_RECORD = 2 * 1024 * 1024
"""Characters of one line, or of one record of several lines."""

_BINARY = {
    b"\x1f\x8b": "gzip (a name ending in .gz is unpacked, once)",
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"PAR1": "Parquet",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
}


def chunks(file: BinaryIO, deadline: Deadline) -> Iterator[bytes]:
    """The bytes of ``file`` in chunks. Raises ``DeadlineError`` between two of them."""
    while chunk := file.read(CHUNK):
        deadline.require()
        yield chunk


def gunzip(compressed: Iterator[bytes], deadline: Deadline) -> Iterator[bytes]:
    """What ``compressed`` unpacks to, in chunks of at most 64 KiB however well it was packed.

    Several members, as ``cat a.gz b.gz`` makes them, are read one after the other.
    """
    inflater = zlib.decompressobj(wbits=31)
    at_start = True
    try:
        for position, chunk in enumerate(compressed):
            waiting = chunk.lstrip(b"\0") if at_start and position else chunk
            while waiting or not at_start:
                deadline.require()
                piece = inflater.decompress(waiting, CHUNK)
                at_start = False
                if piece:
                    yield piece
                if inflater.eof:
                    waiting = inflater.unused_data.lstrip(b"\0")  # tape drives pad with zeros
                    inflater = zlib.decompressobj(wbits=31)
                    at_start = True
                    continue
                waiting = inflater.unconsumed_tail
                if not waiting and len(piece) < CHUNK:
                    break
    except zlib.error:
        raise QueryError("The file is not sound gzip.") from None
    if not at_start:
        raise QueryError("The gzip file ends in the middle.")


def decoded(pieces: Iterator[bytes], encoding: str | None) -> Iterator[str]:
    """The text of ``pieces``. Without ``encoding``, the byte order mark decides; without one it is UTF-8."""
    first = next(pieces, b"")
    encoding = _encoding(first, encoding)
    decoder = codecs.getincrementaldecoder(encoding)()
    position = 0
    for piece in chain([first], pieces):
        yield from _sound(decoder, piece, encoding, position, final=False)
        position += len(piece)
    yield from _sound(decoder, b"", encoding, position, final=True)


def lines(texts: Iterator[str]) -> Iterator[str]:
    """Lines with their ends (``\\n``, ``\\r\\n`` or ``\\r``). Raises ``TooLargeError`` for one over 2 MiB."""
    pending = ""
    number = 0
    for text in texts:
        pending += text
        found = list(io.StringIO(pending, newline=""))
        # A carriage return at the very end may be half of the line's end.
        pending = found.pop() if found and not found[-1].endswith("\n") else ""
        number += len(found)
        yield from found
        if len(pending) > MAX_RECORD:
            raise TooLargeError(
                f"Line {number + 1} is longer than {MAX_RECORD} characters.",
                hint="Check the file's format, its quotes and its encoding.",
            )
    if pending:
        yield pending


def _encoding(start: bytes, chosen: str | None) -> str:
    for magic, meaning in _BINARY.items():
        if start.startswith(magic):
            raise QueryError(
                f"This is no text: it looks like {meaning}.", hint="Check the name's ending or set the format."
            )
    if chosen is None and start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "utf-8-sig" if chosen in (None, "utf-8") else str(chosen)


def _sound(
    decoder: codecs.IncrementalDecoder, piece: bytes, encoding: str, position: int, *, final: bool
) -> Iterator[str]:
    """The text of ``piece`` up to the first fault; then the fault."""
    fault: QueryError | None = None
    try:
        text = decoder.decode(piece, final)
    except UnicodeDecodeError as exc:
        text = bytes(exc.object)[: exc.start].decode(encoding, "ignore")
        near = position - (len(exc.object) - len(piece)) + exc.start
        word = encoding.removesuffix("-sig").upper()
        fault = QueryError(f"Byte {max(near, 0)} is not {word}.", hint="Set the encoding, for example windows-1252.")
    except UnicodeError:  # UTF-16 without its mark
        text, fault = "", QueryError("The text has no byte order mark.", hint="Set the encoding to utf-16-le or -be.")
    if "\0" in text:
        text = text[: text.index("\0")]
        fault = QueryError(
            f"There is a NUL character near byte {position}.", hint="Is it UTF-16, or no text at all? Set the encoding."
        )
    if text:
        yield text
    if fault is not None:
        raise fault
