"""CSV: what is read, what is refused, and nothing in between."""

from __future__ import annotations

import gzip

import pytest

from connections.adapters.errors import InvalidError, QueryError, TooLargeError
from connections.adapters.files.query import FilesQuery
from connections.adapters.limits import Deadline


def test_quotes_newlines_and_doubled_quotes_are_kept(folder):
    folder.write("q.csv", 'a,b\r\n"x, ""y""","line\r\nbreak"\r\n')
    assert folder.read("q.csv").rows == [('x, "y"', "line\r\nbreak")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_all_three_line_ends_are_read(folder, end):
    folder.write("e.csv", end.join(["a,b", "1,2", "", "3,4"]))
    assert folder.read("e.csv").rows == [(1, 2), (3, 4)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_the_one_the_first_line_has_most(folder, delimiter):
    folder.write("d.csv", delimiter.join(["a", '"b,,,,;;;;||||"', "c"]) + "\n" + delimiter.join("123") + "\n")
    assert folder.read("d.csv").rows == [(1, 2, 3)]


def test_options_say_otherwise(folder):
    folder.write("o.txt", "1:'a:b':NA\n2:c:\n")
    answer = folder.read("o.txt", format="csv", delimiter=":", quote="'", header=False, nulls=["NA"])
    assert answer.names == ["column_1", "column_2", "column_3"]
    assert answer.rows == [(1, "a:b", None), (2, "c", None)]
    folder.write("raw.csv", 'a,b\n"x,y"\n')
    assert folder.read("raw.csv", quote="").rows == [('"x', 'y"')]


def test_empty_is_null_and_na_is_text_unless_told(folder):
    folder.write("n.csv", 'country,n\nNA,\n"",1\n')
    assert folder.read("n.csv").rows == [("NA", None), (None, 1)]
    assert folder.read("n.csv", nulls=["NA"]).rows == [(None, None), (None, 1)]


def test_short_rows_end_in_nulls_and_long_ones_are_errors(folder):
    folder.write("s.csv", "a,b\n1\n2,3,,\n")
    assert folder.read("s.csv").rows == [(1, None), (2, 3)]
    folder.write("l.csv", "a,b\n1,2\n1,2,3\n")
    with pytest.raises(QueryError, match="Line 3 has 3 cells") as caught:
        folder.read("l.csv")
    assert caught.value.field == "/query/table"


def test_two_columns_of_one_name_stay_two_and_nameless_ones_are_numbered(folder):
    folder.write("c.csv", "a,a,\n1,2,3\n")
    answer = folder.read("c.csv")
    assert answer.names == ["a", "a", "column_3"]
    assert answer.rows == [(1, 2, 3)]


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("é,ü\n1,ß\n".encode("utf-8-sig"), {}),
        ("é,ü\n1,ß\n".encode("utf-16"), {}),
        ("é,ü\n1,ß\n".encode("utf-16-le"), {"encoding": "utf-16-le"}),
        ("é,ü\n1,ß\n".encode("windows-1252"), {"encoding": "windows-1252"}),
        ("é,ü\n1,ß\n".encode("utf-8-sig"), {"encoding": "utf-8"}),
    ],
)
def test_encodings_are_told_by_the_mark_or_the_query(folder, content, options):
    folder.write("e.csv", content)
    answer = folder.read("e.csv", **options)
    assert answer.names == ["é", "ü"]
    assert answer.rows == [(1, "ß")]


def test_a_character_cut_by_a_chunk_is_whole(folder):
    folder.write("u.csv", "a\n" + "x" * (64 * 1024 - 3) + "€é\n")
    assert folder.read("u.csv").rows == [("x" * (64 * 1024 - 3) + "€é",)]


def test_bad_utf8_is_an_error_only_where_it_stands(folder):
    folder.write("b.csv", b"a,b\n" + b"1,2\n" * 50 + b"3,\xff\n" + b"1,2\n" * 50)
    assert len(folder.read("b.csv", limit=40).rows) == 41
    with pytest.raises(QueryError, match="Byte 206 is not UTF-8") as caught:
        folder.read("b.csv")
    assert "windows-1252" in str(caught.value.hint)
    assert folder.read("b.csv", encoding="windows-1252", offset=50, limit=0).rows == [(3, "ÿ")]


