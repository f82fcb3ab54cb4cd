"""A CSV cell gets a type only when nothing of it is lost."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connections.adapters.errors import InvalidError, QueryError
from connections.adapters.files.texts import TEXTS


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["true", "False", "TRUE"], "boolean", [True, False, True]),
        (["1", "-2", "0"], "integer", [1, -2, 0]),
        (["1", "12345678901234567890"], "integer", [1, 12345678901234567890]),
        (["1", "2.5"], "float", [1.0, 2.5]),
        (["1e3", ".5"], "float", [1000.0, 0.5]),
        (["1.5", "nan", "-inf"], "float", [1.5, "NaN", "-Infinity"]),
        (["0.30000000000000004"], "float", [0.30000000000000004]),
        (["1.5", "12345678901234567.89"], "decimal", ["1.5", "12345678901234567.89"]),
        (["0.10", "9007199254740993.0"], "decimal", ["0.10", "9007199254740993.0"]),
        (["2024-02-29"], "date", ["2024-02-29"]),
        (["2024-02-29 10:11"], "timestamp", ["2024-02-29T10:11:00"]),
        (["2024-02-29T10:11:12.500"], "timestamp", ["2024-02-29T10:11:12.5"]),
        (["2024-02-29T10:11:12+01:00"], "timestamptz", ["2024-02-29T09:11:12Z"]),
        (["2024-02-29 10:11:12Z"], "timestamptz", ["2024-02-29T10:11:12Z"]),
        (["007"], "string", ["007"]),
        (["+4912345"], "string", ["+4912345"]),
        (["1", "NA"], "string", ["1", "NA"]),
        (["1,5"], "string", ["1,5"]),
        ([" 1"], "string", [" 1"]),
        (["1_000"], "string", ["1_000"]),
        (["١٢"], "string", ["١٢"]),
        (["2023-02-29"], "string", ["2023-02-29"]),
        (["2024-02-29", "2024-02-29 10:11"], "string", ["2024-02-29", "2024-02-29 10:11"]),
        (["2024-02-29T10:11:12.123456789"], "string", ["2024-02-29T10:11:12.123456789"]),
        (["0001-01-01T00:00:00+10:00"], "string", ["0001-01-01T00:00:00+10:00"]),
        (["1e999"], "string", ["1e999"]),
        (["1e-999"], "string", ["1e-999"]),
        (["Nan", "INF"], "string", ["Nan", "INF"]),
        (["9" * 60], "decimal", ["9" * 60]),
        (["9" * 80], "string", ["9" * 80]),
        (["true", "1"], "string", ["true", "1"]),
    ],
)  # fmt: skip
def test_a_column_gets_the_first_type_that_keeps_every_value(cells, kind, values):
    found, convert = TEXTS.infer(cells)
    assert found == kind
    assert [convert(cell) for cell in cells] == values


numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.integers().map(str),
)


@given(st.lists(numbers, min_size=1))
def test_no_number_changes_its_value(cells):
    kind, convert = TEXTS.infer(cells)
    for cell in cells:
        shown = convert(cell)
        assert (
            shown == cell if kind == "string" else Decimal(repr(shown) if kind == "float" else shown) == Decimal(cell)
        )


@given(st.text())
def test_any_text_either_fits_a_type_or_stays_as_it_is(text):
    kind, convert = TEXTS.infer([text])
    shown = convert(text)
    assert shown is not None
    if kind == "string":
        assert shown == text


def test_every_page_has_the_types_of_the_first_rows(folder):
    folder.write("n.csv", "n\n" + "1.5\n" * 1000 + "2\n" * 10)
    page = folder.read("n.csv", offset=1005)
    assert page.types == ["float"]
    assert page.rows == [(2.0,)] * 5


def test_a_later_value_that_does_not_fit_is_an_error_that_says_where_and_what_to_do(folder):
    folder.write("n.csv", "id,n\n" + "7,1\n" * 1500 + "7,n/a\n")
    assert len(folder.read("n.csv", limit=1400).rows) == 1401
    with pytest.raises(QueryError) as caught:
        folder.read("n.csv")
    assert "n.csv" in caught.value.message
    assert "Row 1501" in caught.value.message
    assert "'n'" in caught.value.message
    assert '{"n": "string"}' in str(caught.value.hint)
    assert folder.read("n.csv", types={"n": "string"}).rows[1500] == (7, "n/a")
    assert folder.read("n.csv", types="text").rows[1500] == ("7", "n/a")


def test_the_query_can_give_a_type(folder):
    folder.write("n.csv", "a,b,c\n1,007,2024-01-01\n,,\n")
    answer = folder.read("n.csv", types={"a": "decimal", "b": "string", "c": "string"})
    assert answer.types == ["decimal", "string", "string"]
    assert answer.rows == [("1", "007", "2024-01-01"), (None, None, None)]
    with pytest.raises(QueryError, match="Row 1"):
        folder.read("n.csv", types={"b": "integer"})
    with pytest.raises(InvalidError) as caught:
        folder.read("n.csv", types={"z": "integer"})
    assert caught.value.field == "/query/types"


def test_a_column_of_nulls_is_text(folder):
    folder.write("n.csv", "a,b\n1,\n2,\n")
    assert folder.read("n.csv").types == ["integer", "string"]


def test_a_given_type_that_the_first_rows_do_not_have_is_an_error(folder):
    folder.write("n.csv", "a\nx\n")
    with pytest.raises(QueryError, match="Row 1"):
        folder.read("n.csv", types={"a": "integer"})


def test_a_given_type_for_a_file_without_rows_is_kept(folder):
    folder.write("n.csv", "a\n")
    assert folder.read("n.csv", types={"a": "integer"}).types == ["integer"]
