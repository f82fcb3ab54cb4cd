"""The cells of an Excel sheet: shared texts, number formats, rows as they stream by."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any

from connections.adapters.errors import QueryError, TooLargeError
from connections.adapters.files.readers.workbook import Event, Workbook, sound
from connections.adapters.files.streams import MAX_RECORD

MAX_WIDTH = 16_384  # columns of a sheet, says Excel
_STRINGS, _STYLES = "xl/sharedStrings.xml", "xl/styles.xml"

# ECMA-376 part 1, 18.8.30: formats that have a number only. 27 to 36 and 50 to 58 are dates in East Asian locales.
_DATES = {14, 15, 16, 17, *range(27, 37), *range(50, 59)}
_TIMES = {18, 19, 20, 21, 45, 47}
_BUILT_IN = dict.fromkeys(_DATES, "date") | dict.fromkeys(_TIMES, "time") | {22: "moment", 46: "duration"}
_ELAPSED = re.compile(r"\[(?:h+|m+|s+)\]", re.IGNORECASE)
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^\]]*\]|AM/PM|A/P', re.IGNORECASE)
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_WHOLE = re.compile(r"-?[0-9]{1,38}")
_LAST_DAY = 2_958_465  # 9999-12-31
_MILLISECONDS = 86_400_000


def shared_strings(book: Workbook) -> list[str]:
    """The texts that cells refer to by number."""
    found: list[str] = []
    if book.has(_STRINGS):
        for event, text in _texts(book.events(_STRINGS), "si"):
            if event == "end":
                found.append(text)
    return found


def styles(book: Workbook) -> list[str | None]:
    """For each cell style what its numbers are: ``date``, ``time``, ``moment``, ``duration``, or None for numbers."""
    formats: dict[int, str | None] = dict(_BUILT_IN)
    found: list[str | None] = []
    inside = False
    if not book.has(_STYLES):
        return found
    with sound():
        for event, name, attributes in book.events(_STYLES):
            if name == "cellXfs":
                inside = event == "start"
            elif event == "start" and name == "numFmt":
                formats[int(attributes.get("numFmtId", 0))] = kind_of_format(attributes.get("formatCode", ""))
            elif event == "start" and name == "xf" and inside:
                found.append(formats.get(int(attributes.get("numFmtId", 0))))
    return found


def kind_of_format(code: str) -> str | None:
    """What a number format shows of a number; of its sections the first one tells."""
    section = code.split(";")[0]
    if _ELAPSED.search(section):
        return "duration"
    letters = set(_LITERAL.sub("", section).lower())
    clock = bool(letters & set("hs"))
    if letters & set("yd") or ("m" in letters and not clock):
        return "moment" if clock else "date"
    return "time" if clock else None


def rows(book: Workbook, part: str) -> Iterator[tuple[int, list[Any]]]:
    """Rows of values up to their last filled cell, with their sizes; empty rows are left out."""
    values = _Values(shared_strings(book), styles(book), book.dates_from_1904)
    row: list[Any] = []
    size = 0
    cell: dict[str, str] = {}
    at = -1
    for event, name, attributes in _cells(book.events(part)):
        if event == "start" and name == "row":
            row, size, at = [], 0, -1
        elif event == "start":
            cell = attributes
            at = _column(cell["r"]) if "r" in cell else at + 1
            if at >= MAX_WIDTH:
                raise TooLargeError(f"A row has more than {MAX_WIDTH} columns.")
        elif event == "end":
            if row:
                yield size, row
            row = []
        else:
            size += len(name) + 8
            if size > MAX_RECORD:
                raise TooLargeError(f"A row is longer than {MAX_RECORD} characters.")
            value = values.of(name, cell.get("t", "n"), cell.get("s"))
            if value is not None:
                row.extend([None] * (at + 1 - len(row)))
                row[at] = value


class _Values:
    """Turns a cell's text into its value."""

    def __init__(self, strings: list[str], kinds: list[str | None], dates_from_1904: bool) -> None:
        self._strings = strings
        self._kinds = kinds
        self._epoch = datetime(1904, 1, 1) if dates_from_1904 else datetime(1899, 12, 30)  # noqa: DTZ001  Excel has no zones
        self._leap_bug = not dates_from_1904

    def of(self, text: str, kind: str, style: str | None) -> Any:
        with sound():
            try:
                return self._value(text, kind, style)
            except IndexError:
                raise QueryError("The workbook is not a sound Excel file: a cell's text or style is missing.") from None

    def _value(self, text: str, kind: str, style: str | None) -> Any:
        if kind == "e" or text == "":
            return None
        if kind == "s":
            return self._strings[_index(text)] or None
        if kind in ("str", "inlineStr"):
            return unescape(text)
        if kind == "b":
            return text in ("1", "true")
        if kind == "d":
            return datetime.fromisoformat(text).replace(tzinfo=None)
        number = int(text) if _WHOLE.fullmatch(text) else float(text)
        shown = self._kinds[_index(style)] if style is not None and self._kinds else None
        return number if shown is None else self._moment(number, shown)

    def _moment(self, number: float, shown: str) -> date | time | timedelta | float:
        """A number as what its format shows; one outside the calendar stays a number."""
        if abs(number) >= _LAST_DAY + 1 or (number < 0 and shown != "duration"):
            return number
        days, milliseconds = divmod(round(number * _MILLISECONDS), _MILLISECONDS)
        clock = timedelta(milliseconds=milliseconds)
        if shown == "duration":
            return timedelta(days) + clock
        if shown == "time" and days == 0:
            return (self._epoch + clock).time()
        if self._leap_bug and days < 60:  # Excel believes in 1900-02-29, day 60
            days += 1
        try:
            moment = self._epoch + timedelta(days) + clock
        except OverflowError:
            return number
        return moment.date() if shown == "date" and not clock else moment