def test_nul_characters_are_an_error(folder):
    folder.write("n.csv", b"a,b\n1,\x002\n")
    with pytest.raises(QueryError, match="NUL"):
        folder.read("n.csv")


@pytest.mark.parametrize("magic", [b"\x1f\x8b\x08\x00", b"PK\x03\x04", b"PAR1", b"\xd0\xcf\x11\xe0"])
def test_binary_files_are_called_by_their_name(folder, magic):
    folder.write("b.csv", magic + b"\x00" * 100)
    with pytest.raises(QueryError, match="no text"):
        folder.read("b.csv")


def test_an_open_quote_is_an_error_not_a_giant_cell(folder):
    folder.write("q.csv", 'a,b\n1,"open\n' + "2,3\n" * 10)
    with pytest.raises(QueryError, match="line 2"):
        folder.read("q.csv")


@pytest.mark.parametrize(
    "content",
    [
        b"a,b\n1," + b"x" * 50_000_000 + b"\n",
        b'a,b\n1,"' + b"x\n" * 2_000_000 + b'"\n',
        b"a,b\n" + b'"x\nx",' * 500_000 + b"\n",
        b"x" * 5_000_000,
    ],
    ids=["one field of 50 MB", "one quoted field of many lines", "one record of many lines", "no newline"],
)
def test_a_record_without_end_is_too_large(folder, content):
    folder.write("l.csv", content)
    with pytest.raises(TooLargeError, match="longer than"):
        folder.read("l.csv")


def test_a_million_columns_are_too_many(folder):
    folder.write("w.csv", ",".join("1" * 1_000_000) + "\n")
    with pytest.raises(TooLargeError, match="1000000 columns"):
        folder.read("w.csv")


def test_an_empty_file_has_no_columns_and_no_rows(folder):
    folder.write("e.csv", "")
    assert folder.read("e.csv").columns == ()
    folder.write("h.csv", "a,b\n")
    assert (folder.read("h.csv").names, folder.read("h.csv").rows) == (["a", "b"], [])


def test_pages_meet_and_the_total_counts_every_row(folder):
    folder.write("p.csv", "n\n" + "".join(f"{n}\n" for n in range(3000)))
    pages = [folder.read("p.csv", offset=offset, limit=999).rows for offset in (0, 1000, 2000)]
    assert [row for page in pages for row in page] == [(n,) for n in range(3000)]
    assert folder.read("p.csv", limit=0, count=True).total == 3000
    assert folder.read("p.csv", offset=5000).rows == []


def test_batches_are_bounded_in_bytes_too(folder):
    folder.write("w.csv", "a\n" + ("x" * 400_000 + "\n") * 10)
    result = folder.adapter.read(
        FilesQuery(table=["w.csv"]), {}, limit=10, offset=0, count=False, deadline=Deadline.after(10)
    )
    assert [len(batch) for batch in result.batches] == [3, 3, 3, 1]


def test_gzip_is_unpacked_once(folder):
    folder.write("g.csv.gz", gzip.compress(b"a\n1\n") + gzip.compress(b"2\n") + b"\0" * 512)
    assert folder.read("g.csv.gz").rows == [(1,), (2,)]
    folder.write("twice.csv.gz", gzip.compress(gzip.compress(b"a\n1\n")))
    with pytest.raises(QueryError, match="gzip"):
        folder.read("twice.csv.gz")


def test_broken_gzip_is_an_error(folder):
    whole = gzip.compress(b"a\n" + bytes(str(list(range(5000))), "ascii") + b"\n")
    folder.write("cut.csv.gz", whole[:-10])
    folder.write("wrong.csv.gz", b"a,b\n1,2\n")
    for name in ("cut.csv.gz", "wrong.csv.gz"):
        with pytest.raises(QueryError, match="gzip"):
            folder.read(name)


def test_an_option_of_another_format_is_refused(folder):
    folder.write("a.csv", "a\n1\n")
    with pytest.raises(InvalidError) as caught:
        folder.read("a.csv", sheet="One")
    assert caught.value.field == "/query/sheet"
