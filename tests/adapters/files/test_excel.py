"""Excel workbooks: values as Excel shows their kind, and archives that are made to burst."""

from __future__ import annotations

import datetime
import io
import struct
import zipfile

import openpyxl
import pytest
from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900

from connections.adapters.errors import AdapterError, QueryError, TooLargeError
from connections.adapters.files.readers import workbook
from connections.adapters.files.readers.cells import kind_of_format
from connections.adapters.limits import Deadline


def book(*sheets):
    made = openpyxl.Workbook()
    made.remove(made.active)
    for name, rows in sheets:
        sheet = made.create_sheet(name)
        for row in rows:
            sheet.append(row)
    content = io.BytesIO()
    made.save(content)
    return content.getvalue()


def rewritten(content, changes, *, compression=zipfile.ZIP_DEFLATED):
    """A workbook with some of its parts replaced or added."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(target, "w", compression) as made:
        for entry in source.infolist():
            if entry.filename not in changes:
                made.writestr(entry.filename, source.read(entry))
        for name, part in changes.items():
            made.writestr(name, part)
    return target.getvalue()


def refusal(folder, name):
    """The error that reading a file ends in; None when it is read."""
    try:
        folder.read(name)
    except AdapterError as error:
        return error
    return None


SHEET = "xl/worksheets/sheet1.xml"
OPEN = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
CLOSE = b"</sheetData></worksheet>"


def test_values_have_the_kind_that_their_format_shows(folder):
    moment = datetime.datetime.fromisoformat("2024-01-02T03:04:05")
    rows = [
        ["n", "x", "s", "d", "t", "b", "clock", "mixed", None],
        [1, 1.5, "x", datetime.date(2024, 1, 2), moment, True, datetime.time(1, 2), 1, None],
        [2, 2, None, datetime.date(2024, 1, 3), None, False, None, "two", None],
    ]
    folder.write("v.xlsx", book(("One", rows)))
    answer = folder.read("v.xlsx")
    assert answer.types == ["integer", "float", "string", "date", "timestamp", "boolean", "time", "string"]
    assert answer.rows == [
        (1, 1.5, "x", "2024-01-02", "2024-01-02T03:04:05", True, "01:02:00", "1"),
        (2, 2.0, None, "2024-01-03", None, False, None, "two"),
    ]


def test_each_sheet_is_a_table(folder):
    folder.write("s.xlsx", book(("One", [["a"], [1]]), ("Größe & <b>", [["b"], [2]])))
    found = [(table.path, table.kind) for table in folder.adapter.tables("", Deadline.after(5))]
    assert found == [(("s.xlsx", "One"), "sheet"), (("s.xlsx", "Größe & <b>"), "sheet")]
    assert folder.read(table=["s.xlsx", "Größe & <b>"]).rows == [(2,)]
    assert folder.read("s.xlsx", sheet="Größe & <b>").rows == [(2,)]
    with pytest.raises(QueryError, match="no sheet 'Three'"):
        folder.read(table=["s.xlsx", "Three"])


def test_errors_are_null_and_empty_rows_are_left_out(folder):
    folder.write("e.xlsx", book(("One", [["a", "b"], [1, "#N/A"], [], [2, None], [None, "#DIV/0!"]])))
    assert folder.read("e.xlsx").rows == [(1, None), (2, None)]


def test_without_a_header_columns_are_numbered(folder):
    folder.write("h.xlsx", book(("One", [[1, "x"], [2, "y"]])))
    answer = folder.read("h.xlsx", header=False, count=True)
    assert (answer.names, answer.rows, answer.total) == (["column_1", "column_2"], [(1, "x"), (2, "y")], 2)


def test_pages_meet(folder):
    folder.write("p.xlsx", book(("One", [["n"], *[[n] for n in range(1200)]])))
    assert folder.read("p.xlsx", offset=1000, limit=99).rows == [(n,) for n in range(1000, 1100)]
    assert folder.read("p.xlsx", count=True, limit=0).total == 1200


def test_a_row_longer_than_the_header_is_an_error(folder):
    folder.write("l.xlsx", book(("One", [["a"], [1, 2]])))
    with pytest.raises(QueryError, match="A row has 2 cells"):
        folder.read("l.xlsx")


@pytest.mark.parametrize(
    "prolog",
    [
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        b'<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd">',
        b'<?xml version="1.0" encoding="utf-16"?>',
        b'<?xml version="1.0" encoding="cp037"?>',
        b"<!-- " + b"x" * 5000 + b" --><!DOCTYPE x []>",
    ],
)
def test_xml_with_a_document_type_is_refused_before_it_is_parsed(folder, prolog):
    cell = b'<row r="1"><c r="A1" t="inlineStr"><is><t>&a;&b;</t></is></c></row>'
    folder.write("x.xlsx", rewritten(book(("One", [["a"]])), {SHEET: prolog + OPEN + cell + CLOSE}))
    with pytest.raises(QueryError, match=r"document type|not a sound"):
        folder.read("x.xlsx")


def test_archives_that_burst_are_refused(folder, monkeypatch):
    monkeypatch.setattr(workbook, "MAX_TOTAL", 64 * 1024 * 1024)  # smaller bounds, so that the bombs are quick to make
    monkeypatch.setattr(workbook, "MAX_STRINGS", 4 * 1024 * 1024)
    plain = book(("One", [["a"], [1]]))
    strings = "xl/sharedStrings.xml"
    bombs = {
        "ratio": rewritten(plain, {SHEET: OPEN + b" " * 40_000_000 + CLOSE}),
        "total": rewritten(plain, {f"xl/media/{n}.bin": b"\0" * 4_000_000 for n in range(20)}),
        "part": rewritten(plain, {strings: OPEN + bytes(str(list(range(900_000))), "ascii")}),
        "entries": rewritten(plain, {f"xl/{n}.bin": b"" for n in range(5000)}),
    }
    for name, content in bombs.items():
        folder.write("bomb.xlsx", content)
        assert isinstance(refusal(folder, "bomb.xlsx"), TooLargeError), name


def test_archives_that_are_not_sound_are_refused(folder):
    plain = book(("One", [["a"], [1]]))
    directory = plain.rfind(b"PK\x01\x02")
    encrypted = bytearray(plain)
    encrypted[plain.find(b"PK\x01\x02") + 8] |= 1
    overlapping = bytearray(plain)
    struct.pack_into("<I", overlapping, directory + 42, 0)
    lying = bytearray(plain)
    struct.pack_into("<I", lying, plain.rfind(SHEET.encode()) - 46 + 24, 10)
    broken = {
        "empty": b"",
        "text": b"a,b\n1,2\n" * 10,
        "old": b"\xd0\xcf\x11\xe0" + b"\0" * 1000,
        "cut": plain[:-30],
        "comment": plain[:-2] + struct.pack("<H", 3) + b"abc",
        "encrypted": bytes(encrypted),
        "overlapping": bytes(overlapping),
        "no workbook": rewritten(plain, {"xl/workbook.xml": b"<a/>"}),
        "bad xml": rewritten(plain, {SHEET: OPEN + b"<row><c></row>"}),
        "bad number": rewritten(plain, {SHEET: OPEN + b'<row r="1"><c r="A1"><v>x</v></c></row>' + CLOSE}),
        "bad reference": rewritten(plain, {SHEET: OPEN + b'<row r="x"><c r="1A"><v>1</v></c></row>' + CLOSE}),
        "bad text": rewritten(plain, {SHEET: OPEN + b'<row r="1"><c r="A1" t="s"><v>99</v></c></row>' + CLOSE}),
        "no strings": rewritten(plain, {"xl/sharedStrings.xml": b""}),
        "lying": bytes(lying),
    }
    for name, content in broken.items():
        folder.write("broken.xlsx", content)
        refused = refusal(folder, "broken.xlsx")
        assert isinstance(refused, QueryError), name
        assert refused.message.startswith("broken.xlsx: "), name


def test_a_workbook_that_does_not_open_is_listed_as_a_file(folder):
    folder.write("broken.xlsx", b"x")
    assert [table.path for table in folder.adapter.tables("", Deadline.after(5))] == [("broken.xlsx",)]


def test_cells_far_out_do_not_make_giant_rows(folder):
    far = b'<row r="1"><c r="A1"><v>1</v></c><c r="XFD1"><v>2</v></c></row>'
    folder.write("wide.xlsx", rewritten(book(("One", [["a"]])), {SHEET: OPEN + far + CLOSE}))
    with pytest.raises(TooLargeError, match="columns"):
        folder.read("wide.xlsx", header=False)
    deep = b'<row r="1"><c r="A1"><v>1</v></c></row><row r="99999999999"><c r="A99999999999"><v>2</v></c></row>'
    folder.write("deep.xlsx", rewritten(book(("One", [["a"]])), {SHEET: OPEN + deep + CLOSE}))
    assert folder.read("deep.xlsx", header=False, limit=0).rows == [(1,)]


def test_a_row_or_a_text_without_end_is_too_large(folder):
    plain = book(("One", [["a"]]))
    noise = str(list(range(600_000))).encode()
    endless = {
        "cells": OPEN + b"<row>" + b"<c/>" * 40_000 + b"</row>" + CLOSE,
        "text": OPEN + b'<row><c t="inlineStr"><is><t>' + noise + b"</t></is></c></row>" + CLOSE,
        "attribute": OPEN + b'<row x="' + noise + b'"/>' + CLOSE,
        "row": OPEN + b"<row>" + (b'<c t="str"><v>' + noise[:300_000] + b"</v></c>") * 8 + b"</row>" + CLOSE,
    }
    for name, sheet in endless.items():
        folder.write("long.xlsx", rewritten(plain, {SHEET: sheet}))
        assert isinstance(refusal(folder, "long.xlsx"), TooLargeError), name


def test_texts_of_several_runs_are_joined_without_their_pronunciation(folder):
    strings = (
        '<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        "<si><r><t>a</t></r><r><rPr><b/></rPr><t> b</t></r><rPh><t>ignored</t></rPh></si>"
        "<si><t>line_x000D_end _x005F_x000D_</t></si></sst>"
    )
    cells = b'<row><c t="s"><v>0</v></c><c t="s"><v>1</v></c><c><f>1+1</f><v>2</v></c></row>'
    changes = {"xl/sharedStrings.xml": strings, SHEET: OPEN + cells + CLOSE}
    folder.write("r.xlsx", rewritten(book(("One", [["a"]])), changes))
    assert folder.read("r.xlsx", header=False).rows == [("a b", "line\rend _x000D_", 2)]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("yyyy-mm-dd", "date"),
        ("[$-409]d. mmmm yyyy;@", "date"),
        ("dd/mm/yyyy hh:mm", "moment"),
        ("h:mm AM/PM", "time"),
        ("[h]:mm:ss", "duration"),
        ("mm:ss.0", "time"),
        ("General", None),
        ('#,##0.00 "days"', None),
        ("[Red]0.00E+00", None),
        (r"0\d", None),
        ("_-* #,##0_-", None),
    ],
)
def test_a_number_format_tells_dates_from_numbers(code, kind):
    assert kind_of_format(code) == kind


@pytest.mark.parametrize("first", [1900, 1904])
def test_dates_agree_with_openpyxl_in_both_calendars(folder, first):
    made = openpyxl.Workbook()
    made.epoch = CALENDAR_MAC_1904 if first == 1904 else CALENDAR_WINDOWS_1900
    moments = ["1904-01-02T00:00:00.500", "1999-12-31T23:59:59.999", "2024-02-29T10:11:12", "9999-12-31T23:59:59"]
    for text in ["m", *moments]:
        made.active.append([text if text == "m" else datetime.datetime.fromisoformat(text)])
    content = io.BytesIO()
    made.save(content)
    folder.write("d.xlsx", content.getvalue())
    shown = [datetime.datetime.fromisoformat(row[0]) for row in folder.read("d.xlsx").rows]
    assert shown == [datetime.datetime.fromisoformat(text) for text in moments]
