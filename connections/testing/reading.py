"""Rows: how many, which, in what shape."""

from __future__ import annotations

from typing import Any

import pytest

from connections.adapters.base import Adapter
from connections.adapters.errors import AdapterError
from connections.adapters.limits import Deadline
from connections.testing.subject import (
    ROWS,
    SECONDS,
    SPECIAL,
    UNICODE_NAME,
    UNICODE_TEXT,
    Settings,
    Subject,
    about,
    read,
    start,
)

AnyAdapter = Adapter[Any, Any]


class Reading(Subject):
    @pytest.mark.parametrize("limit", [1, 10, ROWS - 1])
    def test_the_limit_is_honoured_and_one_row_over_it_tells_of_more(
        self, adapter: AnyAdapter, ordered_query: Settings, limit: int
    ) -> None:
        assert firsts(adapter, ordered_query, limit=limit) == list(range(1, limit + 2))

    @pytest.mark.parametrize("limit", [ROWS, ROWS + 1, 10_000])
    def test_there_is_no_row_over_a_limit_that_holds_all(
        self, adapter: AnyAdapter, ordered_query: Settings, limit: int
    ) -> None:
        assert firsts(adapter, ordered_query, limit=limit) == list(range(1, ROWS + 1))

    def test_a_limit_of_none_gives_columns(self, adapter: AnyAdapter, ordered_query: Settings) -> None:
        result = start(adapter, ordered_query, limit=0)
        assert result.columns
        assert sum(map(len, result.batches)) <= 1

    @pytest.mark.parametrize("size", [1, 7, 10])
    def test_pages_by_offset_neither_skip_nor_repeat(
        self, adapter: AnyAdapter, ordered_query: Settings, size: int
    ) -> None:
        found: list[int] = []
        while len(page := firsts(adapter, ordered_query, limit=size, offset=len(found))) > size:
            found += page[:size]
        assert [*found, *page] == list(range(1, ROWS + 1))

    def test_an_offset_past_the_end_gives_no_rows(self, adapter: AnyAdapter, ordered_query: Settings) -> None:
        assert read(adapter, ordered_query, offset=ROWS + 5) == []

    def test_every_row_has_a_cell_for_each_column(self, adapter: AnyAdapter, ordered_query: Settings) -> None:
        result = start(adapter, ordered_query)
        assert {len(row) for batch in result.batches for row in batch} == {len(result.columns)}

    def test_a_count_is_of_all_rows_where_the_source_can_count(
        self, adapter: AnyAdapter, ordered_query: Settings
    ) -> None:
        assert start(adapter, ordered_query, limit=1, count=True).total in (ROWS, None)

    @about("endless_query")
    def test_rows_that_are_not_wanted_are_not_read(
        self, adapter: AnyAdapter, endless_query: Settings, ordered_query: Settings
    ) -> None:
        assert len(read(adapter, endless_query, limit=10)) == 11
        assert firsts(adapter, ordered_query, limit=2) == [1, 2, 3]

    def test_rows_that_nobody_fetches_leave_the_adapter_well(
        self, adapter: AnyAdapter, ordered_query: Settings
    ) -> None:
        start(adapter, ordered_query)
        abandoned = start(adapter, ordered_query).batches
        next(abandoned)
        del abandoned
        assert firsts(adapter, ordered_query, limit=2) == [1, 2, 3]

    def test_nulls_are_null_in_columns_of_every_type(self, adapter: AnyAdapter, nulls_query: Settings) -> None:
        result = start(adapter, nulls_query)
        assert list(next(iter(result.batches))[0]) == [None] * len(result.columns)

    @about("duplicate_names_query")
    def test_two_columns_of_one_name_stay_two(self, adapter: AnyAdapter, duplicate_names_query: Settings) -> None:
        result = start(adapter, duplicate_names_query)
        first, second = (column.name for column in result.columns)
        assert first == second
        assert [list(row) for batch in result.batches for row in batch] == [[1, 2]]

    @about("empty_query")
    def test_an_empty_result_keeps_its_columns(self, adapter: AnyAdapter, empty_query: Settings) -> None:
        result = start(adapter, empty_query)
        assert result.columns
        assert [row for batch in result.batches for row in batch] == []

    @about("unicode_query")
    def test_names_and_texts_come_in_any_language(self, adapter: AnyAdapter, unicode_query: Settings) -> None:
        result = start(adapter, unicode_query)
        assert [column.name for column in result.columns] == [UNICODE_NAME]
        assert [list(row) for batch in result.batches for row in batch] == [[UNICODE_TEXT]]

    def test_a_description_has_the_columns_of_a_read(self, adapter: AnyAdapter, ordered_query: Settings) -> None:
        query = type(adapter).query_class.model_validate(ordered_query)
        described = adapter.describe(query, {}, Deadline.after(SECONDS))
        assert [column.name for column in described.columns] == [
            column.name for column in start(adapter, ordered_query).columns
        ]

    @about("tables")
    def test_a_table_is_listed_described_and_read(self, adapter: AnyAdapter, table_path: list[str]) -> None:
        path = tuple(table_path)
        deadline = Deadline.after(SECONDS)
        assert path in [table.path for table in adapter.tables("", deadline)]
        assert path in [table.path for table in adapter.tables(path[-1].upper(), deadline)]
        columns = [column.name for column in adapter.columns(path, deadline).columns]
        result = start(adapter, {"table": table_path})
        assert [column.name for column in result.columns] == columns
        assert sorted(row[0] for batch in result.batches for row in batch) == list(range(1, ROWS + 1))

    @about("tables")
    def test_a_search_that_finds_nothing_lists_nothing(self, adapter: AnyAdapter) -> None:
        assert list(adapter.tables("no-such-table-anywhere", Deadline.after(SECONDS))) == []

    @about("tables")
    def test_a_table_that_is_not_there_is_the_querys_fault(self, adapter: AnyAdapter, table_path: list[str]) -> None:
        missing = (*table_path[:-1], f"no-such-{table_path[-1]}")
        with pytest.raises(AdapterError) as caught:
            adapter.columns(missing, Deadline.after(SECONDS))
        assert caught.value.code == "query"
        with pytest.raises(AdapterError) as caught:
            read(adapter, {"table": list(missing)})
        assert (caught.value.code, caught.value.field) == ("query", "/query/table")

    @about("unicode_table")
    def test_a_table_may_have_any_name(self, adapter: AnyAdapter, unicode_table: list[str]) -> None:
        path = tuple(unicode_table)
        assert UNICODE_NAME in path[-1]
        assert path in [table.path for table in adapter.tables("", Deadline.after(SECONDS))]
        assert adapter.columns(path, Deadline.after(SECONDS)).columns
        assert start(adapter, {"table": unicode_table}).columns

    @about("parameters")
    @pytest.mark.parametrize("text", ["plain", SPECIAL, "'; drop table x; --", ":value $1 %s ?", UNICODE_TEXT, ""])
    def test_a_parameter_is_a_value_and_never_syntax(
        self, adapter: AnyAdapter, parameter_query: Settings, text: str
    ) -> None:
        assert read(adapter, parameter_query, parameters={"value": text}) == [[text]]

    @about("parameters")
    @pytest.mark.parametrize("parameters", [{}, {"value": "x", "other": 1}])
    def test_missing_and_unknown_parameters_are_invalid(
        self, adapter: AnyAdapter, parameter_query: Settings, parameters: Settings
    ) -> None:
        with pytest.raises(AdapterError) as caught:
            read(adapter, parameter_query, parameters=parameters)
        assert caught.value.code == "invalid"
        assert caught.value.field == ("/parameters/other" if parameters else "/parameters/value")


def firsts(adapter: AnyAdapter, query: Settings, **options: Any) -> list[Any]:
    """The first cell of each row that the adapter gives."""
    return [row[0] for row in read(adapter, query, **options)]
