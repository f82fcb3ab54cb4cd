"""What is cut when an answer is too large, and how that is said."""

from typing import Any

import pyarrow
import pytest

from connections.adapters.contract import Column, ColumnType
from connections.adapters.errors import InvalidError, TooLargeError
from connections.adapters.limits import Budget
from connections.runner.cutting import Cutter
from connections.runner.encoding.text import JSONRows
from connections.runner.frames import Chunk
from tests.runner.asking import Asker, toy


def test_rows_end_before_the_bytes_do(either: Asker):
    answer = either.do("count", n=1000, text="x" * 90, limit=1000, budget=Budget(bytes=10_000))
    assert 9_800 < len(answer.body) <= 10_000
    assert answer.rows == [[number, "x" * 90] for number in range(len(answer.rows))]
    assert answer.fields["truncated"] == {"by": "bytes", "limit": 10_000}
    assert answer.fields["page"]["returned"] == len(answer.rows)
    assert answer.fields["page"]["has_more"] is True


def test_an_answer_that_just_fits_is_whole(either: Asker):
    whole = either.do("count", n=500, limit=500)
    size = len(whole.body) - 499  # the commas between rows are ours
    cut = either.do("count", n=500, limit=500, budget=Budget(bytes=size - 1))
    assert whole.fields["truncated"] is None
    assert either.do("count", n=500, limit=500, budget=Budget(bytes=len(whole.body))).body == whole.body
    assert cut.fields["truncated"]["by"] == "bytes"


def test_more_rows_than_allowed_are_not_given(either: Asker):
    answer = either.do("count", n=100, limit=100, budget=Budget(rows=30))
    assert len(answer.rows) == 30
    assert answer.fields["truncated"] == {"by": "rows", "limit": 30}
    assert answer.fields["page"] == {"offset": 0, "limit": 100, "returned": 30, "has_more": True, "total": None}


def test_a_budget_of_rows_that_is_not_reached_is_not_mentioned(either: Asker):
    assert either.do("count", n=30, limit=100, budget=Budget(rows=30)).fields["truncated"] is None


def test_a_long_cell_becomes_null_and_is_named(either: Asker):
    answer = either.do("cells", n=2000, budget=Budget(cell_bytes=1000))
    assert [row[1] for row in answer.rows] == ["xxx", "xxx", None] * 3
    assert answer.fields["truncated"] == {
        "by": "cells",
        "limit": 1000,
        "cells": [{"row": row, "column": 1, "name": "body", "bytes": 2000} for row in (2, 5, 8)],
        "cell_count": 3,
    }
    assert answer.fields["page"]["has_more"] is False


def test_cells_are_measured_in_bytes_of_utf_8(either: Asker):
    cut = either.do("count", text="é" * 501, budget=Budget(cell_bytes=1000)).fields["truncated"]
    assert cut["cells"][0]["bytes"] == 1002
    assert either.do("count", text="é" * 500, budget=Budget(cell_bytes=1000)).fields["truncated"] is None


def test_a_row_over_all_bytes_leaves_an_empty_page_that_says_so(either: Asker):
    answer = either.do("count", text="x" * 5000, budget=Budget(bytes=1000))
    assert answer.rows == []
    assert answer.fields["truncated"] == {"by": "bytes", "limit": 1000}


def test_too_many_columns_are_refused(either: Asker):
    assert len(either.do("wide", n=1600).rows[0]) == 1600
    with pytest.raises(TooLargeError, match="1601 columns; at most 1600"):
        either.do("wide", n=1601)


@pytest.mark.parametrize("form", ["ndjson", "csv", "arrow", "parquet"])
def test_a_format_that_cannot_say_what_is_cut_fails_instead(either: Asker, form: str):
    with pytest.raises(TooLargeError, match="larger than 10000 bytes"):
        either.do("count", n=1000, text="x" * 90, limit=1000, format=form, budget=Budget(bytes=10_000))
    with pytest.raises(TooLargeError, match="more than 30 rows"):
        either.do("count", n=1000, limit=1000, format=form, budget=Budget(rows=30))
    with pytest.raises(TooLargeError, match="column body in row 3"):
        either.do("cells", n=2000, format=form, budget=Budget(cell_bytes=1000))


