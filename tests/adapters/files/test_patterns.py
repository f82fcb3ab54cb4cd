"""Several files read as one."""

from __future__ import annotations

import time

import pyarrow
import pyarrow.parquet
import pytest

from connections.adapters.errors import InvalidError, QueryError, TooLargeError
from connections.adapters.files.pattern import matching

NAMES = ["a.csv", "2024/jan.csv", "2024/feb.csv", "2024/q1/jan.csv", "2023/jan.csv", "jan.json", "*.csv"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.csv", ["a.csv", "*.csv"]),
        ("2024/*.csv", ["2024/jan.csv", "2024/feb.csv"]),
        ("202?/jan.csv", ["2024/jan.csv", "2023/jan.csv"]),
        ("202[!4]/*", ["2023/jan.csv"]),
        ("**/jan.csv", ["2024/jan.csv", "2024/q1/jan.csv", "2023/jan.csv"]),
        ("2024/**", ["2024/jan.csv", "2024/feb.csv", "2024/q1/jan.csv"]),
        ("**/q1/**/*.csv", ["2024/q1/jan.csv"]),
        ("[*].csv", ["*.csv"]),
        ("A.csv", []),
        ("nothing", []),
    ],
)
def test_patterns_match_our_own_listing(pattern, found):
    assert list(matching(NAMES, pattern)) == found


@pytest.mark.parametrize("pattern", ["../*", "/etc/*", "a/../../*", "~/*", "a\\*", "*\0", "%2e%2e/*", "", "*" * 17])
def test_a_pattern_cannot_leave_the_folder(pattern):
    with pytest.raises(InvalidError) as caught:
        matching(NAMES, pattern)
    assert caught.value.field == "/query/pattern"


@pytest.mark.parametrize("pattern", ["*a" * 16 + "b", "**/" * 7 + "b", "[a-z]*" * 16])
def test_no_pattern_takes_long(pattern):
    started = time.perf_counter()
    list(matching(["a" * 255, "/".join("a" * 16)] * 100, pattern))
    assert time.perf_counter() - started < 1


def test_files_are_joined_by_the_names_of_their_columns(folder):
    folder.write("2024/a.csv", "id,x\n1,2\n3,4\n")
    folder.write("2024/b.csv", "x;y;id\n5;yes;6\n")
    folder.write("2023/c.csv", "id\n9\n")
    answer = folder.read(pattern="2024/*.csv", file_column="file", count=True)
    assert answer.names == ["file", "id", "x", "y"]
    assert answer.types == ["string", "integer", "integer", "string"]
    assert answer.rows == [("2024/a.csv", 1, 2, None), ("2024/a.csv", 3, 4, None), ("2024/b.csv", 6, 5, "yes")]
    assert answer.total == 3
    assert folder.read(pattern="**/*.csv", offset=2, limit=1).rows == [(3, 4, None), (6, 5, "yes")]


def test_one_file_can_show_its_name_too(folder):
    folder.write("a.csv", "id\n1\n")
    assert folder.read("a.csv", file_column="from").rows == [("a.csv", 1)]


def test_types_that_differ_become_text_for_every_file(folder):
    folder.write("a.csv", "id,n,e\n007,1,\n")
    folder.write("b.csv", "id,n,e\n8,2.50,5\n")
    answer = folder.read(pattern="*.csv")
    assert answer.types == ["string", "string", "integer"]
    assert answer.rows == [("007", "1", None), ("8", "2.50", 5)]


def test_json_types_that_differ_become_json(folder):
    folder.write("a.jsonl", '{"v": 1}\n')
    folder.write("b.jsonl", '{"v": "x"}\n')
    answer = folder.read(pattern="*.jsonl")
    assert (answer.types, answer.rows) == (["json"], [("1",), ('"x"',)])


def test_parquet_types_that_differ_are_an_error_that_names_the_file(folder):
    pyarrow.parquet.write_table(pyarrow.table({"v": [1]}), folder.path / "a.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"v": ["x"]}), folder.path / "b.parquet")
    with pytest.raises(QueryError, match=r"b\.parquet has string in column 'v'"):
        folder.read(pattern="*.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"w": [2], "v": [3]}), folder.path / "b.parquet")
    answer = folder.read(pattern="*.parquet", count=True)
    assert (answer.names, answer.rows, answer.total) == (["v", "w"], [(1, None), (3, 2)], 2)
    assert folder.read(pattern="*.parquet", offset=1).rows == [(3, 2)]


def test_no_match_and_too_many_matches_are_errors(folder):
    folder.write("notes.txt", "x")
    with pytest.raises(QueryError, match="matches") as caught:
        folder.read(pattern="*.txt")
    assert caught.value.field == "/query/pattern"
    for number in range(101):
        folder.write(f"{number}.csv", "a\n1\n")
    with pytest.raises(TooLargeError, match="More than 100"):
        folder.read(pattern="*.csv")


def test_a_broken_file_among_many_is_named(folder):
    folder.write("a.csv", "a\n1\n")
    folder.write("b.csv", b"a\n\xff\n")
    with pytest.raises(QueryError, match=r"^b\.csv: ") as caught:
        folder.read(pattern="*.csv")
    assert caught.value.field == "/query/pattern"