def unescape(text: str) -> str:
    """``_x000D_`` and its like are how Excel writes what XML cannot hold."""
    return _ESCAPED.sub(_character, text) if "_x" in text else text


def _character(match: re.Match[str]) -> str:
    code = int(match.group(1), 16)
    return match.group() if 0xD800 <= code <= 0xDFFF else chr(code)


def _texts(events: Iterator[Event], element: str) -> Iterator[tuple[str, str]]:
    """``("end", text)`` for every ``element``: the text of its runs, without how to pronounce them."""
    pieces: list[str] = []
    size = 0
    spoken = inside = False
    for event, name, _ in events:
        if event == "text":
            if inside and not spoken:
                pieces.append(name)
                size += len(name)
                if size > MAX_RECORD:
                    raise TooLargeError(f"A text is longer than {MAX_RECORD} characters.")
        elif name == "t":
            inside = event == "start"
        elif name == "rPh":
            spoken = event == "start"
        elif name == element and event == "end":
            yield "end", unescape("".join(pieces))
            pieces, size = [], 0


def _cells(events: Iterator[Event]) -> Iterator[Event]:
    """The start of each row and cell, the text of each cell's value, and the end of each row."""
    pieces: list[str] = []
    size = 0
    inside = spoken = cell = False
    for event, name, attributes in events:
        if event == "text":
            if inside and cell and not spoken:
                pieces.append(name)
                size += len(name)
                if size > MAX_RECORD:
                    raise TooLargeError(f"A cell is longer than {MAX_RECORD} characters.")
        elif name == "v" or name == "t":
            inside = event == "start"
        elif name == "rPh":
            spoken = event == "start"
        elif name == "c":
            cell = event == "start"
            if cell:
                yield event, name, attributes
            else:
                yield "text", "".join(pieces), {}
            pieces, size = [], 0
        elif name == "row":
            yield event, name, attributes


def _column(reference: str) -> int:
    """The column of a reference such as ``AB12``, from 0. Far-out ones end at Excel's limit."""
    at = 0
    for letter in reference[:8]:
        if not "A" <= letter <= "Z":
            break
        at = at * 26 + ord(letter) - ord("A") + 1
    if at == 0:
        raise QueryError("The workbook is not a sound Excel file: a cell has no place.")
    return at - 1


def _index(text: str) -> int:
    found = int(text)
    if found < 0:
        raise IndexError
    return found