def pieces_until_too_large(asker: Asker, **asked: Any) -> list[bytes]:
    """The body's pieces that came before the refusal."""
    pieces: list[bytes] = []

    def read() -> None:
        with asker.run(**asked) as run:
            pieces.extend(frame.data for frame in run if isinstance(frame, Chunk))

    with pytest.raises(TooLargeError):
        read()
    return pieces


@pytest.mark.parametrize("form", ["ndjson", "csv", "arrow", "parquet"])
@pytest.mark.parametrize(
    ("asked", "budget"),
    [
        ({"n": 3000}, Budget(cell_bytes=1000)),
        ({"n": 3000, "limit": 9}, Budget(rows=4)),
        ({"n": 3000, "limit": 9}, Budget(bytes=4000)),
    ],
)
def test_what_fails_within_the_first_batch_fails_before_any_piece(
    either: Asker, form: str, asked: dict[str, int], budget: Budget
):
    limit, n = asked.get("limit", 100), asked["n"]
    pieces = pieces_until_too_large(either, query=toy("cells", n=n), limit=limit, format=form, budget=budget)
    assert pieces == []


@pytest.mark.parametrize("form", ["ndjson", "csv", "arrow", "parquet"])
def test_what_fails_in_a_later_batch_fails_after_the_rows_of_the_first(either: Asker, form: str):
    query, budget = toy("cells", n=3000, batch=2), Budget(cell_bytes=1000)
    assert len(pieces_until_too_large(either, query=query, format=form, budget=budget)) == 1


@pytest.mark.parametrize("form", ["csv", "arrow"])
def test_an_answer_without_rows_has_its_head_in_one_piece_with_its_end_or_before(either: Asker, form: str):
    whole = either.do("nothing", format=form).body
    assert whole == b"n,word\r\n" if form == "csv" else pyarrow.ipc.open_stream(whole).read_all().num_rows == 0


def test_a_caller_that_can_say_what_is_cut_may_have_it_cut_in_any_format(either: Asker):
    answer = either.do("cells", n=2000, format="csv", cut=True, budget=Budget(cell_bytes=1000))
    assert answer.body.decode().splitlines()[:4] == ["n,body", "0,xxx", "1,xxx", "2,"]
    assert answer.fields["truncated"]["cell_count"] == 3


def test_a_large_export_arrives_whole_and_in_order(local: Asker):
    budget = Budget(rows=1_000_000, bytes=2**30)
    run = local.run(
        query=toy("count", n=300_000, text="é" * 40, batch=5000), limit=300_000, format="csv", budget=budget
    )
    body = b"".join(getattr(frame, "data", b"") for frame in run)
    lines = body.decode().split("\r\n")
    assert len(lines) == 300_002
    assert lines[1:300_001] == [f"{number}," + "é" * 40 for number in range(300_000)]


def test_a_cell_larger_than_a_frame_arrives_whole(local: Asker):
    budget = Budget(bytes=2**28, cell_bytes=2**27)
    assert local.do("cells", n=5_000_000, budget=budget).rows[2] == [2, "x" * 5_000_000]


@pytest.mark.parametrize("format_", ["json", "ndjson", "csv"])
def test_a_cell_that_no_encoder_could_take_becomes_null_wherever_it_stands(local: Asker, format_: str):
    answer = local.do("cells", n=150_000_000, limit=4, format=format_, cut=True)
    assert answer.fields["truncated"]["cell_count"] == 1
    assert [(cell["row"], cell["bytes"]) for cell in answer.fields["truncated"]["cells"]] == [(2, 150_000_000)]
    assert len(answer.body) < 100


def test_an_unknown_format_is_refused(either: Asker):
    with pytest.raises(InvalidError) as caught:
        either.do("count", format="xml")
    assert caught.value.field == "/format"


def test_long_rows_are_encoded_one_at_a_time_from_the_first_on(monkeypatch):
    encoder = JSONRows([Column("a", ColumnType.STRING)], {})
    taken: list[int] = []
    encode = encoder.encode

    def encode_and_count(rows: Any) -> Any:
        taken.append(len(rows))
        return encode(rows)

    monkeypatch.setattr(encoder, "encode", encode_and_count)
    cutter = Cutter(encoder, [Column("a", ColumnType.STRING)], Budget(cell_bytes=2**20), cut=True)
    assert b"".join(cutter.take([("x" * 2_000_000,)] * 5)) == b"[null],[null],[null],[null],[null]"
    assert set(taken) == {1}
